//! Sets of small integers as bits in borrowed words: plain ones, and ones that find their first
//! and last member in a few steps.
//!
//! A [`SummarySet`] is a tree of words: bit `i` of a level says whether word `i` of the level below
//! has any bit set. Five levels hold 2³⁰ members. Invariant: a summary bit is set exactly when its
//! word is not zero.

use arrayvec::ArrayVec;

const WORD_BITS: usize = u64::BITS as usize;

/// Levels of a set of 2⁶⁰ members, more than there can be frames.
const MAX_LEVELS: usize = 10;

/// A plain set.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    words: &'a mut [u64],
}

impl<'a> Bits<'a> {
    /// The words that a set of numbers below `capacity` needs.
    pub(super) fn words(capacity: usize) -> usize {
        capacity.div_ceil(WORD_BITS)
    }

    /// The set that `words` holds.
    pub(super) fn new(words: &'a mut [u64]) -> Self {
        Self { words }
    }

    pub(super) fn contains(&self, member: usize) -> bool {
        self.words[member / WORD_BITS] & bit(member) != 0
    }

    pub(super) fn insert(&mut self, member: usize) {
        self.words[member / WORD_BITS] |= bit(member);
    }

    pub(super) fn remove(&mut self, member: usize) {
        self.words[member / WORD_BITS] &= !bit(member);
    }
}

/// A set with a tree of summaries over it.
#[derive(Debug)]
pub(super) struct SummarySet<'a> {
    words: &'a mut [u64],
    /// Where in `words` each level starts: the members first, the single root word last.
    levels: ArrayVec<usize, MAX_LEVELS>,
    len: usize,
}

impl<'a> SummarySet<'a> {
    /// The words that a set of numbers below `capacity` needs.
    pub(super) fn words(capacity: usize) -> usize {
        level_words(capacity).sum()
    }

    /// The empty set of numbers below `capacity`; `words` is all zero and as long as
    /// [`SummarySet::words`] says.
    pub(super) fn new(words: &'a mut [u64], capacity: usize) -> Self {
        let mut start = 0;
        let levels = level_words(capacity)
            .map(|words| {
                let level = start;
                start += words;
                level
            })
            .collect();
        Self {
            words,
            levels,
            len: 0,
        }
    }

    /// How many members it has.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a number that is not a member.
    pub(super) fn insert(&mut self, member: usize) {
        let mut at = member;
        for &level in &self.levels {
            let word = &mut self.words[level + at / WORD_BITS];
            let was_empty = *word == 0;
            *word |= bit(at);
            if !was_empty {
                break;
            }
            at /= WORD_BITS;
        }
        self.len += 1;
    }

    /// Takes a number out; returns whether it was a member.
    pub(super) fn remove(&mut self, member: usize) -> bool {
        if self.words[member / WORD_BITS] & bit(member) == 0 {
            return false;
        }
        let mut at = member;
        for &level in &self.levels {
            let word = &mut self.words[level + at / WORD_BITS];
            *word &= !bit(at);
            if *word != 0 {
                break;
            }
            at /= WORD_BITS;
        }
        self.len -= 1;
        true
    }

    /// Its smallest member.
    pub(super) fn first(&self) -> Option<usize> {
        self.descend(u64::trailing_zeros)
    }

    /// Its largest member.
    pub(super) fn last(&self) -> Option<usize> {
        self.descend(|word| u64::BITS - 1 - word.leading_zeros())
    }

    /// Follows one set bit of each level, as `choose` picks it, from the root to a member.
    fn descend(&self, choose: impl Fn(u64) -> u32) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let mut at = 0;
        for &level in self.levels.iter().rev() {
            at = at * WORD_BITS + choose(self.words[level + at]) as usize;
        }
        Some(at)
    }
}

/// The words of each level, members first; the last level is one word.
fn level_words(capacity: usize) -> impl Iterator<Item = usize> {
    let members = capacity.div_ceil(WORD_BITS).max(1);
    core::iter::successors(Some(members), |&words| {
        (words > 1).then(|| words.div_ceil(WORD_BITS))
    })
}

fn bit(member: usize) -> u64 {
    1 << (member % WORD_BITS)
}

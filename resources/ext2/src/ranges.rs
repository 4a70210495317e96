//! A set of block numbers, kept as ranges.

use alloc::collections::BTreeMap;

/// Ranges that neither overlap nor touch: from their first number to one past their last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    ranges: BTreeMap<u32, u32>,
    length: u64,
}

impl Ranges {
    pub(crate) fn contains(&self, number: u32) -> bool {
        let before = self.ranges.range(..=number).next_back();
        before.is_some_and(|(_, end)| number < *end)
    }

    /// How many numbers are in the set.
    pub(crate) const fn len(&self) -> u64 {
        self.length
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds a number. False if it was there.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        self.insert_range(number, number + 1)
    }

    /// Adds `start..end`, which is not empty. False, and nothing changes, if part of it is there.
    pub(crate) fn insert_range(&mut self, mut start: u32, mut end: u32) -> bool {
        let before = self.ranges.range(..end).next_back();
        if before.is_some_and(|(_, end)| start < *end) {
            return false;
        }
        self.length += u64::from(end - start);
        if let Some((first, _)) = before.filter(|(_, end)| **end == start) {
            start = *first;
        }
        if let Some(last) = self.ranges.remove(&end) {
            end = last;
        }
        self.ranges.insert(start, end);
        true
    }

    /// Takes a number out, if it is there.
    pub(crate) fn remove(&mut self, number: u32) {
        let before = self.ranges.range(..=number).next_back();
        let Some((start, end)) = before.map(|(start, end)| (*start, *end)) else {
            return;
        };
        if number >= end {
            return;
        }
        self.length -= 1;
        self.ranges.remove(&start);
        if start < number {
            self.ranges.insert(start, number);
        }
        if number + 1 < end {
            self.ranges.insert(number + 1, end);
        }
    }

    /// Adds all of another set.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (start, end) in &other.ranges {
            for number in *start..*end {
                self.insert(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn it_is_a_set() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut ranges = Ranges::default();
        let mut set = BTreeSet::new();
        for _ in 0..5000 {
            let number = random.u32(0..64);
            if random.bool() {
                assert_eq!(ranges.insert(number), set.insert(number));
            } else {
                ranges.remove(number);
                set.remove(&number);
            }
            assert_eq!(ranges.len(), set.len() as u64);
            let probe = random.u32(0..64);
            assert_eq!(ranges.contains(probe), set.contains(&probe));
            let touching = ranges.ranges.iter().zip(ranges.ranges.iter().skip(1));
            assert!(
                touching
                    .into_iter()
                    .all(|((_, end), (start, _))| end < start)
            );
        }
    }

    #[test]
    fn ranges_do_not_overlap() {
        let mut ranges = Ranges::default();
        assert!(ranges.insert_range(10, 20));
        for (start, end) in [(5, 11), (12, 13), (19, 30), (0, 40)] {
            assert!(!ranges.insert_range(start, end));
        }
        assert!(ranges.insert_range(20, 30) && ranges.insert_range(0, 10));
        assert_eq!((ranges.len(), ranges.ranges.len()), (30, 1));
    }
}

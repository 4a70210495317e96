//! From an activity to its client at one scheduler, in a constant number of steps.
//!
//! A table of pages, made when a first activity falls into them: activities are numbered densely,
//! but few of them use any one resource.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::ids::{ActivityId, ClientId};

const PAGE_BITS: u32 = 8;
const PAGE: usize = 1 << PAGE_BITS;

/// An activity's number above its client's. No entry is all ones: no client has that number.
type Entry = u64;
const NONE: Entry = Entry::MAX;

#[derive(Debug, Default)]
pub(crate) struct ActivityMap {
    pages: Vec<Option<Box<[Entry; PAGE]>>>,
}

impl ActivityMap {
    pub(crate) fn get(&self, activity: ActivityId) -> Option<ClientId> {
        self.find(activity).filter(|client| client.0 != u32::MAX)
    }

    /// As [`Self::get`], or for an activity that means nobody the greatest number, which no client
    /// has.
    #[inline(always)]
    pub(crate) fn find(&self, activity: ActivityId) -> Option<ClientId> {
        let page = self.pages.get(activity.index() >> PAGE_BITS)?.as_ref()?;
        let entry = page[activity.index() % PAGE];
        // Compares with the whole number: the place may belong to a successor.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low half is the client"
        )]
        ((entry >> 32) as u32 == activity.0).then_some(ClientId(entry as u32))
    }

    pub(crate) fn insert(&mut self, activity: ActivityId, client: ClientId) {
        let number = activity.index() >> PAGE_BITS;
        if number >= self.pages.len() {
            self.pages.resize_with(number + 1, || None);
        }
        let page = self.pages[number].get_or_insert_with(|| Box::new([NONE; PAGE]));
        page[activity.index() % PAGE] = u64::from(activity.0) << 32 | u64::from(client.0);
    }

    pub(crate) fn remove(&mut self, activity: ActivityId) {
        if self.get(activity).is_some()
            && let Some(Some(page)) = self.pages.get_mut(activity.index() >> PAGE_BITS)
        {
            page[activity.index() % PAGE] = NONE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ActivityMap;
    use crate::ids::{ActivityId, ClientId};

    #[test]
    fn what_is_put_in_comes_out_until_removed() {
        let mut map = ActivityMap::default();
        for activity in [0, 1, 255, 256, 100_000, 3 << 20 | 17] {
            assert_eq!(map.get(ActivityId(activity)), None);
            map.insert(ActivityId(activity), ClientId(activity + 7));
            assert_eq!(map.get(ActivityId(activity)), Some(ClientId(activity + 7)));
        }
        map.remove(ActivityId(256));
        map.remove(ActivityId(2 << 20 | 17));
        assert_eq!(map.get(ActivityId(17)), None);
        assert!(map.get(ActivityId(3 << 20 | 17)).is_some());
        map.remove(ActivityId(4_000_000_000));
        assert_eq!(map.get(ActivityId(256)), None);
        assert_eq!(map.get(ActivityId(255)), Some(ClientId(262)));
    }
}

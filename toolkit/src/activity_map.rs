//! From an activity to its client at one scheduler, in a constant number of steps.
//!
//! A table of pages, made when a first activity falls into them: activities are numbered densely,
//! but few of them use any one resource.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::ids::{ActivityId, ClientId};

const PAGE_BITS: u32 = 8;
const PAGE: usize = 1 << PAGE_BITS;
const NONE: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(crate) struct ActivityMap {
    pages: Vec<Option<Box<[u32; PAGE]>>>,
}

impl ActivityMap {
    pub(crate) fn get(&self, activity: ActivityId) -> Option<ClientId> {
        self.find(activity).filter(|client| client.0 != NONE)
    }

    /// As [`Self::get`], or the greatest number, which no client has.
    #[inline(always)]
    pub(crate) fn find(&self, activity: ActivityId) -> Option<ClientId> {
        let page = self.pages.get((activity.0 >> PAGE_BITS) as usize)?;
        Some(ClientId(page.as_ref()?[activity.index() % PAGE]))
    }

    pub(crate) fn insert(&mut self, activity: ActivityId, client: ClientId) {
        let number = (activity.0 >> PAGE_BITS) as usize;
        if number >= self.pages.len() {
            self.pages.resize_with(number + 1, || None);
        }
        let page = self.pages[number].get_or_insert_with(|| Box::new([NONE; PAGE]));
        page[activity.index() % PAGE] = client.0;
    }

    pub(crate) fn remove(&mut self, activity: ActivityId) {
        if let Some(Some(page)) = self.pages.get_mut((activity.0 >> PAGE_BITS) as usize) {
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
        for activity in [0, 1, 255, 256, 100_000] {
            assert_eq!(map.get(ActivityId(activity)), None);
            map.insert(ActivityId(activity), ClientId(activity + 7));
            assert_eq!(map.get(ActivityId(activity)), Some(ClientId(activity + 7)));
        }
        map.remove(ActivityId(256));
        map.remove(ActivityId(4_000_000_000));
        assert_eq!(map.get(ActivityId(256)), None);
        assert_eq!(map.get(ActivityId(255)), Some(ClientId(262)));
    }
}

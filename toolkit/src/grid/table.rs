//! Things that come and go, by numbers that stay unique.
//!
//! A number is an index and, above it, the generation of the place: how often it has been used
//! before ([`crate::ids`]). A place is used again only when [`QUARANTINE`] others are free, oldest
//! first, so it takes `QUARANTINE` × 4,096 removals until a number comes back.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::ids::INDEX_BITS;

/// Places that stay free.
const QUARANTINE: usize = 32;

const INDEX: u32 = (1 << INDEX_BITS) - 1;

pub(crate) struct Table<T> {
    places: Vec<Place<T>>,
    free: VecDeque<u32>,
}

struct Place<T> {
    number: u32,
    value: Option<T>,
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self {
            places: Vec::new(),
            free: VecDeque::new(),
        }
    }

    /// Adds what `make` makes of its number.
    ///
    /// # Panics
    /// If there are 2^20 - 1 already. (The index above belongs to numbers that mean nobody.)
    pub(crate) fn insert(&mut self, make: impl FnOnce(u32) -> T) -> u32 {
        if self.free.len() > QUARANTINE
            && let Some(index) = self.free.pop_front()
        {
            let place = &mut self.places[index as usize];
            place.number = place.number.wrapping_add(1 << INDEX_BITS);
            place.value = Some(make(place.number));
            return place.number;
        }
        let number = u32::try_from(self.places.len()).unwrap_or(INDEX);
        assert!(number < INDEX, "more than 2^20 - 1 resources or activities");
        let value = Some(make(number));
        self.places.push(Place { number, value });
        number
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let place = self.places.get((number & INDEX) as usize)?;
        place.value.as_ref().filter(|_| place.number == number)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let place = self.places.get_mut((number & INDEX) as usize)?;
        place.value.as_mut().filter(|_| place.number == number)
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let place = self.places.get_mut((number & INDEX) as usize)?;
        if place.number != number {
            return None;
        }
        let value = place.value.take()?;
        self.free.push_back(number & INDEX);
        Some(value)
    }

    /// All, with their numbers, in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let places = self.places.iter();
        places.filter_map(|place| Some((place.number, place.value.as_ref()?)))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{QUARANTINE, Table};

    #[test]
    fn a_number_is_not_that_of_its_successor() {
        let mut table = Table::new();
        let first = table.insert(|number| number);
        assert_eq!(table.get(first), Some(&0));
        assert_eq!(table.remove(first), Some(0));
        assert_eq!(table.remove(first), None);
        let mut numbers = std::collections::BTreeSet::from([first]);
        for _ in 0..100 * QUARANTINE {
            let number = table.insert(|number| number);
            assert!(numbers.insert(number), "{number} again");
            assert_eq!(table.get(first), None);
            assert_eq!(table.remove(number), Some(number));
        }
        assert_eq!(table.len(), 0);
        assert!(table.places.len() <= QUARANTINE + 2);
    }
}

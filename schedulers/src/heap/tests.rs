//! The heap against an ordered set.

use alloc::collections::BTreeSet;

use proptest::prelude::*;

use super::Heap;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Insert(u32, u8),
    Remove(u32),
    Pop,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0..32_u32, any::<u8>()).prop_map(|(e, key)| Operation::Insert(e, key)),
        1 => (0..32_u32).prop_map(Operation::Remove),
        2 => Just(Operation::Pop),
    ]
}

proptest! {
    #![proptest_config(crate::same_every_time())]

    #[test]
    fn it_is_an_ordered_set(operations in prop::collection::vec(operation(), 0..400)) {
        let mut heap = Heap::new();
        heap.reserve(31);
        let mut model = BTreeSet::new();
        for operation in operations {
            match operation {
                Operation::Insert(element, key) => {
                    let present = model.iter().any(|&(_, e)| e == element);
                    prop_assert_eq!(heap.contains(element), present);
                    if !present {
                        heap.insert(element, key);
                        model.insert((key, element));
                    }
                }
                Operation::Remove(element) => {
                    let found = model.iter().copied().find(|&(_, e)| e == element);
                    prop_assert_eq!(heap.remove(element), found.is_some());
                    found.map(|entry| model.remove(&entry));
                }
                Operation::Pop => {
                    let least = model.pop_first().map(|(key, element)| (element, key));
                    prop_assert_eq!(heap.pop(), least);
                }
            }
            prop_assert_eq!(heap.first(), model.first().map(|&(key, element)| (element, key)));
            prop_assert_eq!(heap.is_empty(), model.is_empty());
        }
    }
}

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{Chain, Slab};

#[derive(Clone, Debug)]
enum Operation {
    Back(bool),
    Pop(bool),
    Promote(bool, usize),
    Prepend,
    ExtractEven(bool),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => any::<bool>().prop_map(Operation::Back),
        3 => any::<bool>().prop_map(Operation::Pop),
        2 => (any::<bool>(), 0_usize..8).prop_map(|(which, at)| Operation::Promote(which, at)),
        1 => Just(Operation::Prepend),
        1 => any::<bool>().prop_map(Operation::ExtractEven),
    ]
}

proptest! {
    #[test]
    fn two_chains_in_one_slab_behave_like_two_deques(
        operations in prop::collection::vec(operation(), 0..200)
    ) {
        let mut slab = Slab::with_capacity(0);
        let mut chains = [Chain::EMPTY, Chain::EMPTY];
        let mut model = [VecDeque::new(), VecDeque::new()];
        for (value, operation) in operations.into_iter().enumerate() {
            match operation {
                Operation::Back(which) => {
                    slab.push_back(&mut chains[usize::from(which)], value);
                    model[usize::from(which)].push_back(value);
                }
                Operation::Pop(which) => prop_assert_eq!(
                    slab.pop_front(&mut chains[usize::from(which)]),
                    model[usize::from(which)].pop_front()
                ),
                Operation::Promote(which, at) => {
                    let deque = &mut model[usize::from(which)];
                    if let Some(value) = deque.remove(at) {
                        deque.push_front(value);
                        slab.promote(&mut chains[usize::from(which)], at);
                    }
                }
                Operation::Prepend => {
                    let [first, second] = &mut chains;
                    slab.prepend(second, first);
                    let mut joined = core::mem::take(&mut model[0]);
                    joined.append(&mut model[1]);
                    model[1] = joined;
                }
                Operation::ExtractEven(which) => {
                    let deque = &mut model[usize::from(which)];
                    let even: Vec<_> = deque.iter().copied().filter(|v| v % 2 == 0).collect();
                    deque.retain(|v| v % 2 != 0);
                    let chain = &mut chains[usize::from(which)];
                    prop_assert_eq!(slab.extract(chain, |v| v % 2 == 0), even);
                }
            }
            for (chain, deque) in chains.iter().zip(&model) {
                prop_assert_eq!(chain.len() as usize, deque.len());
                prop_assert_eq!(slab.front(chain), deque.front());
                prop_assert!(slab.iter(chain).eq(deque.iter()));
            }
        }
        prop_assert!(slab.slots.len() <= 200);
    }
}

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{Chain, Slab, Work};
use crate::ids::{ActivityId, ResourceId};
use crate::request::{Message, Request};
use crate::waiting::WaiterId;

impl Message for usize {}

#[derive(Clone, Debug)]
enum Operation {
    Back(bool),
    Resume(bool),
    Pop(bool),
    Promote(bool, usize),
    Prepend,
    ExtractEven(bool),
}

/// A work as the model has it: requests by message, waiters by number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Request(usize),
    Waiter(WaiterId),
}

impl Seen {
    fn of(work: &Work<usize>) -> Self {
        match work {
            Work::Request(request) => Self::Request(request.message),
            Work::Resume(waiter) => Self::Waiter(*waiter),
        }
    }

    fn is_even(self) -> bool {
        matches!(self, Self::Request(number) if number % 2 == 0)
    }
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => any::<bool>().prop_map(Operation::Back),
        1 => any::<bool>().prop_map(Operation::Resume),
        3 => any::<bool>().prop_map(Operation::Pop),
        2 => (any::<bool>(), 0_usize..8).prop_map(|(which, at)| Operation::Promote(which, at)),
        1 => Just(Operation::Prepend),
        1 => any::<bool>().prop_map(Operation::ExtractEven),
    ]
}

/// Two chains in one slab, and what they should be.
struct Pair {
    slab: Slab<usize>,
    chains: [Chain; 2],
    model: [VecDeque<Seen>; 2],
}

impl Pair {
    fn push(&mut self, which: bool, work: Work<usize>) {
        self.model[usize::from(which)].push_back(Seen::of(&work));
        self.slab
            .push_back(&mut self.chains[usize::from(which)], work);
    }

    fn perform(&mut self, operation: &Operation, number: usize) -> Result<(), TestCaseError> {
        match *operation {
            Operation::Back(which) => {
                let request = Request::new(ResourceId(0), ActivityId(0), number);
                self.push(which, Work::Request(request));
            }
            Operation::Resume(which) => {
                let number = u32::try_from(number).expect("few operations");
                self.push(which, Work::Resume(WaiterId { number, serial: 7 }));
            }
            Operation::Pop(which) => {
                let work = self.slab.pop_front(&mut self.chains[usize::from(which)]);
                let expected = self.model[usize::from(which)].pop_front();
                prop_assert_eq!(work.as_ref().map(Seen::of), expected);
            }
            Operation::Promote(which, at) => {
                let deque = &mut self.model[usize::from(which)];
                if let Some(seen) = deque.remove(at) {
                    deque.push_front(seen);
                    self.slab.promote(&mut self.chains[usize::from(which)], at);
                }
            }
            Operation::Prepend => {
                let [first, second] = &mut self.chains;
                self.slab.prepend(second, first);
                let mut joined = core::mem::take(&mut self.model[0]);
                joined.append(&mut self.model[1]);
                self.model[1] = joined;
            }
            Operation::ExtractEven(which) => {
                let deque = &mut self.model[usize::from(which)];
                let even: Vec<_> = deque
                    .iter()
                    .copied()
                    .filter(|seen| seen.is_even())
                    .collect();
                deque.retain(|seen| !seen.is_even());
                let chain = &mut self.chains[usize::from(which)];
                let taken = self.slab.extract(chain, |work| Seen::of(work).is_even());
                prop_assert_eq!(taken.iter().map(Seen::of).collect::<Vec<_>>(), even);
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (chain, deque) in self.chains.iter().zip(&self.model) {
            prop_assert_eq!(chain.len() as usize, deque.len());
            let slots: Vec<_> = self.slab.iter(chain).map(|slot| slot.message).collect();
            let expected = deque.iter().map(|seen| match seen {
                Seen::Request(number) => Some(*number),
                Seen::Waiter(_) => None,
            });
            prop_assert_eq!(slots, expected.collect::<Vec<_>>());
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn two_chains_in_one_slab_behave_like_two_deques(
        operations in prop::collection::vec(operation(), 0..200)
    ) {
        let mut pair = Pair {
            slab: Slab::with_capacity(0),
            chains: [Chain::EMPTY, Chain::EMPTY],
            model: [VecDeque::new(), VecDeque::new()],
        };
        for (number, operation) in operations.iter().enumerate() {
            pair.perform(operation, number)?;
            pair.check()?;
        }
        prop_assert!(pair.slab.slots.len() <= operations.len());
    }
}

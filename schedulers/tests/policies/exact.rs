//! Round-robin, strict priority, FIFO and EDF against models that are too simple to be wrong.

use std::collections::VecDeque;

use proptest::prelude::*;
use vortex_schedulers::Policy;
use vortex_toolkit::scheduler::ClientParams;

use crate::machine::Machine;

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(u32, u8),
    Update(u32, u8),
    Remove(u32),
    /// Ready with a head request that was sent this long ago.
    Ready(u32, u64),
    Suspend(u32),
    Choose,
    Wait(u64),
}

const CLIENTS: u32 = 12;

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    let priority = prop_oneof![Just(0), Just(63), Just(64), Just(255), any::<u8>()];
    prop_oneof![
        2 => (client.clone(), priority.clone()).prop_map(|(c, p)| Step::Add(c, p)),
        1 => (client.clone(), priority).prop_map(|(c, p)| Step::Update(c, p)),
        1 => client.clone().prop_map(Step::Remove),
        8 => (client.clone(), 0..50_u64).prop_map(|(c, age)| Step::Ready(c, age)),
        1 => client.prop_map(Step::Suspend),
        6 => Just(Step::Choose),
        2 => (1..100_u64).prop_map(Step::Wait),
    ]
}

fn params(number: u8) -> ClientParams {
    ClientParams {
        priority: number,
        deadline_cycles: u64::from(number),
        ..ClientParams::default()
    }
}

/// A ready client of the model.
#[derive(Clone, Copy)]
struct Waiting {
    client: u32,
    sent_at: u64,
}

#[derive(Default)]
struct Model {
    /// The registered clients' priority, or cycles to the deadline.
    numbers: [Option<u8>; CLIENTS as usize],
    /// In the order in which they became ready.
    ready: VecDeque<Waiting>,
    /// When the request chosen last was sent.
    served: u64,
}

impl Model {
    fn number(&self, client: u32) -> u64 {
        self.numbers[client as usize].map_or(0, u64::from)
    }

    /// The position in `ready` of the client to choose: the first with the least key.
    fn choice(&self, policy: Policy) -> Option<usize> {
        let key = |waiting: &Waiting| match policy {
            Policy::Strict => (self.number(waiting.client), 0),
            Policy::Fifo => (waiting.sent_at, 0),
            Policy::Edf => (
                waiting.sent_at + self.number(waiting.client),
                u64::from(waiting.client),
            ),
            Policy::RoundRobin | Policy::Wfq | Policy::Capped => (0, 0),
        };
        let positions = 0..self.ready.len();
        positions.min_by_key(|&position| key(&self.ready[position]))
    }

    fn forget(&mut self, client: u32) {
        self.ready.retain(|waiting| waiting.client != client);
    }
}

fn apply(policy: Policy, machine: &mut Machine, model: &mut Model, step: Step) {
    match step {
        Step::Add(client, number) => {
            if model.numbers[client as usize].is_none() {
                model.numbers[client as usize] = Some(number);
                machine.add(client, &params(number));
            }
        }
        Step::Update(client, number) => {
            machine.update(client, &params(number));
            let Some(old) = &mut model.numbers[client as usize] else {
                return;
            };
            // A client that changes its priority joins the end of the new line.
            if policy == Policy::Strict && *old != number {
                let waiting = model.ready.iter().position(|w| w.client == client);
                if let Some(waiting) = waiting.and_then(|position| model.ready.remove(position)) {
                    model.ready.push_back(waiting);
                }
            }
            *old = number;
        }
        Step::Remove(client) => {
            machine.remove(client);
            model.numbers[client as usize] = None;
            model.forget(client);
        }
        Step::Ready(client, age) => {
            let sent_at = machine.now.saturating_sub(age);
            machine.ready_since(client, sent_at);
            let present = model.numbers[client as usize].is_some();
            if present && model.ready.iter().all(|waiting| waiting.client != client) {
                let late = policy == Policy::Fifo && sent_at < model.served;
                let sent_at = if late { model.served } else { sent_at };
                model.ready.push_back(Waiting { client, sent_at });
            }
        }
        Step::Suspend(client) => {
            machine.suspend(client);
            model.forget(client);
        }
        Step::Choose => choose(policy, machine, model),
        Step::Wait(cycles) => machine.now += cycles,
    }
}

fn choose(policy: Policy, machine: &mut Machine, model: &mut Model) {
    let chosen = model.choice(policy).and_then(|at| model.ready.remove(at));
    assert_eq!(machine.choose(), chosen.map(|waiting| waiting.client));
    if let Some(waiting) = chosen {
        model.served = waiting.sent_at;
    }
}

proptest! {
    #![proptest_config(crate::machine::same_every_time())]

    #[test]
    fn decisions_are_exact(steps in prop::collection::vec(step(), 0..400)) {
        for policy in [Policy::RoundRobin, Policy::Strict, Policy::Fifo, Policy::Edf] {
            let mut machine = Machine::new(policy);
            let mut model = Model::default();
            for &step in &steps {
                apply(policy, &mut machine, &mut model, step);
            }
            while !model.ready.is_empty() {
                choose(policy, &mut machine, &mut model);
            }
            prop_assert_eq!(machine.choose(), None);
        }
    }
}

#[test]
fn fifo_serves_requests_in_the_order_sent_over_all_queues() {
    let mut machine = Machine::new(Policy::Fifo);
    for client in 0..3 {
        machine.add(client, &ClientParams::default());
    }
    let order = [0, 0, 1, 0, 2, 2, 1, 0];
    for client in order {
        machine.now += 1;
        machine.send(client, 10);
    }
    let served: Vec<u32> = std::iter::from_fn(|| machine.serve()).collect();
    assert_eq!(served, order);
}

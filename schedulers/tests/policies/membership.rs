//! What holds for every policy in the table: it chooses only who is ready, loses nobody, keeps
//! its accounts, and stands calls that make no sense.

use std::collections::BTreeSet;

use proptest::prelude::*;
use vortex_schedulers::{Policy, UnknownPolicy};
use vortex_toolkit::scheduler::{ClientParams, Ready, Reservation, Weight};

use crate::machine::Machine;

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(u32, ClientParams),
    Update(u32, ClientParams),
    Remove(u32),
    Ready(u32, u64),
    Suspend(u32),
    Choose,
    Charge(u32, u64),
    Poll,
    Wait(u64),
}

const CLIENTS: u32 = 10;

fn params() -> impl Strategy<Value = ClientParams> {
    let reservation = (1..5000_u64, 1..5000_u64).prop_map(|(budget, period_cycles)| Reservation {
        budget,
        period_cycles,
    });
    (
        1..=Weight::MAX,
        any::<u8>(),
        any::<u64>(),
        prop::option::of(reservation),
    )
        .prop_map(
            |(weight, priority, deadline_cycles, reservation)| ClientParams {
                weight: Weight::new(weight).unwrap_or(Weight::DEFAULT),
                priority,
                deadline_cycles,
                reservation,
                ..ClientParams::default()
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    let amount = prop_oneof![4 => 0..10_000_u64, 1 => (0..40_u32).prop_map(|bits| 1 << bits)];
    prop_oneof![
        2 => (client.clone(), params()).prop_map(|(c, p)| Step::Add(c, p)),
        1 => (client.clone(), params()).prop_map(|(c, p)| Step::Update(c, p)),
        1 => client.clone().prop_map(Step::Remove),
        6 => (client.clone(), 0..200_u64).prop_map(|(c, age)| Step::Ready(c, age)),
        1 => client.clone().prop_map(Step::Suspend),
        5 => Just(Step::Choose),
        4 => (client, amount).prop_map(|(c, amount)| Step::Charge(c, amount)),
        1 => Just(Step::Poll),
        2 => (1..3000_u64).prop_map(Step::Wait),
    ]
}

#[derive(Default)]
struct Model {
    present: BTreeSet<u32>,
    ready: BTreeSet<u32>,
    decisions: [u64; CLIENTS as usize],
    charged: [u64; CLIENTS as usize],
}

fn choose(policy: Policy, machine: &mut Machine, model: &mut Model) {
    let polled = machine.poll();
    let chosen = machine.choose();
    match polled {
        Ready::Now => assert!(chosen.is_some(), "{policy:?} said it would choose someone"),
        Ready::At(time) => {
            assert_eq!(policy, Policy::Edf, "only budgets make anyone wait");
            assert!(time > machine.now && chosen.is_none());
        }
        Ready::Never => assert!(chosen.is_none()),
    }
    assert_eq!(polled == Ready::Never, model.ready.is_empty(), "{policy:?}");
    if let Some(client) = chosen {
        assert!(
            model.ready.remove(&client),
            "{policy:?} chose {client}, which is not ready"
        );
        model.decisions[client as usize] += 1;
    }
}

fn apply(policy: Policy, machine: &mut Machine, model: &mut Model, step: Step) {
    match step {
        Step::Add(client, params) => {
            if model.present.insert(client) {
                machine.add(client, &params);
                model.decisions[client as usize] = 0;
                model.charged[client as usize] = 0;
            }
        }
        Step::Update(client, params) => machine.update(client, &params),
        Step::Remove(client) => {
            machine.remove(client);
            model.present.remove(&client);
            model.ready.remove(&client);
        }
        Step::Ready(client, age) => {
            machine.ready_since(client, machine.now.saturating_sub(age));
            if model.present.contains(&client) {
                model.ready.insert(client);
            }
        }
        Step::Suspend(client) => {
            machine.suspend(client);
            model.ready.remove(&client);
        }
        Step::Choose => choose(policy, machine, model),
        Step::Charge(client, amount) => {
            machine.charge(client, amount);
            if model.present.contains(&client) {
                model.charged[client as usize] += amount;
            }
        }
        Step::Poll => {
            let never = machine.poll() == Ready::Never;
            assert_eq!(never, model.ready.is_empty(), "{policy:?}");
        }
        Step::Wait(cycles) => machine.now += cycles,
    }
    for &client in &model.present {
        assert_eq!(machine.decisions(client), model.decisions[client as usize]);
        assert_eq!(machine.charged(client), model.charged[client as usize]);
    }
}

proptest! {
    #![proptest_config(crate::machine::same_every_time())]

    #[test]
    fn nobody_is_lost_and_nobody_chosen_who_is_not_ready(
        steps in prop::collection::vec(step(), 0..300),
    ) {
        for &policy in Policy::ALL {
            let mut machine = Machine::new(policy);
            machine.now = 1 << 40;
            let mut model = Model::default();
            for &step in &steps {
                apply(policy, &mut machine, &mut model, step);
            }
            while !model.ready.is_empty() {
                if let Ready::At(time) = machine.poll() {
                    machine.now = time;
                }
                let left = model.ready.len();
                choose(policy, &mut machine, &mut model);
                prop_assert!(model.ready.len() < left, "{:?} chose nobody", policy);
            }
            prop_assert_eq!(machine.choose(), None);
        }
    }
}

#[test]
fn calls_about_clients_that_are_not_there_change_nothing() {
    for &policy in Policy::ALL {
        let mut machine = Machine::new(policy);
        for client in [0, 7, u32::MAX] {
            machine.ready_since(client, 0);
            machine.suspend(client);
            machine.charge(client, 5);
            machine.update(client, &ClientParams::default());
            machine.remove(client);
            assert_eq!(machine.charged(client), 0);
        }
        assert_eq!(machine.poll(), Ready::Never);
        assert_eq!(machine.choose(), None);
    }
}

#[test]
fn a_number_that_is_used_again_is_a_new_client() {
    for &policy in Policy::ALL {
        let mut machine = Machine::new(policy);
        machine.add(3, &ClientParams::default());
        machine.send(3, 100);
        machine.serve();
        machine.send(3, 100);
        machine.remove(3);
        assert_eq!(machine.choose(), None);
        machine.add(3, &ClientParams::default());
        assert_eq!(
            machine.choose(),
            None,
            "{policy:?}: a new client has nothing to do"
        );
        assert_eq!((machine.charged(3), machine.decisions(3)), (0, 0));
        machine.send(3, 1);
        assert_eq!(machine.choose(), Some(3));
    }
}

#[test]
fn names_and_policies_belong_together() {
    for (&policy, &name) in Policy::ALL.iter().zip(Policy::NAMES) {
        assert_eq!(policy.name(), name);
        assert_eq!(Policy::from_name(name), Ok(policy));
    }
    assert_eq!(Policy::from_name("propshare.wqf"), Err(UnknownPolicy));
    let message = UnknownPolicy.to_string();
    assert!(
        message.contains("`propshare.wfq`, `propshare.round-robin`"),
        "{message}"
    );
}

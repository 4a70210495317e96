//! Fair queueing holds its bound, for every pair of busy clients, from every instant to every
//! other.

use crate::machine::{KIND, Machine};
use proptest::prelude::*;
use vortex_schedulers::Policy;
use vortex_toolkit::ids::ClientId;
use vortex_toolkit::scheduler::{ClientKind, ClientParams, Queues, Ready, Weight};

fn weighing(weight: u32) -> ClientParams {
    ClientParams {
        weight: Weight::new(weight).expect("a weight"),
        ..ClientParams::default()
    }
}

/// What the test knows of a client.
#[derive(Clone, Copy, Default)]
struct Account {
    present: bool,
    suspended: bool,
    weight: i128,
    charged: i128,
    /// The largest amount charged between two decisions.
    largest: i128,
}

/// How far two clients were apart while both were busy: least and greatest of
/// charged_i · w_j − charged_j · w_i.
#[derive(Clone, Copy)]
struct Apart {
    least: i128,
    greatest: i128,
}

/// A machine under fair queueing whose every pair of clients is watched.
struct Watched {
    kind: ClientKind,
    burst: u64,
    /// The least sum of all weights that there has been.
    weights: i128,
    machine: Machine,
    accounts: Vec<Account>,
    pairs: Vec<Option<Apart>>,
    in_service: Option<u32>,
}

impl Watched {
    fn new(clients: usize, kind: ClientKind, burst: u64) -> Self {
        Self {
            kind,
            burst,
            weights: i128::MAX,
            machine: Machine::with_burst(Policy::Wfq, kind, burst),
            accounts: vec![Account::default(); clients],
            pairs: vec![None; clients * clients],
            in_service: None,
        }
    }

    fn busy(&self, client: usize) -> bool {
        let account = self.accounts[client];
        let queued = !self.machine.queues.is_empty(ClientId(client as u32));
        account.present && !account.suspended && (queued || self.in_service == Some(client as u32))
    }

    /// Forgets what was seen of a client, whose rate is a new one.
    fn start_over(&mut self, client: usize) {
        let count = self.accounts.len();
        for other in 0..count {
            self.pairs[client * count + other] = None;
            self.pairs[other * count + client] = None;
        }
    }

    fn check(&mut self) {
        let count = self.accounts.len();
        let present = self.accounts.iter().filter(|account| account.present);
        let weights: i128 = present.map(|account| account.weight).sum();
        if weights > 0 {
            self.weights = self.weights.min(weights);
        }
        for i in 0..count {
            for j in 0..i {
                let both = self.busy(i) && self.busy(j);
                let pair = &mut self.pairs[i * count + j];
                if !both {
                    *pair = None;
                    continue;
                }
                let (one, other) = (self.accounts[i], self.accounts[j]);
                let apart = one.charged * other.weight - other.charged * one.weight;
                let seen = pair.get_or_insert(Apart {
                    least: apart,
                    greatest: apart,
                });
                seen.least = seen.least.min(apart);
                seen.greatest = seen.greatest.max(apart);
                // Tags are told apart to 2^-24 units per weight.
                let resolution = ((one.weight * other.weight) >> 24) + 2;
                let each = [one.largest * other.weight, other.largest * one.weight];
                let arrears = match self.kind {
                    ClientKind::Queue { .. } => 0,
                    ClientKind::Scheduler => {
                        let burst = i128::from(self.burst) * one.weight * other.weight;
                        each[0].max(each[1]).max(burst / self.weights + 1)
                    }
                };
                let bound = each[0] + each[1] + arrears + resolution;
                assert!(
                    seen.greatest - seen.least <= bound,
                    "clients {i} (weight {}) and {j} (weight {}) are {} apart, bound {bound}",
                    one.weight,
                    other.weight,
                    seen.greatest - seen.least,
                );
            }
        }
    }

    fn apply(&mut self, step: Step) {
        let client = step.client();
        let account = &mut self.accounts[client];
        let number = client as u32;
        match step {
            Step::Add(_, weight) if !account.present => {
                *account = Account {
                    present: true,
                    weight: weight.into(),
                    ..Account::default()
                };
                self.machine.add(number, &weighing(weight));
                self.start_over(client);
            }
            Step::Send(_, cost, count) if account.present => {
                for _ in 0..count {
                    // A suspended client's requests wait without a word to the scheduler.
                    if account.suspended {
                        self.machine
                            .queues
                            .push(ClientId(number), self.machine.now, cost);
                    } else {
                        self.machine.send(number, cost);
                    }
                }
            }
            Step::Weigh(_, weight) if account.present => {
                account.weight = weight.into();
                self.machine.update(number, &weighing(weight));
                self.start_over(client);
            }
            Step::Suspend(_) if account.present => {
                account.suspended = true;
                self.machine.suspend(number);
            }
            Step::Resume(_) if account.suspended => {
                account.suspended = false;
                self.machine.ready(number);
            }
            Step::Remove(_) if account.present => {
                *account = Account::default();
                self.machine.remove(number);
            }
            Step::Serve(_, count) => {
                for _ in 0..count {
                    self.serve(None);
                }
            }
            Step::SendDuringService(_, cost) => self.serve(Some((client, cost))),
            _ => {}
        }
        self.check();
    }

    /// One turn, in the middle of which a request may come.
    fn serve(&mut self, arrival: Option<(usize, u64)>) {
        let anyone = (0..self.accounts.len()).any(|client| self.busy(client));
        let expected = if anyone { Ready::Now } else { Ready::Never };
        assert_eq!(
            self.machine.poll(),
            expected,
            "it should be work-conserving"
        );
        let Some(chosen) = self.machine.choose() else {
            assert!(!anyone, "it should be work-conserving");
            return;
        };
        assert!(
            self.busy(chosen as usize),
            "it chose {chosen}, which has nothing to do"
        );
        let cost = self.machine.run_without_record(chosen).cost;
        self.in_service = Some(chosen);
        if let Some((client, cost)) = arrival
            && client != chosen as usize
        {
            self.apply(Step::Send(client, cost, 1));
        }
        self.machine.charge(chosen, cost);
        let account = &mut self.accounts[chosen as usize];
        account.charged += i128::from(cost);
        account.largest = account.largest.max(cost.into());
        self.machine.ready(chosen);
        self.check();
        self.in_service = None;
        self.check();
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(usize, u32),
    Send(usize, u64, u8),
    SendDuringService(usize, u64),
    Weigh(usize, u32),
    Suspend(usize),
    Resume(usize),
    Remove(usize),
    Serve(usize, u8),
}

impl Step {
    const fn client(self) -> usize {
        match self {
            Self::Add(client, _)
            | Self::Send(client, ..)
            | Self::SendDuringService(client, _)
            | Self::Weigh(client, _)
            | Self::Suspend(client)
            | Self::Resume(client)
            | Self::Remove(client)
            | Self::Serve(client, _) => client,
        }
    }
}

const CLIENTS: usize = 6;

fn weight() -> impl Strategy<Value = u32> {
    prop_oneof![1..=10_000_u32, Just(1), Just(100), Just(10_000)]
}

fn cost() -> impl Strategy<Value = u64> {
    prop_oneof![1..5000_u64, Just(1), Just(1000), 1..10_000_000_u64]
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        2 => (client.clone(), weight()).prop_map(|(c, w)| Step::Add(c, w)),
        8 => (client.clone(), cost(), 1..30_u8).prop_map(|(c, cost, n)| Step::Send(c, cost, n)),
        4 => (client.clone(), cost()).prop_map(|(c, cost)| Step::SendDuringService(c, cost)),
        1 => (client.clone(), weight()).prop_map(|(c, w)| Step::Weigh(c, w)),
        1 => client.clone().prop_map(Step::Suspend),
        2 => client.clone().prop_map(Step::Resume),
        1 => client.clone().prop_map(Step::Remove),
        12 => (client, 1..40_u8).prop_map(|(c, n)| Step::Serve(c, n)),
    ]
}

proptest! {
    #![proptest_config(crate::machine::same_every_time())]

    #[test]
    fn busy_clients_stay_within_the_bound(
        weights in prop::collection::vec(weight(), CLIENTS),
        steps in prop::collection::vec(step(), 1..200),
        burst in 0_u64..500_000,
    ) {
        for (kind, burst) in [(KIND, burst), (ClientKind::Scheduler, 0), (ClientKind::Scheduler, burst)] {
            stay_within_the_bound(kind, burst, &weights, &steps);
        }
    }
}

fn stay_within_the_bound(kind: ClientKind, burst: u64, weights: &[u32], steps: &[Step]) {
    let mut watched = Watched::new(CLIENTS, kind, burst);
    for (client, &weight) in weights.iter().enumerate() {
        watched.apply(Step::Add(client, weight));
    }
    for &step in steps {
        watched.apply(step);
    }
    for client in 0..CLIENTS {
        watched.apply(Step::Resume(client));
    }
    // Nobody starves: all that is queued is served.
    while (0..CLIENTS).any(|client| watched.busy(client)) {
        watched.serve(None);
    }
}

/// Keeps the clients busy for `turns` turns with requests of `cost`.
fn keep_busy(machine: &mut Machine, clients: &[u32], turns: u32, cost: u64) {
    for &client in clients {
        machine.send(client, cost);
        machine.send(client, cost);
    }
    for _ in 0..turns {
        let client = machine.serve().expect("all are busy");
        machine.send(client, cost);
    }
}

#[test]
fn shares_are_exact_over_a_long_time() {
    let mut machine = Machine::new(Policy::Wfq);
    for (client, weight) in [(0, 300), (1, 200), (2, 100)] {
        machine.add(client, &weighing(weight));
    }
    keep_busy(&mut machine, &[0, 1, 2], 600_000, 777);
    for (client, share) in [(0, 300_000), (1, 200_000), (2, 100_000_u64)] {
        let off = machine.decisions(client).abs_diff(share);
        assert!(off <= 1, "client {client} is {off} decisions off");
    }
}

#[test]
fn rates_are_exact_at_the_greatest_weights() {
    let weights = [Weight::MAX, Weight::MAX - 1, 7_654_321, 1_000_003];
    let mut machine = Machine::new(Policy::Wfq);
    for (client, weight) in (0..).zip(weights) {
        machine.add(client, &weighing(weight));
    }
    keep_busy(&mut machine, &[0, 1, 2, 3], 500_000, 777);
    let total: u32 = weights.iter().sum();
    for (client, weight) in (0..).zip(weights) {
        let due = 500_000.0 * f64::from(weight) / f64::from(total);
        let off = (machine.decisions(client) as f64 - due).abs();
        assert!(off <= 2.0, "client {client} is {off} decisions off");
    }
}

#[test]
fn a_crowd_of_any_size_shares_fairly() {
    for count in [2, 17, 300, 5000] {
        let mut machine = Machine::new(Policy::Wfq);
        let clients: Vec<u32> = (0..count).collect();
        for &client in &clients {
            machine.add(client, &weighing(1 + client % 7));
        }
        keep_busy(&mut machine, &clients, count * 40, 1000);
        let rate = |client: u32| machine.decisions(client) as f64 / f64::from(1 + client % 7);
        let least = clients.iter().map(|&c| rate(c)).fold(f64::MAX, f64::min);
        let greatest = clients.iter().map(|&c| rate(c)).fold(0.0, f64::max);
        // Requests cost the same, so the bound is 1 / w_i + 1 / w_j decisions per weight.
        assert!(
            greatest - least <= 2.0,
            "{count} clients: {least} to {greatest}"
        );
    }
}

#[test]
fn an_idle_client_comes_back_without_credit() {
    let mut machine = Machine::new(Policy::Wfq);
    machine.add(0, &weighing(100));
    machine.add(1, &weighing(100));
    keep_busy(&mut machine, &[0], 10_000, 1000);
    machine.send(1, 1000);
    machine.send(1, 1000);
    let before = machine.decisions(0);
    for _ in 0..100 {
        let client = machine.serve().expect("both are busy");
        machine.send(client, 1000);
    }
    assert!((machine.decisions(0) - before).abs_diff(50) <= 1);
}

/// Of two equal clients, how often the second is chosen in the next eight turns, after it was away
/// for so many of the first one's.
fn chosen_after_absence(kind: ClientKind, turns: u32) -> usize {
    let mut machine = Machine::with_clients(Policy::Wfq, kind);
    machine.add(0, &weighing(100));
    machine.add(1, &weighing(100));
    for client in [1, 0, 0] {
        machine.send(client, 1000);
    }
    assert_eq!(machine.serve(), Some(1));
    for _ in 0..turns {
        assert_eq!(machine.serve(), Some(0));
        machine.send(0, 1000);
    }
    machine.send(1, 1000);
    let mut chosen = 0;
    for _ in 0..8 {
        let client = machine.serve().expect("both are busy");
        machine.send(client, 1000);
        chosen += usize::from(client == 1);
    }
    chosen
}

#[test]
fn a_scheduler_that_is_back_soon_keeps_its_place() {
    for turns in 0..100 {
        // In the first two turns the other one only catches up.
        let late = (3..=6).contains(&turns);
        let scheduler = chosen_after_absence(ClientKind::Scheduler, turns);
        assert_eq!(scheduler, 4 + usize::from(late), "away for {turns} turns");
        assert_eq!(
            chosen_after_absence(KIND, turns),
            4,
            "away for {turns} turns"
        );
    }
}

/// How often a client that has been away for long is chosen at once, and how often of 1000 times. The
/// other one was busy meanwhile, or idle now and then.
fn chosen_after_long(kind: ClientKind, burst: u64, is_busy: bool) -> (usize, usize) {
    let mut machine = Machine::with_burst(Policy::Wfq, kind, burst);
    machine.add(0, &weighing(100));
    machine.add(1, &weighing(100));
    if is_busy {
        machine.send(0, 1000);
    }
    for _ in 0..100 {
        machine.send(0, 1000);
        assert_eq!(machine.serve(), Some(0));
        assert_eq!(machine.poll() == Ready::Now, is_busy);
    }
    machine.send(0, 1000);
    machine.send(1, 1000);
    let mut chosen = Vec::new();
    for _ in 0..1000 {
        let client = machine.serve().expect("both are busy");
        machine.send(client, 1000);
        chosen.push(client);
    }
    let at_once = chosen.iter().take_while(|client| **client == 1).count();
    (
        at_once,
        chosen.iter().filter(|client| **client == 1).count(),
    )
}

#[test]
fn a_scheduler_that_comes_back_has_its_burst_once() {
    // At the end of a busy period, the other one has been charged for its last turn, too.
    for (is_busy, with_burst) in [(true, (6, 503)), (false, (5, 502))] {
        let chosen = |kind, burst| chosen_after_long(kind, burst, is_busy);
        assert_eq!(chosen(ClientKind::Scheduler, 9_990), with_burst);
        let without = (usize::from(is_busy), 500);
        assert_eq!(chosen(ClientKind::Scheduler, 0), without);
        assert_eq!(chosen(KIND, 9_990), without);
    }
}

/// The file read experiment (section 4.3 of the paper) on one core: three processes with a thread
/// each, whose every step is work of the thread and then of resources in turn. The threads'
/// schedulers and the resources' are below one multiplexor.
#[test]
fn who_needs_several_resources_in_turn_keeps_its_share() {
    /// The resource, or none for the thread itself, and the work on average.
    const STEPS: [(Option<usize>, u64); 6] = [
        (None, 4600),
        (Some(0), 900),
        (Some(1), 500),
        (Some(0), 900),
        (Some(2), 2300),
        (Some(0), 900),
    ];
    let weights = [50, 33, 17];
    let mut multiplexor = Machine::with_clients(Policy::Wfq, ClientKind::Scheduler);
    let mut resources = [const { Policy::Wfq }; 3].map(Machine::new);
    for (process, weight) in (0..).zip(weights) {
        multiplexor.add(process, &weighing(15 * weight));
        multiplexor.send(process, STEPS[0].1);
        for resource in &mut resources {
            resource.add(process, &weighing(weight));
        }
    }
    for resource in 0..3 {
        multiplexor.add(3 + resource, &weighing(500));
    }
    let (mut steps, mut received, mut random) = ([0; 3], [0; 3], 1_u64);
    for _ in 0..300_000 {
        let chosen = multiplexor.choose().expect("there is always work");
        let mut request = multiplexor.run_without_record(chosen);
        let mut process = chosen;
        let resource = chosen.checked_sub(3).map(|resource| resource as usize);
        if let Some(resource) = resource {
            process = resources[resource].choose().expect("it was asked for");
            request = resources[resource].run(process);
        }
        received[process as usize] += request.cost;
        let step = &mut steps[process as usize];
        *step = (*step + 1) % STEPS.len();
        let (next, work) = STEPS[*step];
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let cost = work * (700 + (random >> 33) % 600) / 1000;
        match next {
            Some(next) => {
                resources[next].send(process, cost);
                multiplexor.send(3 + next as u32, 0);
            }
            None => multiplexor.send(process, cost),
        }
        multiplexor.charge(chosen, request.cost);
        multiplexor.ready(chosen);
        if let Some(resource) = resource {
            resources[resource].ready(process);
        }
    }
    let sum: u64 = received.iter().sum();
    for (received, weight) in received.into_iter().zip(weights) {
        let off = 100.0 * received as f64 / sum as f64 - f64::from(weight);
        assert!(off.abs() < 0.2, "{off} points from {weight} %");
    }
}

#[test]
fn use_of_an_idle_machine_is_not_held_against_anyone() {
    let mut machine = Machine::new(Policy::Wfq);
    machine.add(0, &weighing(1));
    machine.add(1, &weighing(10_000));
    for client in [0, 1, 0, 1] {
        machine.send(client, 1_000_000);
        assert_eq!(machine.serve(), Some(client));
        // Retrospectively, and a lot.
        machine.charge(client, 1 << 40);
        assert_eq!(machine.poll(), Ready::Never);
    }
    machine.send(0, 10);
    machine.send(1, 10);
    assert_eq!(
        machine.serve(),
        Some(0),
        "both should start level, the first one first"
    );
}

#[test]
fn work_charged_afterwards_counts() {
    let mut machine = Machine::new(Policy::Wfq);
    machine.add(0, &weighing(100));
    machine.add(1, &weighing(100));
    keep_busy(&mut machine, &[0, 1], 100, 1000);
    // Client 1 is ready, and loses its place to client 0 for as long as that took.
    machine.charge(1, 50_000);
    let before = machine.decisions(1);
    let mut alone = 0;
    while machine.decisions(1) == before {
        let client = machine.serve().expect("both are busy");
        machine.send(client, 1000);
        alone += 1;
    }
    assert!(
        (49..=53).contains(&alone),
        "client 1 waited for {alone} decisions"
    );
    for _ in 0..100 {
        let client = machine.serve().expect("both are busy");
        machine.send(client, 1000);
    }
    assert!(machine.charged(0).abs_diff(machine.charged(1)) <= 2000);
}

#[test]
fn work_charged_to_an_idle_client_counts_when_it_comes_back() {
    let mut machine = Machine::new(Policy::Wfq);
    machine.add(0, &weighing(100));
    machine.add(1, &weighing(100));
    keep_busy(&mut machine, &[0], 1000, 1000);
    machine.charge(1, 50_000);
    machine.send(1, 1000);
    let mut alone = 0;
    while machine.decisions(1) == 0 {
        let client = machine.serve().expect("both are busy");
        machine.send(client, 1000);
        alone += 1;
    }
    assert!(
        (49..=52).contains(&alone),
        "client 1 waited for {alone} decisions"
    );
}

#[test]
fn a_question_during_service_forgives_nothing() {
    let mut machine = Machine::new(Policy::Wfq);
    machine.add(0, &weighing(10_000));
    machine.add(1, &weighing(1));
    for client in [0, 1, 0, 0, 0] {
        machine.send(client, 1000);
    }
    assert_eq!(machine.serve(), Some(0));
    assert_eq!(machine.serve(), Some(1));
    // Client 1 has received 10,000 times its share and is idle; client 0 is busy all along.
    assert_eq!(machine.choose(), Some(0));
    assert_eq!(machine.poll(), Ready::Never);
    machine.run(0);
    machine.ready(0);
    machine.send(1, 1000);
    for _ in 0..100 {
        assert_eq!(machine.serve(), Some(0));
        machine.send(0, 1000);
    }
}

#[test]
fn requests_that_cost_nothing_do_not_hold_the_resource() {
    let mut machine = Machine::new(Policy::Wfq);
    machine.add(0, &weighing(100));
    machine.add(1, &weighing(100));
    for _ in 0..2000 {
        machine.send(0, 0);
        machine.send(1, 100);
    }
    for _ in 0..1010 {
        machine.serve();
    }
    assert!(
        machine.decisions(1) >= 9,
        "it was chosen {} times",
        machine.decisions(1)
    );
}

#[test]
fn a_new_weight_counts_within_a_round() {
    let mut machine = Machine::new(Policy::Wfq);
    machine.add(0, &weighing(1));
    machine.add(1, &weighing(10_000));
    keep_busy(&mut machine, &[0, 1], 20_000, 1000);
    assert!(machine.decisions(0) <= 4);
    machine.update(0, &weighing(10_000));
    let before = (machine.decisions(0), machine.decisions(1));
    for _ in 0..100 {
        let client = machine.serve().expect("both are busy");
        machine.send(client, 1000);
    }
    assert!((machine.decisions(0) - before.0).abs_diff(50) <= 1);
    assert!((machine.decisions(1) - before.1).abs_diff(50) <= 1);
}

#[test]
fn the_largest_amounts_break_nothing() {
    for amount in [1 << 38, 1 << 48, 1 << 60, u64::MAX >> 2] {
        let mut machine = Machine::new(Policy::Wfq);
        machine.add(0, &weighing(1));
        machine.add(1, &weighing(1));
        machine.add(2, &weighing(Weight::MAX));
        for client in [0, 1, 2, 0, 1, 2] {
            machine.send(client, 10);
        }
        machine.charge(0, amount);
        machine.charge(1, amount / 2);
        machine.charge(2, amount / 2);
        let order: Vec<u32> = std::iter::from_fn(|| machine.serve()).collect();
        assert_eq!(order, [2, 2, 1, 1, 0, 0], "charged {amount}");
    }
}

#[test]
fn years_of_cycles_at_the_least_weight_break_nothing() {
    let mut machine = Machine::new(Policy::Wfq);
    machine.add(0, &weighing(1));
    machine.add(1, &weighing(1));
    machine.add(2, &weighing(2));
    // A hundred years at 3 GHz, with one client that idles most of the time.
    let chunk = 1 << 48;
    for turn in 0..40_000_u32 {
        machine.now = 0;
        machine.send(0, chunk);
        machine.send(1, chunk);
        if turn % 1000 == 0 {
            machine.send(2, chunk);
        }
        while machine.serve().is_some() {}
    }
    for client in 0..2 {
        assert_eq!(machine.decisions(client), 40_000);
    }
    assert_eq!(machine.decisions(2), 40);
}

//! A scheduler under test as the toolkit sees it: queues, and the calls in the toolkit's order.

use std::collections::VecDeque;

use proptest::test_runner::{Config, RngSeed};
use vortex_schedulers::Policy;
use vortex_toolkit::ids::{
    ActivityId, AffinityLabel, ClientId, CoreId, DependencyLabel, ResourceId,
};
use vortex_toolkit::record::{Metric, Record, RecordKind};
use vortex_toolkit::scheduler::{
    ClientKind, ClientParams, Immovable, Queues, Ready, RequestView, Scheduler, SchedulerParams,
};

/// Property tests that run the same cases every time.
pub(crate) fn same_every_time() -> Config {
    Config {
        rng_seed: RngSeed::Fixed(201_170),
        failure_persistence: None,
        ..Config::default()
    }
}

/// A queued request: as policies see it, and what it will cost.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) view: RequestView,
    pub(crate) cost: u64,
}

/// The test double of the toolkit's queues, one for each client number.
#[derive(Default)]
pub(crate) struct TestQueues(Vec<VecDeque<Request>>);

impl TestQueues {
    pub(crate) fn push(&mut self, client: ClientId, sent_at: u64, cost: u64) {
        if self.0.len() <= client.index() {
            self.0.resize_with(client.index() + 1, VecDeque::new);
        }
        let view = RequestView {
            source: ResourceId::OUTSIDE,
            dependency: DependencyLabel::NONE,
            affinity: AffinityLabel::NONE,
            sent_at,
            sort_key: 0,
        };
        self.0[client.index()].push_back(Request { view, cost });
    }

    pub(crate) fn pop(&mut self, client: ClientId) -> Option<Request> {
        self.0.get_mut(client.index())?.pop_front()
    }

    pub(crate) fn clear(&mut self, client: ClientId) {
        if let Some(queue) = self.0.get_mut(client.index()) {
            queue.clear();
        }
    }

    fn get(&self, client: ClientId, position: usize) -> Option<&Request> {
        self.0.get(client.index())?.get(position)
    }
}

impl Queues for TestQueues {
    fn len(&self, client: ClientId) -> usize {
        self.0.get(client.index()).map_or(0, VecDeque::len)
    }

    fn peek(&self, client: ClientId, position: usize) -> Option<RequestView> {
        self.get(client, position).map(|request| request.view)
    }

    fn promote(&mut self, client: ClientId, position: usize) -> Result<(), Immovable> {
        let moving = self.peek(client, position).ok_or(Immovable)?;
        let label = (moving.source, moving.dependency);
        let ordered = moving.dependency != DependencyLabel::NONE;
        let queue = &mut self.0[client.index()];
        let before = queue.iter().take(position);
        let same = |r: &Request| (r.view.source, r.view.dependency) == label;
        if ordered && before.into_iter().any(same) {
            return Err(Immovable);
        }
        let request = queue.remove(position).ok_or(Immovable)?;
        queue.push_front(request);
        Ok(())
    }
}

pub(crate) const KIND: ClientKind = ClientKind::Queue {
    resource: ResourceId(0),
    activity: ActivityId(1),
};

/// One core with one scheduler, its clients' queues and its clock.
pub(crate) struct Machine {
    core: <Policy as Scheduler>::Core,
    /// What its clients are.
    kind: ClientKind,
    pub(crate) queues: TestQueues,
    pub(crate) now: u64,
}

impl Machine {
    pub(crate) fn new(policy: Policy) -> Self {
        Self::with_clients(policy, KIND)
    }

    /// With clients of this kind.
    pub(crate) fn with_clients(policy: Policy, kind: ClientKind) -> Self {
        Self::with_burst(policy, kind, 0)
    }

    /// With clients of this kind, and a burst.
    pub(crate) fn with_burst(policy: Policy, kind: ClientKind, burst: u64) -> Self {
        let shared = policy.init(&SchedulerParams {
            burst,
            ..SchedulerParams::default()
        });
        Self {
            core: Policy::init_core(&shared, CoreId(0)),
            kind,
            queues: TestQueues::default(),
            now: 0,
        }
    }

    pub(crate) fn add(&mut self, client: u32, params: &ClientParams) {
        Policy::add_client(&mut self.core, ClientId(client), self.kind, params);
    }

    pub(crate) fn update(&mut self, client: u32, params: &ClientParams) {
        Policy::update_client(&mut self.core, ClientId(client), params);
    }

    pub(crate) fn remove(&mut self, client: u32) {
        Policy::remove_client(&mut self.core, ClientId(client));
        self.queues.clear(ClientId(client));
    }

    /// A request that is sent now.
    pub(crate) fn send(&mut self, client: u32, cost: u64) {
        self.send_at(client, self.now, cost);
    }

    /// A request that was sent at that time.
    pub(crate) fn send_at(&mut self, client: u32, sent_at: u64, cost: u64) {
        let id = ClientId(client);
        self.queues.push(id, sent_at, cost);
        if self.queues.len(id) == 1 {
            self.ready(client);
        }
    }

    /// `client_ready`, if anything is queued.
    pub(crate) fn ready(&mut self, client: u32) {
        let id = ClientId(client);
        if let Some(head) = self.queues.peek(id, 0) {
            Policy::client_ready(&mut self.core, id, head.sent_at, self.now);
        }
    }

    /// `client_ready` with a head request that was sent then, whatever is queued.
    pub(crate) fn ready_since(&mut self, client: u32, sent_at: u64) {
        Policy::client_ready(&mut self.core, ClientId(client), sent_at, self.now);
    }

    pub(crate) fn suspend(&mut self, client: u32) {
        Policy::client_suspended(&mut self.core, ClientId(client));
    }

    pub(crate) fn poll(&mut self) -> Ready {
        Policy::poll_ready(&mut self.core, self.now)
    }

    /// Only the decision.
    pub(crate) fn choose(&mut self) -> Option<u32> {
        let chosen = Policy::schedule(&mut self.core, &mut self.queues, self.now);
        chosen.map(|client| client.0)
    }

    /// Runs the head request of the client that was chosen, and leaves the record to be made.
    pub(crate) fn run_without_record(&mut self, client: u32) -> Request {
        let request = self.queues.pop(ClientId(client));
        let request = request.expect("a chosen client should have something queued");
        self.now += request.cost;
        request
    }

    /// Runs the head request of the client that was chosen.
    pub(crate) fn run(&mut self, client: u32) -> Request {
        let request = self.run_without_record(client);
        self.charge(client, request.cost);
        request
    }

    /// A record for a client.
    pub(crate) fn charge(&mut self, client: u32, cost: u64) {
        let mut basic = [0; Metric::COUNT];
        basic[Metric::Cpu as usize] = cost;
        let record = Record {
            kind: RecordKind::Executed,
            activity: ActivityId(1),
            basic: &basic,
            further: &[],
        };
        Policy::resource_record(&mut self.core, ClientId(client), &record, self.now);
    }

    /// One whole turn: decision, request, record, ready again.
    pub(crate) fn serve(&mut self) -> Option<u32> {
        let client = self.choose()?;
        self.run(client);
        self.ready(client);
        Some(client)
    }

    pub(crate) fn charged(&self, client: u32) -> u64 {
        Policy::client_statistics(&self.core, ClientId(client)).charged
    }

    pub(crate) fn decisions(&self, client: u32) -> u64 {
        Policy::client_statistics(&self.core, ClientId(client)).decisions
    }
}

//! What probes do when they are handled.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use vortex_toolkit::ids::{ActivityId, AffinityLabel, CoreId, DependencyLabel, ResourceId};
use vortex_toolkit::record::{Field, Metric};
use vortex_toolkit::scheduler::{Scheduler, SchedulerParams};
use vortex_toolkit::{
    Asker, Context, Control, Head, Message, NewPolicy, Outcome, Port, Reason, Request, Resources,
    System, Task,
};

use super::signals::Signals;
use super::{Chances, Scenario, StressGrid, client_params, control_resource, scheduler_params};
use crate::audit::{Audit, Ticket};
use crate::machine::VirtualCore;

/// The system of a stress run, under the policies `P`.
#[derive(Debug)]
pub struct Stress<P>(PhantomData<P>);

impl<P: Scheduler + Clone> System for Stress<P> {
    type Platform = VirtualCore;
    type Policy = P;
    type Message = Probe;
    type Resources = Prober<P>;
}

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// To be handled, in some random way.
    Work,
    /// To answer a call.
    Reply,
    /// To resume a resource that has rejected a probe.
    Resume(ResourceId),
    /// To change something, at random.
    Change,
    /// To resume everything.
    ResumeAll,
    /// To end everything.
    EndAll,
}

/// A request's message.
#[derive(Debug)]
pub struct Probe {
    pub(super) kind: Kind,
    fuel: u8,
    rejections: u8,
    /// Waits already, or has done so.
    waited: bool,
    /// A reply is waited for.
    is_call: bool,
    ticket: Option<Ticket>,
}

impl Message for Probe {
    fn sort_key(&self) -> u64 {
        u64::from(self.fuel)
    }
}

impl Probe {
    pub(super) const fn new(kind: Kind, fuel: u8) -> Self {
        Self {
            kind,
            fuel,
            rejections: 0,
            waited: false,
            is_call: false,
            ticket: None,
        }
    }

    /// Takes a ticket for the request that this is the message of.
    pub(super) fn take_ticket(&mut self, audit: &Audit, head: &Head, origin: ActivityId) {
        self.ticket = Some(match self.kind {
            Kind::Reply => audit.reply(),
            _ => audit.send(head, origin),
        });
    }
}

/// What all cores share.
pub(super) struct Shared<P> {
    pub(super) audit: Audit,
    pub(super) resources: u32,
    scenario: Scenario<P>,
    rng: Mutex<fastrand::Rng>,
    /// Activities and resources that may still end.
    ends: Mutex<u32>,
    /// Nothing is to be changed any more.
    is_calm: AtomicBool,
    pub(super) signals: Signals,
}

impl<P: Clone> Shared<P> {
    pub(super) fn new(scenario: &Scenario<P>, rng: &mut fastrand::Rng) -> Self {
        Self {
            audit: Audit::default(),
            resources: scenario.resources,
            scenario: scenario.clone(),
            rng: Mutex::new(rng.fork()),
            ends: Mutex::new((scenario.resources + scenario.activities) / 2),
            is_calm: AtomicBool::new(false),
            signals: Signals::default(),
        }
    }
}

impl<P> Shared<P> {
    fn rng(&self) -> std::sync::MutexGuard<'_, fastrand::Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The resources of one core.
pub struct Prober<P: Scheduler + Clone> {
    shared: Arc<Shared<P>>,
    grid: StressGrid<P>,
    core: VirtualCore,
}

/// How a probe is handled.
enum Way {
    Plain,
    Reject,
    Wait,
    Task,
}

type Ctx<'a, P> = Context<'a, Stress<P>>;

impl<P: Scheduler + Clone> Prober<P> {
    pub(super) fn new(shared: Arc<Shared<P>>, grid: StressGrid<P>, core: VirtualCore) -> Self {
        Self { shared, grid, core }
    }

    fn chances(&self) -> &Chances {
        &self.shared.scenario.chances
    }

    fn way(&self, probe: &Probe) -> Way {
        let dice = u32::from(self.shared.rng().u8(..));
        let Chances {
            reject, wait, task, ..
        } = *self.chances();
        let (reject, wait, task) = (u32::from(reject), u32::from(wait), u32::from(task));
        if dice < reject {
            if probe.rejections < 2 {
                Way::Reject
            } else {
                Way::Plain
            }
        } else if dice < reject + wait && !probe.waited && probe.fuel > 0 {
            Way::Wait
        } else if dice < reject + wait + task && probe.fuel > 0 {
            Way::Task
        } else {
            Way::Plain
        }
    }

    fn is_lucky(&self, chance: u8) -> bool {
        self.shared.rng().u8(..) < chance
    }

    /// A probe that comes from handling `probe`.
    fn child(&self, context: &Ctx<'_, P>, head: &Head, fuel: u8) -> Request<Probe> {
        let mut rng = self.shared.rng();
        let destination = ResourceId(rng.u32(..self.shared.resources));
        let mut request = context.request(destination, Probe::new(Kind::Work, fuel));
        // The order of labels that handlers on several cores use at once is nobody's.
        match rng.u8(..4) {
            0 => {
                request = request
                    .near(AffinityLabel::NONE)
                    .ordered(DependencyLabel::NONE);
            }
            1 => request = request.ordered(DependencyLabel::NONE),
            _ => {}
        }
        drop(rng);
        request
            .message
            .take_ticket(&self.shared.audit, &request.head, head.activity);
        request
    }

    fn control_request(&self, context: &Ctx<'_, P>, kind: Kind) -> Request<Probe> {
        let destination = control_resource(self.shared.resources);
        let mut request = context
            .request(destination, Probe::new(kind, 0))
            .near(AffinityLabel::NONE)
            .ordered(DependencyLabel::NONE)
            .paid_by(ActivityId::INFRASTRUCTURE);
        request.message.take_ticket(
            &self.shared.audit,
            &request.head,
            ActivityId::INFRASTRUCTURE,
        );
        request
    }

    fn work(&mut self, mut probe: Probe, context: &mut Ctx<'_, P>) -> Outcome<Probe> {
        let head = *context.head();
        let ticket = probe.ticket;
        match self.way(&probe) {
            Way::Reject => {
                probe.rejections += 1;
                let resume = self.control_request(context, Kind::Resume(head.destination));
                context.send(resume);
                return Outcome::Rejected(probe);
            }
            Way::Wait => {
                probe.waited = true;
                let destination = ResourceId(self.shared.rng().u32(..self.shared.resources));
                let call = Probe::new(Kind::Work, probe.fuel - 1);
                let call = context.request(destination, call);
                let trigger = context.call(as_call(call, &self.shared.audit, head.activity));
                return Outcome::Wait(probe, trigger);
            }
            Way::Task => return self.task(&probe, context),
            Way::Plain => {}
        }
        self.consume(context);
        self.offspring(&head, probe.fuel, context);
        self.changes(context);
        self.wakes(&head, context);
        if let Some(ticket) = ticket {
            self.shared.audit.execute(ticket);
        }
        if probe.is_call {
            let mut reply = Probe::new(Kind::Reply, 0);
            reply.take_ticket(&self.shared.audit, &head, head.activity);
            context.reply(&head, reply);
        }
        Outcome::Done
    }

    /// Fills in the record.
    fn consume(&self, context: &mut Ctx<'_, P>) {
        let mut rng = self.shared.rng();
        context.add_bytes(rng.u64(..5_000));
        context.add_memory(rng.u64(..100));
        let (resource, activity) = (
            ResourceId(rng.u32(..self.shared.resources)),
            ActivityId(rng.u32(0..=self.shared.scenario.activities)),
        );
        if rng.u8(..) < 8 {
            context.set_field(Field(1), rng.u64(..));
            context.report(resource, activity, Metric::Bytes, 1_000);
        }
        drop(rng);
        if self.is_lucky(self.chances().attribute) {
            context.attribute(activity);
        }
    }

    fn offspring(&self, head: &Head, fuel: u8, context: &mut Ctx<'_, P>) {
        if fuel == 0 {
            return;
        }
        let children = [1, 1, 1, 2][self.shared.rng().usize(..4)];
        for _ in 0..children {
            let child = self.child(context, head, fuel - 1);
            context.send(child);
        }
    }

    fn changes(&self, context: &mut Ctx<'_, P>) {
        let Chances {
            suspend,
            change,
            remove_client,
            end,
            ..
        } = *self.chances();
        if [suspend, change, remove_client, end]
            .into_iter()
            .any(|chance| self.is_lucky(chance))
        {
            let request = self.control_request(context, Kind::Change);
            context.send(request);
        }
    }

    /// Wakes a task, and begins one that only waits to be woken.
    fn wakes(&self, head: &Head, context: &mut Ctx<'_, P>) {
        if !self.is_lucky(self.chances().wake) {
            return;
        }
        let signals = self.shared.signals.clone();
        let mut rng = self.shared.rng();
        signals.wake_one(&mut rng);
        drop(rng);
        // Refused if the activity has ended meanwhile.
        let _refused = context.spawn(head, |_| async move { signals.wait().await });
    }

    /// Goes on with a probe as a task.
    fn task(&self, probe: &Probe, context: &mut Ctx<'_, P>) -> Outcome<Probe> {
        let calls = self.shared.rng().usize(1..=3);
        let fuel = probe.fuel - 1;
        let audit = self.shared.audit.clone();
        let (head, is_call) = (*context.head(), probe.is_call);
        let ongoing = probe.ticket.map(|ticket| {
            audit.execute(ticket);
            audit.go_on(ticket)
        });
        let destinations: Vec<_> = {
            let mut rng = self.shared.rng();
            (0..calls)
                .map(|_| ResourceId(rng.u32(..self.shared.resources)))
                .collect()
        };
        let waits = self.is_lucky(self.chances().wake);
        let signals = self.shared.signals.clone();
        let body = move |port: Port<Probe>| async move {
            for destination in destinations {
                if waits {
                    signals.wait().await;
                }
                let call = port.request(destination, Probe::new(Kind::Work, fuel));
                port.add_bytes(10);
                match port.call(as_call(call, &audit, head.activity)).await {
                    Ok(reply) => {
                        if let Some(ticket) = reply.ticket {
                            audit.start(ticket);
                            audit.execute(ticket);
                        }
                    }
                    Err((request, reason)) => {
                        if let Some(ticket) = request.message.ticket {
                            audit.hand_back(ticket, reason);
                        }
                    }
                }
            }
            if is_call {
                let mut reply = Probe::new(Kind::Reply, 0);
                reply.take_ticket(&audit, &head, head.activity);
                port.reply(reply);
            }
            drop(ongoing);
        };
        Outcome::Continue(Task::new(context.port(), body))
    }

    /// Changes something.
    fn change(&self, context: &mut Ctx<'_, P>) {
        if self.shared.is_calm.load(Ordering::Relaxed) {
            return;
        }
        let chances = *self.chances();
        let mut rng = self.shared.rng();
        let activity = ActivityId(rng.u32(1..=self.shared.scenario.activities));
        let resource = ResourceId(rng.u32(..self.shared.resources));
        let weights = [
            chances.suspend,
            chances.change,
            chances.remove_client,
            chances.end,
        ];
        let total = weights.iter().map(|weight| u32::from(*weight)).sum::<u32>();
        let mut dice = rng.u32(..total.max(1));
        let chosen = weights.iter().position(|weight| {
            let hit = dice < u32::from(*weight);
            dice = dice.saturating_sub(u32::from(*weight));
            hit
        });
        let control = match (chosen, rng.bool(), rng.u8(..3)) {
            (Some(0), true, 0) => Control::SuspendActivity(activity),
            (Some(0), true, _) => Control::ResumeActivity(activity),
            (Some(0), false, 0) => Control::SuspendResource(resource),
            (Some(0), false, _) => Control::ResumeResource(resource),
            (Some(1), ..) => {
                drop(rng);
                return self.adjust(context, activity, resource);
            }
            (Some(2), _, _) => Control::RemoveClient(resource, activity),
            (Some(3), is_activity, _) => {
                let mut ends = self
                    .shared
                    .ends
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if *ends == 0 {
                    return;
                }
                *ends -= 1;
                if is_activity {
                    Control::EndActivity(activity)
                } else {
                    Control::RemoveResource(resource)
                }
            }
            _ => return,
        };
        drop(rng);
        context.control(&control);
    }

    /// Changes a policy, parameters or a binding.
    fn adjust(&self, context: &mut Ctx<'_, P>, activity: ActivityId, resource: ResourceId) {
        let scenario = &self.shared.scenario;
        let mut rng = self.shared.rng();
        let core = CoreId(rng.u16(..scenario.cores));
        let control = match rng.u8(..6) {
            0 => {
                let label = AffinityLabel(rng.u64(0..=scenario.labels));
                drop(rng);
                // Refused where the resource or the activity is gone, or does not ask there.
                let _refused = context.bind(resource, activity, label, core);
                return;
            }
            1 => {
                let params = client_params(scenario, &mut rng);
                let core = rng.bool().then_some(core);
                Control::SetAsk(Asker::Resource(resource), core, params)
            }
            2 | 3 => {
                let params = client_params(scenario, &mut rng);
                Control::SetClient(resource, activity, params)
            }
            _ => {
                let policy = &scenario.policies[rng.usize(..scenario.policies.len())];
                let params: SchedulerParams = scheduler_params(scenario, &mut rng);
                Control::ReplacePolicy(resource, NewPolicy::new(policy, &params))
            }
        };
        drop(rng);
        context.control(&control);
    }

    fn resume_all(&self, context: &mut Ctx<'_, P>) {
        self.shared.is_calm.store(true, Ordering::Relaxed);
        self.shared.signals.end();
        for number in 0..=self.shared.scenario.activities {
            context.control(&Control::ResumeActivity(ActivityId(number)));
        }
        for number in 0..self.shared.resources {
            context.control(&Control::ResumeResource(ResourceId(number)));
        }
    }

    /// Ends all activities and removes all resources, but for those of the control itself.
    fn end_all(&self, context: &mut Ctx<'_, P>) {
        for number in 1..=self.shared.scenario.activities {
            context.control(&Control::EndActivity(ActivityId(number)));
        }
        for number in 0..self.shared.resources {
            context.control(&Control::RemoveResource(ResourceId(number)));
        }
    }
}

/// Makes a call of a request, with labels of its own: it must not wait behind the one that waits
/// for it.
fn as_call(mut call: Request<Probe>, audit: &Audit, origin: ActivityId) -> Request<Probe> {
    let label = audit.fresh_label();
    call = call
        .ordered(DependencyLabel(label))
        .near(AffinityLabel(label % 13 + 1_000));
    call.message.take_ticket(audit, &call.head, origin);
    call.message.is_call = true;
    call
}

impl<P: Scheduler + Clone> Resources<Stress<P>> for Prober<P> {
    fn handle(&mut self, probe: Probe, context: &mut Ctx<'_, P>) -> Outcome<Probe> {
        if let Some(ticket) = probe.ticket {
            self.shared.audit.start(ticket);
        }
        let service = self
            .shared
            .rng()
            .u64(0..=self.shared.scenario.service_cycles);
        self.core.spend(service);
        match probe.kind {
            Kind::Work => return self.work(probe, context),
            Kind::Reply => {}
            Kind::Resume(resource) => context.resume(resource),
            Kind::Change => self.change(context),
            Kind::ResumeAll => self.resume_all(context),
            Kind::EndAll => self.end_all(context),
        }
        if let Some(ticket) = probe.ticket {
            self.shared.audit.execute(ticket);
        }
        let _ = &self.grid;
        Outcome::Done
    }

    fn returned(&mut self, request: Request<Probe>, reason: Reason, _: &mut Ctx<'_, P>) {
        if let Some(ticket) = request.message.ticket {
            self.shared.audit.hand_back(ticket, reason);
        }
    }
}

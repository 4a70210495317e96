//! Policies that do not behave, each in one way: as good as round-robin until, after some
//! decisions, it does what its [`Vice`] says.

use std::collections::{BTreeSet, VecDeque};

use vortex_toolkit::ids::{AffinityLabel, ClientId, CoreId};
use vortex_toolkit::record::Record;
use vortex_toolkit::scheduler::{
    ClientKind, ClientParams, ClientStatistics, CoreBinding, Lifetime, LoadView, Queues, Ready,
    Scheduler, SchedulerParams,
};

/// What a rogue does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vice {
    /// Nothing: the yardstick.
    None,
    /// Names a client that there is not.
    Bogus,
    /// Names the client that was chosen last, which has nothing to do, or is not there any more.
    Foreign,
    /// Names a client again that it has named, and not been told to be ready since.
    Twice,
    /// Chooses nobody, and says that it is ready.
    Idle,
    /// Says that nobody is ready.
    Never,
    /// Always has a decision in a moment.
    InAMoment,
    /// Has a decision in a hundred years.
    FarAway,
    /// Has had a decision in the past.
    Past,
    /// Binds labels to a core that there is not.
    BogusCore,
    /// Panics in the function of this number; see [`PANICS`].
    Panic(u8),
}

/// The functions in which a [`Vice::Panic`] can panic.
pub const PANICS: &[&str] = &[
    "init_core",
    "is_prompt",
    "add_client",
    "update_client",
    "remove_client",
    "schedule",
    "client_ready",
    "client_suspended",
    "poll_ready",
    "resource_record",
    "load_share",
    "client_statistics",
];

/// Decisions before the vice shows.
const GOOD_DECISIONS: u64 = 5;

/// The policy.
#[derive(Clone, Copy, Debug)]
pub struct Rogue(pub Vice);

/// State of one core.
#[derive(Debug)]
pub struct Core {
    vice: Vice,
    line: VecDeque<ClientId>,
    known: BTreeSet<ClientId>,
    last: Option<ClientId>,
    decisions: u64,
}

impl Core {
    fn is_bad(&self) -> bool {
        self.decisions >= GOOD_DECISIONS
    }

    fn panic_in(&self, function: &str) {
        panic_in(self.vice, function, self.is_bad());
    }
}

fn panic_in(vice: Vice, function: &str, is_bad: bool) {
    if let Vice::Panic(number) = vice
        && is_bad
        && PANICS.get(usize::from(number)) == Some(&function)
    {
        panic!("on purpose, in {function}");
    }
}

impl Scheduler for Rogue {
    type Shared = (Vice, SchedulerParams);
    type Core = Core;

    fn init(&self, params: &SchedulerParams) -> Self::Shared {
        (self.0, *params)
    }

    fn init_core(shared: &Self::Shared, _: CoreId) -> Core {
        panic_in(shared.0, "init_core", true);
        Core {
            vice: shared.0,
            line: VecDeque::new(),
            known: BTreeSet::new(),
            last: None,
            decisions: 0,
        }
    }

    fn is_prompt(core: &Core) -> bool {
        panic_in(core.vice, "is_prompt", true);
        matches!(core.vice, Vice::Idle | Vice::Bogus)
    }

    fn add_client(core: &mut Core, client: ClientId, _: ClientKind, _: &ClientParams) {
        panic_in(core.vice, "add_client", true);
        core.known.insert(client);
    }

    fn update_client(core: &mut Core, _: ClientId, _: &ClientParams) {
        panic_in(core.vice, "update_client", true);
    }

    fn remove_client(core: &mut Core, client: ClientId) {
        panic_in(core.vice, "remove_client", true);
        core.known.remove(&client);
        core.line.retain(|other| *other != client);
    }

    fn schedule<Q: Queues>(core: &mut Core, _: &mut Q, _: u64) -> Option<ClientId> {
        core.panic_in("schedule");
        core.decisions += 1;
        if core.is_bad() {
            match core.vice {
                Vice::Bogus => return Some(ClientId(u32::MAX - 1)),
                Vice::Foreign => return (0..).map(ClientId).find(|id| !core.line.contains(id)),
                Vice::Twice => return core.last,
                Vice::Idle | Vice::Never | Vice::InAMoment | Vice::FarAway | Vice::Past => {
                    return None;
                }
                Vice::None | Vice::BogusCore | Vice::Panic(_) => {}
            }
        }
        core.last = core.line.pop_front();
        core.last
    }

    fn client_ready(core: &mut Core, client: ClientId, _: u64, _: u64) {
        core.panic_in("client_ready");
        // A rogue that names one twice is not told.
        if core.vice != Vice::Twice || core.last != Some(client) || !core.is_bad() {
            core.line.push_back(client);
        }
    }

    fn client_suspended(core: &mut Core, client: ClientId) {
        panic_in(core.vice, "client_suspended", true);
        core.line.retain(|other| *other != client);
    }

    fn poll_ready(core: &mut Core, now: u64) -> Ready {
        core.panic_in("poll_ready");
        if core.is_bad() {
            match core.vice {
                Vice::Never => return Ready::Never,
                Vice::InAMoment => return Ready::At(now + 1_000),
                Vice::FarAway => return Ready::At(now + (1 << 60)),
                Vice::Past => return Ready::At(now.saturating_sub(1)),
                _ => {}
            }
        }
        Ready::Now
    }

    fn resource_record(core: &mut Core, _: ClientId, _: &Record<'_>, _: u64) {
        core.panic_in("resource_record");
    }

    fn load_share(shared: &Self::Shared, label: AffinityLabel, view: &dyn LoadView) -> CoreBinding {
        panic_in(shared.0, "load_share", true);
        let cores = view.cores();
        let core = match shared.0 {
            Vice::BogusCore => CoreId(u16::MAX),
            _ => cores[usize::try_from(label.0).unwrap_or(0) % cores.len()],
        };
        CoreBinding {
            core,
            lifetime: match shared.1.lifetime {
                Lifetime::Forever => Lifetime::Forever,
                Lifetime::Cycles(cycles) => Lifetime::Cycles(cycles),
            },
        }
    }

    fn client_statistics(core: &Core, _: ClientId) -> ClientStatistics {
        core.panic_in("client_statistics");
        ClientStatistics::default()
    }
}

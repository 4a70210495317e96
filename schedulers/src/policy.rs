//! The table of policies: the paper's repository of schedulers (section 3.1.2).
//!
//! [`Policy`] is itself a [`Scheduler`], whose calls go to the chosen policy by a `match`: static
//! dispatch, so the toolkit is compiled once for all policies. A new policy is one line in the table
//! below. The hot calls of the first policy in the table, the usual one, are inlined into the
//! toolkit; those of the others are behind one call.

use core::fmt;

use vortex_toolkit::ids::{AffinityLabel, ClientId, CoreId};
use vortex_toolkit::record::Record;
use vortex_toolkit::scheduler::{
    ClientKind, ClientParams, ClientStatistics, CoreBinding, LoadView, Queues, Ready, Scheduler,
    SchedulerParams,
};

use crate::{capped, edf, fifo, round_robin, strict, wfq};

/// No client: a call gives one number back, so that the compiler sees through an `Option` made of
/// it where the usual policy's is at hand.
const NOBODY: u32 = u32::MAX;

macro_rules! policies {
    (@usual $usual:ident = $usual_policy:path;
     $($variant:ident = $policy:path, $name:literal;)*) => {
        /// A policy, chosen by name at boot.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Policy {
            $(#[doc = concat!("`", $name, "`: [`", stringify!($policy), "`].")] $variant,)*
        }

        impl Policy {
            /// All policies.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
            /// Their names, in the same order.
            pub const NAMES: &[&str] = &[$($name),*];

            /// The name by which configuration files know it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        /// What the cores share of one instance.
        pub enum PolicyShared {
            $(#[doc = concat!("Of `", $name, "`.")] $variant(<$policy as Scheduler>::Shared),)*
        }

        /// State of one instance on one core.
        pub enum PolicyCore {
            $(#[doc = concat!("Of `", $name, "`.")] $variant(<$policy as Scheduler>::Core),)*
        }

        /// The hot calls for all policies. Records come by value: who is inlined has no use for
        /// one in memory.
        impl PolicyCore {
            #[inline(never)]
            fn schedule<Q: Queues>(&mut self, queues: &mut Q, now: u64) -> u32 {
                let choice = match self {
                    $(Self::$variant(core) => <$policy>::schedule(core, queues, now),)*
                };
                choice.map_or(NOBODY, |client| client.0)
            }

            #[inline(never)]
            fn client_ready(&mut self, client: ClientId, head_sent_at: u64, now: u64) {
                match self {
                    $(Self::$variant(core) => {
                        <$policy>::client_ready(core, client, head_sent_at, now);
                    })*
                }
            }

            #[inline(never)]
            fn poll_ready(&mut self, now: u64) -> Ready {
                match self {
                    $(Self::$variant(core) => <$policy>::poll_ready(core, now),)*
                }
            }

            #[inline(never)]
            fn resource_record(&mut self, client: ClientId, record: Record<'_>, now: u64) {
                match self {
                    $(Self::$variant(core) => {
                        <$policy>::resource_record(core, client, &record, now);
                    })*
                }
            }

            #[inline(never)]
            fn client_served(
                &mut self,
                client: ClientId,
                record: Record<'_>,
                more_since: Option<u64>,
                now: u64,
            ) {
                match self {
                    $(Self::$variant(core) => {
                        <$policy>::client_served(core, client, &record, more_since, now);
                    })*
                }
            }
        }

        impl Scheduler for Policy {
            type Shared = PolicyShared;
            type Core = PolicyCore;

            fn init(&self, params: &SchedulerParams) -> PolicyShared {
                match self {
                    $(Self::$variant => PolicyShared::$variant($policy.init(params)),)*
                }
            }

            fn init_core(shared: &PolicyShared, core: CoreId) -> PolicyCore {
                match shared {
                    $(PolicyShared::$variant(shared) => {
                        PolicyCore::$variant(<$policy>::init_core(shared, core))
                    })*
                }
            }

            fn add_client(
                core: &mut PolicyCore,
                client: ClientId,
                kind: ClientKind,
                params: &ClientParams,
            ) {
                match core {
                    $(PolicyCore::$variant(core) => {
                        <$policy>::add_client(core, client, kind, params);
                    })*
                }
            }

            fn update_client(core: &mut PolicyCore, client: ClientId, params: &ClientParams) {
                match core {
                    $(PolicyCore::$variant(core) => {
                        <$policy>::update_client(core, client, params);
                    })*
                }
            }

            fn remove_client(core: &mut PolicyCore, client: ClientId) {
                match core {
                    $(PolicyCore::$variant(core) => <$policy>::remove_client(core, client),)*
                }
            }

            #[inline(always)]
            fn schedule<Q: Queues>(
                core: &mut PolicyCore,
                queues: &mut Q,
                now: u64,
            ) -> Option<ClientId> {
                match core {
                    PolicyCore::$usual(core) => <$usual_policy>::schedule(core, queues, now),
                    core => {
                        let client = core.schedule(queues, now);
                        (client != NOBODY).then_some(ClientId(client))
                    }
                }
            }

            #[inline(always)]
            fn client_ready(core: &mut PolicyCore, client: ClientId, head_sent_at: u64, now: u64) {
                match core {
                    PolicyCore::$usual(core) => {
                        <$usual_policy>::client_ready(core, client, head_sent_at, now);
                    }
                    core => core.client_ready(client, head_sent_at, now),
                }
            }

            fn client_suspended(core: &mut PolicyCore, client: ClientId) {
                match core {
                    $(PolicyCore::$variant(core) => <$policy>::client_suspended(core, client),)*
                }
            }

            fn is_prompt(core: &PolicyCore) -> bool {
                match core {
                    $(PolicyCore::$variant(core) => <$policy>::is_prompt(core),)*
                }
            }

            #[inline(always)]
            fn poll_ready(core: &mut PolicyCore, now: u64) -> Ready {
                match core {
                    PolicyCore::$usual(core) => <$usual_policy>::poll_ready(core, now),
                    core => core.poll_ready(now),
                }
            }

            #[inline(always)]
            fn resource_record(
                core: &mut PolicyCore,
                client: ClientId,
                record: &Record<'_>,
                now: u64,
            ) {
                match core {
                    PolicyCore::$usual(core) => {
                        <$usual_policy>::resource_record(core, client, record, now);
                    }
                    core => core.resource_record(client, *record, now),
                }
            }

            #[inline(always)]
            fn client_served(
                core: &mut PolicyCore,
                client: ClientId,
                record: &Record<'_>,
                more_since: Option<u64>,
                now: u64,
            ) {
                match core {
                    PolicyCore::$usual(core) => {
                        <$usual_policy>::client_served(core, client, record, more_since, now);
                    }
                    core => core.client_served(client, *record, more_since, now),
                }
            }

            fn load_share(
                shared: &PolicyShared,
                affinity: AffinityLabel,
                view: &dyn LoadView,
            ) -> CoreBinding {
                match shared {
                    $(PolicyShared::$variant(shared) => {
                        <$policy>::load_share(shared, affinity, view)
                    })*
                }
            }

            fn client_statistics(core: &PolicyCore, client: ClientId) -> ClientStatistics {
                match core {
                    $(PolicyCore::$variant(core) => <$policy>::client_statistics(core, client),)*
                }
            }
        }
    };
}

policies! {
    @usual Wfq = wfq::Wfq;
    Wfq = wfq::Wfq, "propshare.wfq";
    RoundRobin = round_robin::RoundRobin, "propshare.round-robin";
    Strict = strict::Strict, "priority.strict";
    Edf = edf::Edf, "realtime.edf";
    Fifo = fifo::Fifo, "fifo";
    Capped = capped::Capped, "propshare.capped";
}

impl Policy {
    /// The policy of that name.
    ///
    /// # Errors
    /// [`UnknownPolicy`] if there is none.
    pub fn from_name(name: &str) -> Result<Self, UnknownPolicy> {
        let known = Self::ALL.iter().find(|policy| policy.name() == name);
        known.copied().ok_or(UnknownPolicy)
    }
}

/// No policy has this name; the message lists those there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPolicy;

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no scheduler has this name; expected one of")?;
        for (position, name) in Policy::NAMES.iter().enumerate() {
            write!(f, "{} `{name}`", if position == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl core::error::Error for UnknownPolicy {}

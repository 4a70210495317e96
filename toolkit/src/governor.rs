//! Who decides at one scheduler on one core: the configured policy, as long as it keeps to the
//! interface, and the toolkit's own round-robin from then on.
//!
//! The policy is not trusted. What it answers is checked by [`crate::tree`] against the toolkit's
//! own view of the clients; the first wrong answer, panic, or delay beyond the system's patience
//! ends its role. No request is lost by that, for the queues are the toolkit's.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::ids::ClientId;
use crate::record::Record;
use crate::scheduler::{ClientKind, ClientParams, ClientStatistics, Queues, Ready, Scheduler};
use crate::system::{Platform, PolicyPanicked};

/// One call of a policy. Without a closure where panics are not caught, for on the hot path that
/// would pass the arguments through memory.
macro_rules! ask {
    ($platform:expr, $call:expr) => {
        if P::CATCHES_PANICS {
            $platform.guard(|| $call)
        } else {
            Ok($call)
        }
    };
}

/// Calls the policy if it still has its role, and else does `$otherwise`.
macro_rules! tell {
    ($governor:expr, $platform:expr, |$policy:ident| $call:expr $(, $otherwise:expr)?) => {
        if $governor.role == Role::Chosen {
            let $policy = &mut $governor.policy;
            let told: Result<(), PolicyPanicked> = ask!($platform, $call);
            if told.is_err() {
                $governor.role = Role::Broken;
            }
        } else {
            $($otherwise;)?
        }
    };
}

/// Whose decisions count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The configured policy's.
    Chosen,
    /// Nobody's: the policy has panicked and is not asked again.
    Broken,
    /// The fallback's: the policy has lost its role.
    Lost,
}

pub(crate) struct Governor<S: Scheduler> {
    role: Role,
    policy: S::Core,
    fallback: RoundRobin,
}

impl<S: Scheduler> Governor<S> {
    pub(crate) fn new(policy: S::Core) -> Self {
        Self {
            role: Role::Chosen,
            policy,
            fallback: RoundRobin::default(),
        }
    }

    /// Takes the role from the policy; `ready` are the clients that are.
    pub(crate) fn demote(&mut self, ready: impl Iterator<Item = ClientId>) {
        self.role = Role::Lost;
        self.fallback = RoundRobin::default();
        for client in ready {
            self.fallback.ready(client);
        }
    }

    pub(crate) fn add_client<P: Platform>(
        &mut self,
        platform: &P,
        client: ClientId,
        kind: ClientKind,
        params: &ClientParams,
    ) {
        tell!(self, platform, |policy| S::add_client(
            policy, client, kind, params
        ));
    }

    pub(crate) fn update_client<P: Platform>(
        &mut self,
        platform: &P,
        client: ClientId,
        params: &ClientParams,
    ) {
        tell!(self, platform, |policy| S::update_client(
            policy, client, params
        ));
    }

    pub(crate) fn remove_client<P: Platform>(&mut self, platform: &P, client: ClientId) {
        tell!(
            self,
            platform,
            |policy| S::remove_client(policy, client),
            self.fallback.withdraw(client)
        );
    }

    #[inline(always)]
    pub(crate) fn client_ready<P: Platform>(
        &mut self,
        platform: &P,
        client: ClientId,
        head_sent_at: u64,
        now: u64,
    ) {
        tell!(
            self,
            platform,
            |policy| S::client_ready(policy, client, head_sent_at, now),
            self.fallback.ready(client)
        );
    }

    pub(crate) fn client_suspended<P: Platform>(&mut self, platform: &P, client: ClientId) {
        tell!(
            self,
            platform,
            |policy| S::client_suspended(policy, client),
            self.fallback.withdraw(client)
        );
    }

    #[inline(always)]
    pub(crate) fn resource_record<P: Platform>(
        &mut self,
        platform: &P,
        client: ClientId,
        record: &Record<'_>,
        now: u64,
    ) {
        tell!(self, platform, |policy| S::resource_record(
            policy, client, record, now
        ));
    }

    /// The decision, not yet checked. `None` also if the policy panics.
    #[inline(always)]
    pub(crate) fn schedule<P: Platform>(
        &mut self,
        platform: &P,
        queues: &mut impl Queues,
        now: u64,
    ) -> Option<ClientId> {
        match self.role {
            Role::Chosen => {}
            Role::Broken => return None,
            Role::Lost => return self.fallback.schedule(),
        }
        let policy = &mut self.policy;
        let choice: Result<_, PolicyPanicked> = ask!(platform, S::schedule(policy, queues, now));
        choice.unwrap_or_else(|_| {
            self.role = Role::Broken;
            None
        })
    }

    /// When there is a decision, not yet checked. A broken policy says `Never`.
    pub(crate) fn poll_ready<P: Platform>(&mut self, platform: &P, now: u64) -> Ready {
        match self.role {
            Role::Chosen => {
                let policy = &mut self.policy;
                let ready: Result<_, PolicyPanicked> = ask!(platform, S::poll_ready(policy, now));
                ready.unwrap_or_else(|_| {
                    self.role = Role::Broken;
                    Ready::Never
                })
            }
            Role::Broken => Ready::Never,
            Role::Lost => Ready::Now,
        }
    }

    /// The policy's own account of a client; `None` if it has lost its role.
    pub(crate) fn client_statistics(
        &self,
        platform: &impl Platform,
        client: ClientId,
    ) -> Option<ClientStatistics> {
        if self.role != Role::Chosen {
            return None;
        }
        let statistics = platform.guard(|| S::client_statistics(&self.policy, client));
        statistics.ok()
    }
}

/// The policy of last resort: serves ready clients in turn.
#[derive(Debug, Default)]
struct RoundRobin {
    ready: VecDeque<ClientId>,
    is_ready: Vec<bool>,
}

impl RoundRobin {
    fn ready(&mut self, client: ClientId) {
        if client.index() >= self.is_ready.len() {
            self.is_ready.resize(client.index() + 1, false);
        }
        if !core::mem::replace(&mut self.is_ready[client.index()], true) {
            self.ready.push_back(client);
        }
    }

    fn withdraw(&mut self, client: ClientId) {
        if self.is_ready.get(client.index()) == Some(&true) {
            self.is_ready[client.index()] = false;
            self.ready.retain(|other| *other != client);
        }
    }

    fn schedule(&mut self) -> Option<ClientId> {
        let client = self.ready.pop_front()?;
        self.is_ready[client.index()] = false;
        Some(client)
    }
}

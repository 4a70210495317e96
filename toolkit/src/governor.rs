//! Who decides at one scheduler on one core: the configured policy, as long as it keeps to the
//! interface, and the toolkit's own round-robin from then on.
//!
//! The policy is not trusted. What it answers is checked by [`crate::tree`] against the toolkit's
//! own view of the clients; the first wrong answer, panic, or delay beyond the system's patience
//! ends its role. No request is lost by that, for the queues are the toolkit's.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::ids::{ClientId, CoreId};
use crate::record::Record;
use crate::scheduler::{ClientKind, ClientParams, ClientStatistics, Queues, Ready, Scheduler};
use crate::system::{Platform, PolicyPanicked};

/// The number of no client.
const NOBODY: u32 = u32::MAX;

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
        if let Some($policy) = &mut $governor.policy {
            let told: Result<(), PolicyPanicked> = ask!($platform, $call);
            if told.is_err() {
                $governor.policy = None;
            }
        } else {
            $($otherwise;)?
        }
    };
}

pub(crate) struct Governor<S: Scheduler> {
    /// The configured policy's state; `None` once it has panicked or lost its role.
    policy: Option<S::Core>,
    /// The fallback decides. It does not yet if the policy has panicked, and is not asked again.
    is_lost: bool,
    /// Decisions are always available while a client is ready, with the clients there are.
    is_prompt: bool,
    fallback: RoundRobin,
}

impl<S: Scheduler> Governor<S> {
    /// The policy on this core. One that panics over that is broken from the start.
    pub(crate) fn start(platform: &impl Platform, shared: &Arc<S::Shared>, core: CoreId) -> Self {
        let started = platform.guard(|| {
            let policy = S::init_core(shared, core);
            let is_prompt = S::is_prompt(&policy);
            (policy, is_prompt)
        });
        let (policy, is_prompt) = started.ok().unzip();
        Self {
            policy,
            is_lost: false,
            is_prompt: is_prompt.unwrap_or(false),
            fallback: RoundRobin::default(),
        }
    }

    /// Whether [`Self::poll_ready`] need not be asked.
    #[inline(always)]
    pub(crate) const fn is_prompt(&self) -> bool {
        self.is_prompt
    }

    /// The clients have changed.
    fn ask_whether_prompt(&mut self, platform: &impl Platform) {
        if let Some(policy) = &self.policy {
            match platform.guard(|| S::is_prompt(policy)) {
                Ok(is_prompt) => self.is_prompt = is_prompt,
                Err(PolicyPanicked) => self.policy = None,
            }
        }
    }

    /// Takes the role from the policy; `ready` are the clients that are.
    pub(crate) fn demote(&mut self, ready: impl Iterator<Item = ClientId>) {
        self.policy = None;
        self.is_lost = true;
        self.is_prompt = true;
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
        self.ask_whether_prompt(platform);
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
        self.ask_whether_prompt(platform);
    }

    pub(crate) fn remove_client<P: Platform>(&mut self, platform: &P, client: ClientId) {
        tell!(
            self,
            platform,
            |policy| S::remove_client(policy, client),
            self.fallback.withdraw(client)
        );
        self.ask_whether_prompt(platform);
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

    /// Told instead of [`Self::resource_record`] and, if there is more, [`Self::client_ready`].
    #[inline(always)]
    pub(crate) fn client_served<P: Platform>(
        &mut self,
        platform: &P,
        client: ClientId,
        record: &Record<'_>,
        more_since: Option<u64>,
        now: u64,
    ) {
        tell!(
            self,
            platform,
            |policy| S::client_served(policy, client, record, more_since, now),
            if more_since.is_some() {
                self.fallback.ready(client);
            }
        );
    }

    /// The decision, not yet checked. `None` also if the policy panics.
    #[inline(always)]
    pub(crate) fn schedule<P: Platform>(
        &mut self,
        platform: &P,
        queues: &mut impl Queues,
        now: u64,
    ) -> Option<ClientId> {
        let Some(policy) = &mut self.policy else {
            let client = self.schedule_by_fallback();
            return (client != NOBODY).then_some(ClientId(client));
        };
        let choice: Result<_, PolicyPanicked> = ask!(platform, S::schedule(policy, queues, now));
        choice.unwrap_or_else(|_| {
            self.policy = None;
            None
        })
    }

    #[cold]
    fn schedule_by_fallback(&mut self) -> u32 {
        let choice = self.is_lost.then(|| self.fallback.schedule()).flatten();
        choice.map_or(NOBODY, |client| client.0)
    }

    /// When there is a decision, not yet checked. A broken policy says `Never`.
    #[inline(always)]
    pub(crate) fn poll_ready<P: Platform>(&mut self, platform: &P, now: u64) -> Ready {
        let Some(policy) = &mut self.policy else {
            return if self.is_lost {
                Ready::Now
            } else {
                Ready::Never
            };
        };
        let ready: Result<_, PolicyPanicked> = ask!(platform, S::poll_ready(policy, now));
        ready.unwrap_or_else(|_| {
            self.policy = None;
            Ready::Never
        })
    }

    /// The policy's own account of a client; `None` if it has lost its role.
    pub(crate) fn client_statistics(
        &self,
        platform: &impl Platform,
        client: ClientId,
    ) -> Option<ClientStatistics> {
        let policy = self.policy.as_ref()?;
        let statistics = platform.guard(|| S::client_statistics(policy, client));
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

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
use crate::system::Platform;

pub(crate) enum Governor<S: Scheduler> {
    /// The configured policy.
    Chosen(S::Core),
    /// The policy has panicked and is not asked again.
    Broken,
    /// The policy has lost its role.
    Fallback(RoundRobin),
}

impl<S: Scheduler> Governor<S> {
    /// Calls the policy, if it still has its role.
    #[inline]
    fn tell(&mut self, platform: &impl Platform, call: impl FnOnce(&mut S::Core)) {
        if let Self::Chosen(core) = self
            && platform.guard(|| call(core)).is_err()
        {
            *self = Self::Broken;
        }
    }

    pub(crate) fn add_client(
        &mut self,
        platform: &impl Platform,
        client: ClientId,
        kind: ClientKind,
        params: &ClientParams,
    ) {
        self.tell(platform, |core| S::add_client(core, client, kind, params));
    }

    pub(crate) fn update_client(
        &mut self,
        platform: &impl Platform,
        client: ClientId,
        params: &ClientParams,
    ) {
        self.tell(platform, |core| S::update_client(core, client, params));
    }

    pub(crate) fn remove_client(&mut self, platform: &impl Platform, client: ClientId) {
        if let Self::Fallback(fallback) = self {
            fallback.withdraw(client);
        }
        self.tell(platform, |core| S::remove_client(core, client));
    }

    #[inline]
    pub(crate) fn client_ready(
        &mut self,
        platform: &impl Platform,
        client: ClientId,
        head_sent_at: u64,
        now: u64,
    ) {
        if let Self::Fallback(fallback) = self {
            fallback.ready(client);
        }
        self.tell(platform, |core| {
            S::client_ready(core, client, head_sent_at, now);
        });
    }

    pub(crate) fn client_suspended(&mut self, platform: &impl Platform, client: ClientId) {
        if let Self::Fallback(fallback) = self {
            fallback.withdraw(client);
        }
        self.tell(platform, |core| S::client_suspended(core, client));
    }

    #[inline]
    pub(crate) fn resource_record(
        &mut self,
        platform: &impl Platform,
        client: ClientId,
        record: &Record<'_>,
        now: u64,
    ) {
        self.tell(platform, |core| {
            S::resource_record(core, client, record, now);
        });
    }

    /// The decision, not yet checked. `None` also if the policy has just panicked.
    #[inline]
    pub(crate) fn schedule(
        &mut self,
        platform: &impl Platform,
        queues: &mut impl Queues,
        now: u64,
    ) -> Option<ClientId> {
        match self {
            Self::Chosen(core) => match platform.guard(|| S::schedule(core, queues, now)) {
                Ok(choice) => choice,
                Err(_) => {
                    *self = Self::Broken;
                    None
                }
            },
            Self::Broken => None,
            Self::Fallback(fallback) => fallback.schedule(),
        }
    }

    /// When there is a decision, not yet checked. A broken policy says `Never`.
    #[inline]
    pub(crate) fn poll_ready(&mut self, platform: &impl Platform, now: u64) -> Ready {
        match self {
            Self::Chosen(core) => {
                if let Ok(ready) = platform.guard(|| S::poll_ready(core, now)) {
                    return ready;
                }
                *self = Self::Broken;
                Ready::Never
            }
            Self::Broken => Ready::Never,
            Self::Fallback(_) => Ready::Now,
        }
    }

    /// The policy's own account of a client; `None` if it has lost its role.
    pub(crate) fn client_statistics(
        &self,
        platform: &impl Platform,
        client: ClientId,
    ) -> Option<ClientStatistics> {
        match self {
            Self::Chosen(core) => platform.guard(|| S::client_statistics(core, client)).ok(),
            Self::Broken | Self::Fallback(_) => None,
        }
    }
}

/// The policy of last resort: serves ready clients in turn.
#[derive(Debug, Default)]
pub(crate) struct RoundRobin {
    ready: VecDeque<ClientId>,
    is_ready: Vec<bool>,
}

impl RoundRobin {
    pub(crate) fn ready(&mut self, client: ClientId) {
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

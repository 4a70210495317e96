//! Who is ready: arming and disarming of nodes, delays, suspension, and the end of a policy's role.

use core::cmp::Reverse;

use crate::ids::ClientId;
use crate::request::Message;
use crate::scheduler::{Ready, Scheduler};
use crate::system::Platform;

use super::{ClientState, Node, NodeIndex, NodeState, Place, ROOT, Tree};

impl<S: Scheduler> Node<S> {
    /// Nobody is ready: the policy is asked all the same, for fair queueing has to know when a busy
    /// period is over.
    pub(crate) fn note_idle(&mut self, platform: &impl Platform, now: u64) {
        let _never = self.governor.poll_ready(platform, now);
    }

    /// A node that was served has no ready clients.
    #[inline(never)]
    pub(crate) fn rest(&mut self, platform: &impl Platform, now: u64) {
        if self.state == NodeState::Ready {
            self.state = NodeState::Idle;
            self.note_idle(platform, now);
        }
    }

    /// A client has work, and is `Ready` now. True if the node may have become ready by that.
    #[inline(always)]
    pub(crate) fn note_ready(
        &mut self,
        platform: &impl Platform,
        client: ClientId,
        sent_at: u64,
        now: u64,
    ) -> bool {
        self.ready += 1;
        self.governor.client_ready(platform, client, sent_at, now);
        matches!(self.state, NodeState::Idle | NodeState::Delayed)
    }
}

impl<S: Scheduler, M: Message> Tree<S, M> {
    pub(crate) fn client_ready(
        &mut self,
        platform: &impl Platform,
        place: Place,
        sent_at: u64,
        now: u64,
    ) {
        let node = self.node(place.node);
        node.clients[place.client.index()].state = ClientState::Ready;
        if node.note_ready(platform, place.client, sent_at, now) {
            self.arm(platform, place.node, now);
        }
    }

    /// The core has nothing to do.
    pub(crate) fn note_idle(&mut self, platform: &impl Platform, now: u64) {
        let root = self.node(ROOT);
        if root.ready == 0 {
            root.note_idle(platform, now);
        }
    }

    /// A node that was not ready may have become so: asks its policy and tells its parent, and so on
    /// upwards.
    #[inline(never)]
    pub(crate) fn arm(&mut self, platform: &impl Platform, mut index: NodeIndex, now: u64) {
        while let Some(Place { node, client }) = self.poll(platform, index, now) {
            if index == ROOT {
                return;
            }
            index = node;
            let node = self.node(index);
            node.clients[client.index()].state = ClientState::Ready;
            if !node.note_ready(platform, client, now, now) {
                return;
            }
        }
    }

    /// Whether a node has a decision now: then it is `Ready`, and its place is told. If only later,
    /// sees to it that it is asked again.
    #[inline(always)]
    pub(crate) fn poll(
        &mut self,
        platform: &impl Platform,
        index: NodeIndex,
        now: u64,
    ) -> Option<Place> {
        let node = self.node(index);
        if node.ready > 0 && node.governor.is_prompt() {
            node.state = NodeState::Ready;
            return Some(node.parent);
        }
        self.poll_policy(platform, index, now)
    }

    #[inline(never)]
    fn poll_policy(
        &mut self,
        platform: &impl Platform,
        index: NodeIndex,
        now: u64,
    ) -> Option<Place> {
        let node = self.node(index);
        if node.ready == 0 {
            node.state = NodeState::Idle;
            node.note_idle(platform, now);
            return None;
        }
        match node.governor.poll_ready(platform, now) {
            Ready::Now => {}
            Ready::At(at) if self.may_delay(index, at, now) => {
                self.delay(index, at);
                return None;
            }
            Ready::At(_) | Ready::Never => self.demote(index),
        }
        let node = self.node(index);
        node.state = NodeState::Ready;
        Some(node.parent)
    }

    /// Whether the policy may choose nobody until `at`. Its patience begins when it first chose
    /// nobody: the time that a node is suspended, or has to wait for its parent, does not count.
    pub(crate) fn may_delay(&mut self, index: NodeIndex, at: u64, now: u64) -> bool {
        let patience_cycles = self.patience_cycles;
        let since = *self.node(index).declining_since.get_or_insert(now);
        let is_limited = self.node(index).is_limited;
        at > now && (is_limited || at <= since.saturating_add(patience_cycles))
    }

    pub(crate) fn delay(&mut self, index: NodeIndex, at: u64) {
        let node = self.node(index);
        node.state = NodeState::Delayed;
        // An earlier entry asks again before; it then comes back here.
        if node.timer_at.is_none_or(|earlier| at < earlier) {
            node.timer_at = Some(at);
            self.timers.push(Reverse((at, index)));
            self.attention_at = self.attention_at.min(at);
        }
    }

    /// Takes a node's role from its policy.
    #[cold]
    pub(crate) fn demote(&mut self, index: NodeIndex) {
        let node = self.node(index);
        let numbered = node.clients.iter().zip(0..);
        let ready = numbered.filter(|(client, _)| client.state == ClientState::Ready);
        node.governor
            .demote(ready.map(|(_, number)| ClientId(number)));
        self.demotions += 1;
    }

    /// Asks the delayed nodes whose time has come.
    pub(crate) fn run_timers(&mut self, platform: &impl Platform, now: u64) {
        while let Some(Reverse((at, index))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            let node = self.node(index);
            if node.timer_at == Some(at) {
                node.timer_at = None;
            }
            if node.state == NodeState::Delayed {
                self.arm(platform, index, now);
            }
        }
    }

    /// The time of the first timer; `u64::MAX` without any.
    pub(crate) fn first_timer(&self) -> u64 {
        let first = self.timers.peek();
        first.map_or(u64::MAX, |Reverse((at, _))| *at)
    }

    /// Stops a node from being served. It is not the root.
    pub(crate) fn suspend_node(&mut self, platform: &impl Platform, index: NodeIndex) {
        let node = self.node(index);
        let was = core::mem::replace(&mut node.state, NodeState::Suspended);
        let parent = node.parent;
        if was == NodeState::Ready {
            self.withdraw(platform, parent);
        }
    }

    /// Undoes [`Self::suspend_node`].
    pub(crate) fn resume_node(&mut self, platform: &impl Platform, index: NodeIndex, now: u64) {
        let node = self.node(index);
        if node.state == NodeState::Suspended {
            node.state = NodeState::Idle;
            node.declining_since = None;
            self.arm(platform, index, now);
        }
    }

    /// Stops a queue from being served; what arrives stays in it.
    pub(crate) fn suspend_client(&mut self, platform: &impl Platform, place: Place) {
        let node = self.node(place.node);
        let client = &mut node.clients[place.client.index()];
        match client.state {
            ClientState::Ready => self.withdraw(platform, place),
            ClientState::Suspended | ClientState::Vacant => return,
            ClientState::Idle => {
                node.governor.client_suspended(platform, place.client);
            }
        }
        self.client(place).state = ClientState::Suspended;
    }

    /// Undoes [`Self::suspend_client`].
    pub(crate) fn resume_client(&mut self, platform: &impl Platform, place: Place, now: u64) {
        let client = &mut self.nodes[place.node.index()].clients[place.client.index()];
        if client.state != ClientState::Suspended {
            return;
        }
        client.state = ClientState::Idle;
        if let Some(sent_at) = self.slab.more_since(&client.chain, now) {
            self.client_ready(platform, place, sent_at, now);
        }
    }

    /// A ready client has nothing to be served for any more.
    pub(crate) fn withdraw(&mut self, platform: &impl Platform, place: Place) {
        let node = self.node(place.node);
        node.governor.client_suspended(platform, place.client);
        node.clients[place.client.index()].state = ClientState::Idle;
        node.less_ready();
        self.disarm(platform, place.node);
    }

    /// A node may have lost its last ready client: then its parent must not choose it.
    pub(crate) fn disarm(&mut self, platform: &impl Platform, index: NodeIndex) {
        let node = self.node(index);
        if node.ready == 0 && node.state == NodeState::Ready && index != ROOT {
            node.state = NodeState::Idle;
            let parent = node.parent;
            self.withdraw(platform, parent);
        }
    }
}

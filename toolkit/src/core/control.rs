//! Changes to the running system, as one core carries them out.
//!
//! A change is announced to all cores through their inboxes and takes effect between two requests.

use core::sync::atomic::Ordering;

use crate::binding::Key;
use crate::envelope::{Control, Envelope, Migration};
use crate::ids::{ActivityId, CoreId, ResourceId};
use crate::request::Reason;
use crate::scheduler::{ClientKind, ClientParams, Scheduler};
use crate::slab::Chain;
use crate::system::System;
use crate::tree::{NodeIndex, Place, Work};
use crate::waiting::{Party, Waiter};

use super::CoreState;

impl<Y: System> CoreState<Y> {
    /// Tells all cores of a change. What all of them share is changed at once.
    pub(crate) fn announce(&mut self, control: &Control<Y>) {
        match control {
            Control::SuspendActivity(activity) => self.grid.set_suspended(*activity, true),
            Control::ResumeActivity(activity) => self.grid.set_suspended(*activity, false),
            Control::EndActivity(activity) => self.grid.end_activity(*activity),
            Control::SetClient(resource, activity, params) => {
                self.grid.set_client(*resource, *activity, *params);
            }
            Control::SuspendResource(resource) => self.flag_suspended(*resource, true),
            Control::ResumeResource(resource) => return self.resume_resource(*resource),
            Control::RemoveResource(resource) => {
                if let Some(shared) = self.grid.resource(*resource) {
                    shared.removed.store(true, Ordering::Release);
                }
            }
            Control::ReplacePolicy(resource, policy) => {
                if let Some(shared) = self.grid.resource(*resource) {
                    *shared.instance.policy.write() = policy.0.clone();
                }
            }
            Control::RemoveClient(..) => {}
        }
        for core in self.all_cores() {
            self.push(core, Envelope::Control(control.clone()));
        }
    }

    pub(crate) fn all_cores(&self) -> impl Iterator<Item = CoreId> + use<Y> {
        let cores = u16::try_from(self.grid.cores()).unwrap_or(u16::MAX);
        (0..cores).map(CoreId)
    }

    fn flag_suspended(&self, resource: ResourceId, suspended: bool) {
        if let Some(shared) = self.grid.resource(resource) {
            for flag in &shared.suspended {
                flag.store(suspended, Ordering::SeqCst);
            }
        }
    }

    /// Carries out a change on this core.
    pub(crate) fn control(&mut self, control: &Control<Y>) {
        match control {
            Control::SuspendActivity(activity) => self.for_queues_of(*activity, |state, place| {
                state.tree.suspend_client(&state.platform, place);
            }),
            Control::ResumeActivity(activity) => self.for_queues_of(*activity, |state, place| {
                state
                    .tree
                    .resume_client(&state.platform, place, state.books.mark);
            }),
            Control::EndActivity(activity) => self.for_queues_of(*activity, |state, place| {
                state.remove_queue(place, Reason::NoActivity);
            }),
            Control::SetClient(resource, activity, params) => {
                self.update_client(*resource, *activity, params);
            }
            Control::RemoveClient(resource, activity) => {
                if let Some(place) = self.place(*resource, *activity) {
                    self.remove_queue(place, Reason::ClientRemoved);
                }
            }
            Control::SuspendResource(resource) => {
                if let Some(node) = self.known_node(*resource) {
                    self.tree.suspend_node(&self.platform, node);
                }
            }
            Control::ResumeResource(resource) => self.resume_here(*resource),
            Control::RemoveResource(resource) => self.remove_resource(*resource),
            Control::ReplacePolicy(resource, policy) => {
                let resource = *resource;
                if let Some(node) = self.known_node(resource) {
                    let core = <Y::Policy as Scheduler>::init_core(&policy.0, self.id);
                    let kind = |activity| ClientKind::Queue { resource, activity };
                    let now = self.books.mark;
                    self.tree
                        .replace_policy(&self.platform, node, core, kind, now);
                }
            }
        }
    }

    fn known_node(&self, resource: ResourceId) -> Option<NodeIndex> {
        self.resources.get(resource.index())?.node
    }

    fn for_queues_of(&mut self, activity: ActivityId, mut change: impl FnMut(&mut Self, Place)) {
        for resource in 0..self.resources.len() {
            let node = self.resources[resource].node;
            if let Some(place) = node.and_then(|node| self.tree.place(node, activity)) {
                change(self, place);
            }
        }
    }

    fn update_client(&mut self, resource: ResourceId, activity: ActivityId, params: &ClientParams) {
        if let Some(place) = self.place(resource, activity) {
            let node = self.tree.node(place.node);
            node.params[place.client.index()] = *params;
            node.clients[place.client.index()].limit = params.queue_limit;
            node.governor
                .update_client(&self.platform, place.client, params);
        }
    }

    /// Removes a queue; its requests, queued or waiting, are handed back. Its tasks are dropped:
    /// they have begun.
    fn remove_queue(&mut self, place: Place, reason: Reason) {
        for waiter in self.waiting.remove_at(place) {
            let Waiter {
                party,
                mut followers,
                ..
            } = waiter;
            if let Party::Request(request) = party {
                self.hand_back(request, reason);
            }
            self.hand_back_chain(&mut followers, reason);
        }
        let removed = self.tree.remove_queue(&self.platform, place);
        for work in removed {
            if let Work::Request(request) = work {
                self.hand_back(request, reason);
            }
        }
    }

    fn hand_back_chain(&mut self, chain: &mut Chain, reason: Reason) {
        while let Some(work) = self.tree.slab.pop_front(chain) {
            if let Work::Request(request) = work {
                self.hand_back(request, reason);
            }
        }
    }

    fn remove_resource(&mut self, resource: ResourceId) {
        let Some(node) = self.known_node(resource) else {
            return;
        };
        for place in self.tree.queues_of(node) {
            self.remove_queue(place, Reason::NoResource);
        }
        self.tree.remove_node(&self.platform, node);
        self.resources[resource.index()].node = None;
    }

    /// Says to whoever makes room in a resource that this core waits for it. True if that had been
    /// said already.
    pub(crate) fn flag_rejection(&mut self, resource: ResourceId) -> bool {
        let shared = &self.resources[resource.index()].shared;
        shared.suspended[self.id.index()].swap(true, Ordering::SeqCst)
    }

    /// Resumes a resource on every core on which it is suspended.
    pub(crate) fn resume_resource(&mut self, resource: ResourceId) {
        let Some(shared) = self.grid.resource(resource) else {
            return;
        };
        for core in self.all_cores() {
            if shared.suspended[core.index()].swap(false, Ordering::SeqCst) {
                self.push(core, Envelope::Control(Control::ResumeResource(resource)));
            }
        }
    }

    fn resume_here(&mut self, resource: ResourceId) {
        if let Some(node) = self.known_node(resource) {
            self.tree.resume_node(&self.platform, node, self.books.mark);
        }
    }

    /// Tells the owner of a label that it will not be used any more.
    pub(crate) fn release(&mut self, resource: ResourceId, key: Key) {
        let Some(shared) = self.grid.resource(resource) else {
            return;
        };
        if let Some(binding) = shared.bindings.find(key) {
            let owner = binding.word().core;
            self.push(
                owner,
                Envelope::Migration(Migration::Release { resource, key }),
            );
        }
    }
}

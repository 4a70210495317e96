//! What is outside the grid: network interfaces, and the processes to start.

use alloc::collections::BTreeSet;
use alloc::format;

use super::Checker;
use crate::config::{INFRASTRUCTURE, Process};
use crate::finding::{Kind, Place, quote};
use crate::graph::activity_of;
use crate::value::Address;

impl Checker<'_, '_> {
    pub(super) fn networks(&mut self) {
        let mut interfaces = BTreeSet::new();
        for (index, network) in self.configuration.networks.iter().enumerate() {
            let place = Place::default().item("network", index);
            let name = place.field("@interface");
            self.defines(&mut interfaces, &network.interface, name, "interface");
            let Some(gateway) = network.gateway.map(crate::value::Gateway::get) else {
                continue;
            };
            let at = place.field("gateway");
            match network.address.unwrap_or_default() {
                _ if self.findings.is_faulty(place.field("address")) => {}
                Address::Dhcp => {
                    let message = "a gateway stands beside `dhcp`, which finds its own";
                    self.findings.fault(
                        Kind::Conflict,
                        at,
                        message,
                        "it with a static address only",
                    );
                }
                Address::Static { address, .. } if address == gateway => {
                    let message = format!("the gateway {gateway} is the interface itself");
                    let expected = "the address of a router";
                    self.findings.fault(Kind::Conflict, at, message, expected);
                }
                own if !own.is_neighbour(gateway) => {
                    let message = format!("the gateway {gateway} is not in the network of {own}");
                    let expected = "the address of a router in that network";
                    self.findings.fault(Kind::Conflict, at, message, expected);
                }
                Address::Static { .. } => {}
            }
        }
    }

    pub(super) fn processes(&mut self) {
        let mut names = BTreeSet::new();
        for (index, process) in self.configuration.processes.iter().enumerate() {
            let place = Place::default().item("process", index);
            self.defines(&mut names, &process.name, place.field("@name"), "process");
            self.is_path(&process.path, place.field("path"));
            if let Some(stdout) = &process.stdout {
                self.is_path(stdout, place.field("stdout"));
            }
            let (activity, at) = match &process.activity {
                Some(name) => (name.as_str(), place.field("activity")),
                None => (activity_of(process), place.field("@name")),
            };
            if activity == INFRASTRUCTURE {
                let message = "a process cannot belong to the infrastructure";
                self.findings
                    .fault(Kind::Conflict, at, message, "an activity of its own");
            } else if process.activity.is_some() && !self.findings.is_faulty(at) {
                self.refers_to_activity(activity, at);
            }
            self.environment(process, place);
        }
    }

    fn is_path(&mut self, path: &str, place: Place) {
        if !path.starts_with('/') || path.chars().any(char::is_control) {
            let message = format!("{} is not an absolute path", quote(path));
            self.findings.fault(
                Kind::BadValue,
                place,
                message,
                "a path that begins with `/`",
            );
        }
    }

    fn environment(&mut self, process: &Process, place: Place) {
        let mut names = BTreeSet::new();
        for (index, variable) in process.env.iter().enumerate() {
            let place = place.item("env", index).field("@name");
            let name = variable.name.as_str();
            if name.contains('=') {
                let message = format!("the variable {} has `=` in its name", quote(name));
                let expected = "the name as attribute and the value as text";
                self.findings
                    .fault(Kind::BadValue, place, message, expected);
            } else if self.is_fit(name, place, "variable") && !names.insert(name) {
                let message = format!("the variable {} is set twice", quote(name));
                self.findings
                    .fault(Kind::Doubled, place, message, "each variable once");
            }
        }
    }
}

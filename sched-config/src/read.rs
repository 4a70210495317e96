//! From a document to a [`Configuration`].
//!
//! The structure has been checked before ([`crate::structure`]): what is missing here has been
//! noted there. A required value that is missing or faulty is replaced, so that the rest of the
//! file can be judged too; its place is known to be faulty, so nothing is said of it again, and a
//! configuration with faults is handed to nobody.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

use roxmltree::Node;

use crate::config::{
    Activity, Client, Configuration, CpuBudget, LoadSharing, Multiplexor, Network, Parent, Process,
    Scheduler, Variable,
};
use crate::finding::{Findings, Kind, Place, quote};
use crate::structure::{named, text};
use crate::value::{Core, ValueError, trim};

/// Reads the root element.
pub(crate) fn configuration(root: Node<'_, '_>, findings: &mut Findings) -> Configuration {
    let mut root = Element {
        node: root,
        place: Place::default(),
        findings,
    };
    Configuration {
        activities: root.each("activity", activity),
        multiplexors: root.each("cpumultiplexor", multiplexor),
        buses: root.each("scheduler", scheduler),
        schedulers: root.each("resourcescheduler", scheduler),
        networks: root.each("network", network),
        processes: root.each("process", process),
    }
}

fn activity(mut element: Element<'_, '_>) -> Activity {
    Activity {
        name: element.attribute("name"),
        weight: element.value("weight"),
        memory: element.value("memory"),
        cpu: element.inner("cpu").and_then(cpu_budget),
    }
}

fn cpu_budget(mut element: Element<'_, '_>) -> Option<CpuBudget> {
    let period = element.value("period");
    element
        .value("budget")
        .map(|budget| CpuBudget { budget, period })
}

fn multiplexor(mut element: Element<'_, '_>) -> Multiplexor {
    Multiplexor {
        tag: element.attribute("tag"),
        core: element.value("core").unwrap_or(Core::MAX),
        algorithm: element.word("algorithm").unwrap_or_default(),
        burst: element.value("burst"),
    }
}

fn scheduler(mut element: Element<'_, '_>) -> Scheduler {
    Scheduler {
        tag: element.node.attribute("tag").map(String::from),
        resource: element.word("resource"),
        activity: element.word("activity"),
        algorithm: element.word("algorithm").unwrap_or_default(),
        metric: element.value("metric"),
        timeslice: element.value("timeslice"),
        loadsharing: element.inner("loadsharing").map(load_sharing),
        multiplexors: element.each("cpumultiplexor", parent),
        asks: element.each("scheduler", parent),
        clients: element.each("client", client),
    }
}

fn load_sharing(mut element: Element<'_, '_>) -> LoadSharing {
    LoadSharing {
        policy: element.value("policy").unwrap_or_default(),
        core: element.value("core"),
        ttl: element.value("ttl"),
    }
}

fn parent(mut element: Element<'_, '_>) -> Parent {
    Parent {
        tag: element.word("tag").unwrap_or_default(),
        share: element.value("share"),
        priority: element.value("priority"),
        deadline: element.value("deadline"),
        budget: element.value("budget"),
        period: element.value("period"),
    }
}

fn client(mut element: Element<'_, '_>) -> Client {
    Client {
        activity: element.word("activity").unwrap_or_default(),
        share: element.value("share"),
        priority: element.value("priority"),
        deadline: element.value("deadline"),
        budget: element.value("budget"),
        period: element.value("period"),
    }
}

fn network(mut element: Element<'_, '_>) -> Network {
    Network {
        interface: element.attribute("interface"),
        address: element.value("address"),
        gateway: element.value("gateway"),
        rate: element.value("rate"),
        congestion: element.value("congestion"),
    }
}

fn process(mut element: Element<'_, '_>) -> Process {
    Process {
        name: element.attribute("name"),
        path: element.word("path").unwrap_or_default(),
        activity: element.word("activity"),
        args: element.each("arg", |element| element.text()),
        env: element.each("env", |mut element| Variable {
            name: element.attribute("name"),
            value: element.text(),
        }),
        stdout: element.word("stdout"),
        rights: element
            .each("right", |mut element| element.own_value("right"))
            .into_iter()
            .flatten()
            .collect(),
    }
}

/// An element of a known name, and where it stands.
struct Element<'a, 'f> {
    node: Node<'a, 'a>,
    place: Place,
    findings: &'f mut Findings,
}

impl<'a> Element<'a, '_> {
    /// Its own text without the blanks around it.
    fn text(&self) -> String {
        String::from(trim(&text(self.node)))
    }

    /// The value of an attribute; empty if it is missing.
    fn attribute(&mut self, name: &str) -> String {
        self.node
            .attribute(name)
            .map(String::from)
            .unwrap_or_default()
    }

    /// The text of the first child of that name.
    fn word(&mut self, name: &'static str) -> Option<String> {
        self.inner(name).map(|child| child.text())
    }

    /// The value of the first child of that name. Notes why, if it is none.
    fn value<T: FromStr<Err = ValueError>>(&mut self, name: &'static str) -> Option<T> {
        self.inner(name)?.own_value(name)
    }

    /// This element's own value; `name` is the element's. Notes why, if it is none.
    fn own_value<T: FromStr<Err = ValueError>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text();
        if text.is_empty() {
            return None;
        }
        let found = text.parse();
        if let Err(ValueError { wrong, expected }) = &found {
            let message = format!("`<{name}>`: {} {wrong}", quote(&text));
            self.findings
                .fault(Kind::BadValue, self.place, message, expected.as_str());
        }
        found.ok()
    }

    /// The first child of that name.
    fn inner(&mut self, name: &'static str) -> Option<Element<'a, '_>> {
        let node = named(self.node, name).next()?;
        Some(Element {
            node,
            place: self.place.field(name),
            findings: self.findings,
        })
    }

    /// All children of that name.
    fn each<T>(&mut self, name: &'static str, read: impl Fn(Element<'a, '_>) -> T) -> Vec<T> {
        let mut items = Vec::new();
        for (index, node) in named(self.node, name).enumerate() {
            let place = self.place.item(name, index);
            items.push(read(Element {
                node,
                place,
                findings: self.findings,
            }));
        }
        items
    }
}

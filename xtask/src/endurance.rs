//! What the network has to endure: a guest behind a wire that treats packets badly, and Linux's TCP at
//! the other end.
//!
//! Key types: [`Endurance`] (the guest, with servers, and its clients), [`Counted`] (what the guest
//! counts). `cargo xtask soak` and the tests are made of it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::network::Link;
use crate::process::Running;
use crate::program::{self, Lines, Program};
use crate::qemu::{Guest, Next};
use crate::userland;
use crate::wire::{Treated, Treatment, Wire};

/// How long the guest may take to have its servers.
const START: Duration = Duration::from_secs(90);
/// How long the guest may take to have forgotten connections that have ended: longer than an end may
/// be repeated on a bad wire.
const FORGET: Duration = Duration::from_secs(60);
/// How often it is asked.
const ASK: Duration = Duration::from_millis(100);
/// How many of the guest's last lines a failure shows.
const SHOWN: usize = 20;
/// The port of the server that is tried.
pub const PORT: u16 = 7000;
/// The one of the server that only tells what is counted.
const WATCH: u16 = 7100;
/// The activity of the one that is tried.
pub const SERVER: &str = "server";

/// What a guest counts, as `exchange` tells it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Counted {
    /// By name.
    pub counters: BTreeMap<String, u64>,
    /// Bytes held, by activity and resource.
    pub memory: BTreeMap<String, BTreeMap<String, u64>>,
    /// The first descriptor that is free, of who was asked.
    pub descriptor: u64,
}

impl Counted {
    /// A counter; 0 if there is none of this name.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// Bytes that the activity of the tried server holds for its sockets: all but what its programs are
    /// and have in their memory.
    #[must_use]
    pub fn held_by_sockets(&self) -> u64 {
        let of_programs = ["resource.executable", "resource.addressspace"];
        let held = self.memory.get(SERVER).into_iter().flatten();
        held.filter(|(resource, _)| !of_programs.contains(&resource.as_str()))
            .map(|(_, bytes)| bytes)
            .sum()
    }

    /// Packets that were dropped, by reason.
    pub fn dropped(&self) -> impl Iterator<Item = (&str, u64)> {
        let counters = self.counters.iter();
        counters.filter_map(|(name, value)| Some((name.strip_prefix("net.dropped.")?, *value)))
    }
}

/// What came of a transfer.
#[derive(Clone, Debug, Deserialize)]
pub struct Transferred {
    /// Of the bytes, the same at both ends.
    pub sha256: String,
    /// Seconds to the guest, and from it.
    pub up_s: f64,
    /// From it.
    pub down_s: f64,
}

/// What became of a killed process's connections.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Killed {
    /// Reset ones: those on which it had something left to read.
    pub reset: u64,
    /// Ones that ended as if they were closed.
    pub ended: u64,
}

/// A guest with servers, and its clients behind a wire.
pub struct Endurance {
    wire: Wire,
    guest: Guest,
    lines: Lines,
    /// The guest's last ones.
    last: VecDeque<String>,
}

impl Endurance {
    /// Boots a guest with so many processors and a network card of this kind; what the wire draws, it
    /// draws from the seed.
    ///
    /// # Errors
    /// When there are no namespaces here, or the guest does not start.
    pub fn start(smp: u32, card: &str, seed: u64) -> Result<Self> {
        let wire = Wire::new(seed)?;
        let guest = program::start(&Program {
            configuration: configuration(smp),
            smp,
            memory: "512M".into(),
            extra: wire.device(card),
            ..Program::default()
        })?;
        let mut started = Self {
            wire,
            guest,
            lines: Lines::default(),
            last: VecDeque::new(),
        };
        let deadline = Instant::now() + START;
        for port in [PORT, WATCH] {
            let wanted = format!("exchange: port {port}");
            while !started.last.iter().any(|line| *line == wanted) {
                started.watch(deadline)?;
                if Instant::now() >= deadline {
                    bail!(
                        "the servers were not there within {START:?}; {}",
                        started.words()
                    );
                }
            }
        }
        Ok(started)
    }

    /// From now on this happens to packets.
    ///
    /// # Errors
    /// When its chances are none.
    pub fn treat(&self, treatment: Treatment) -> Result<()> {
        self.wire.treat(treatment)
    }

    /// A frame arrives at the guest, whatever is in it.
    ///
    /// # Errors
    /// When the guest has ended, or takes nothing.
    pub fn inject(&mut self, frame: &[u8]) -> Result<()> {
        self.watch(Instant::now())?;
        self.wire.inject(frame).with_context(|| self.words())
    }

    /// What has happened to packets since: to those from the guest, and to those to it.
    #[must_use]
    pub fn treated(&self) -> [Treated; 2] {
        self.wire.treated()
    }

    /// So many bytes to the guest and as many from it.
    ///
    /// # Errors
    /// When a connection fails or is stuck for a minute, or a digest differs.
    pub fn transfer(&mut self, bytes: u64, seed: u64) -> Result<Transferred> {
        let options = [("--bytes", bytes), ("--seed", seed)];
        self.client("transfer", PORT, &options)
    }

    /// So many connections one after another, ended in all ways that there are.
    ///
    /// # Errors
    /// When one fails.
    pub fn churn(&mut self, count: u64) -> Result<()> {
        self.client("churn", PORT, &[("--count", count)])
            .map(|_: serde_json::Value| ())
    }

    /// So many connections at the same time.
    ///
    /// # Errors
    /// When one fails.
    pub fn together(&mut self, count: u64) -> Result<()> {
        self.client("together", PORT, &[("--count", count)])
            .map(|_: serde_json::Value| ())
    }

    /// The server's process is killed while so many connections send to it and so many receive.
    ///
    /// # Errors
    /// When a connection does not end.
    pub fn kill(&mut self, count: u64) -> Result<Killed> {
        self.client("kill", PORT, &[("--count", count)])
    }

    /// What the guest counts, told by the process that is not tried.
    ///
    /// # Errors
    /// When it does not say.
    pub fn counted(&mut self) -> Result<Counted> {
        self.client("counters", WATCH, &[])
    }

    /// What the guest counts when all connections are forgotten but the one by which it says so.
    ///
    /// # Errors
    /// When some are not forgotten within a minute.
    pub fn counted_at_rest(&mut self) -> Result<Counted> {
        let deadline = Instant::now() + FORGET;
        loop {
            let counted = self.counted()?;
            let left = counted.counter("net.connections") + counted.counter("net.half-open");
            if left <= 1 {
                return Ok(counted);
            }
            ensure!(
                Instant::now() < deadline,
                "{} connections are still there after {FORGET:?}: {:?}",
                left - 1,
                counted.counters
            );
            std::thread::sleep(ASK);
        }
    }

    /// As [`Self::counted_at_rest`], told by the process that is tried.
    ///
    /// # Errors
    /// As [`Self::counted_at_rest`].
    pub fn tried_at_rest(&mut self) -> Result<Counted> {
        self.counted_at_rest()?;
        self.client("counters", PORT, &[])
    }

    /// Runs a client to its end, while the guest goes on; what it says.
    fn client<T: for<'a> Deserialize<'a>>(
        &mut self,
        what: &str,
        port: u16,
        options: &[(&str, u64)],
    ) -> Result<T> {
        let programs = userland::build()?;
        let exchange = programs.iter().find(|file| file.path == "/bin/exchange");
        let exchange = exchange.context("there is no program /bin/exchange")?;
        let mut command = self.wire.clients().command(&exchange.file);
        command.arg(what).arg(format!("{}:{port}", Link::GUEST));
        for (option, value) in options {
            command.args([*option, &value.to_string()]);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = Running::start(&mut command)?;
        let status = loop {
            if let Some(status) = client.wait_until(Instant::now())? {
                break status;
            }
            self.watch(Instant::now() + ASK)?;
        };
        let (mut said, mut complaint) = (String::new(), String::new());
        if let Some(output) = &mut client.child().stdout {
            output.read_to_string(&mut said)?;
        }
        if let Some(errors) = &mut client.child().stderr {
            errors.read_to_string(&mut complaint)?;
        }
        ensure!(
            status.success(),
            "`exchange {what}`: {} ({status}); {}",
            complaint.trim(),
            self.words()
        );
        serde_json::from_str(&said).with_context(|| format!("`exchange {what}` says: {said}"))
    }

    /// Takes in what the guest says until then, or until it says something.
    fn watch(&mut self, until: Instant) -> Result<()> {
        let lines = match self.guest.next(until) {
            Next::Line(line) => vec![line.text],
            Next::Output(bytes) => self.lines.push(&bytes),
            Next::Deadline => Vec::new(),
            Next::Over => bail!("the guest has ended; {}", self.words()),
        };
        self.last.extend(lines);
        let more = self.last.len().saturating_sub(SHOWN);
        self.last.drain(..more);
        Ok(())
    }

    fn words(&self) -> String {
        let mut words = "the guest's last words:".to_owned();
        for line in &self.last {
            // Writing to a string does not fail.
            let _ = write!(words, "\n  | {line}");
        }
        words
    }
}

/// Two servers in activities of their own: one that is tried, and one that tells what is counted.
fn configuration(smp: u32) -> String {
    let mut xml = String::from("<schedulerconfig>\n");
    for (name, port) in [(SERVER, PORT), ("watch", WATCH)] {
        let _ = writeln!(
            xml,
            "<activity name=\"{name}\"><weight>50</weight></activity>\n\
             <process name=\"{name}\"><path>/bin/exchange</path><activity>{name}</activity>\
             <arg>serve</arg><arg>--port</arg><arg>{port}</arg><right>statistics</right></process>"
        );
    }
    let _ = writeln!(
        xml,
        "<network interface=\"net0\"><address>{}/24</address></network>",
        Link::GUEST
    );
    xml.push_str(
        "<resourcescheduler><resource>resource.thread</resource>\
         <algorithm>propshare.round-robin</algorithm><timeslice>5000</timeslice>\
         <loadsharing><policy>least-bound</policy><ttl>forever</ttl></loadsharing>",
    );
    for core in 0..smp {
        let _ = write!(
            xml,
            "<cpumultiplexor><tag>cpumux{core}</tag><share>100</share></cpumultiplexor>"
        );
    }
    xml.push_str("</resourcescheduler>\n");
    for core in 0..smp {
        let _ = writeln!(
            xml,
            "<cpumultiplexor tag=\"cpumux{core}\"><core>{core}</core>\
             <algorithm>propshare.wfq</algorithm></cpumultiplexor>"
        );
    }
    xml + "</schedulerconfig>\n"
}

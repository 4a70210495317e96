//! The clients, and what the guest says of its processors meanwhile.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use xtask::apachebench::{Bench, Outcome};
use xtask::counts::Work;
use xtask::network::Link;
use xtask::program::Lines;
use xtask::qemu::{Guest, Next};
use xtask::ui;
use xtask::userland::GuestFile;

use super::Args;
use super::counted::{Each, Meter};
use crate::experiment::measure::wait_for;

/// What is asked for.
pub(super) struct Workload {
    pub(super) name: &'static str,
    page: &'static str,
    keep_alive: bool,
}

/// The pages: a small one and a large one, of so many bytes.
pub(super) const PAGES: [(&str, usize); 2] = [("small", 2_048), ("large", 1_000_000)];

/// The pages, in a folder here and below `root` in the guest.
pub(super) fn pages(folder: &Path, root: &str) -> Result<Vec<GuestFile>> {
    let page = |(name, bytes): (&str, usize)| {
        let file = folder.join(name);
        std::fs::write(&file, vec![b'v'; bytes]).context("cannot write a page")?;
        Ok(GuestFile {
            path: format!("{root}/{name}"),
            file,
        })
    };
    PAGES.into_iter().map(page).collect()
}

pub(super) const WORKLOADS: [Workload; 3] = [
    Workload {
        name: "2 KB, connections kept",
        page: "small",
        keep_alive: true,
    },
    Workload {
        name: "2 KB, a connection each",
        page: "small",
        keep_alive: false,
    },
    Workload {
        name: "1 MB, connections kept",
        page: "large",
        keep_alive: true,
    },
];

/// What came of a workload.
#[derive(Serialize)]
pub(super) struct Measured {
    /// Requests in a second.
    pub(super) rate: f64,
    pub(super) failed: u64,
    /// 10^6 bytes in a second.
    pub(super) megabytes: f64,
    /// Microseconds of the guest's processors for each request.
    pub(super) cpu_us: f64,
    /// Parts of the busy time, where the guest tells.
    pub(super) infrastructure: Option<f64>,
    pub(super) scheduling: Option<f64>,
    /// What was executed for each request, if it was counted.
    pub(super) work: Option<Each>,
}

/// What a guest's processors have done since it began, in seconds of one processor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) at: f64,
    pub(super) busy: f64,
    pub(super) infrastructure: Option<f64>,
    pub(super) scheduling: Option<f64>,
    /// What they have executed, if it is counted; the guest does not know.
    pub(super) work: Option<Work>,
}

/// Reads a line of the guest's output, if it is about the load.
pub(super) type Read = fn(&str) -> Option<Result<Load>>;

/// All workloads, one after the other.
pub(super) fn all(
    args: &Args,
    meter: &Meter,
    guest: &mut Guest,
    read: Read,
) -> Result<Vec<Measured>> {
    let spinner = ui::Spinner::start("waiting for the server");
    for (page, _) in PAGES {
        wait_for(&meter.link, guest, &url(page), &spinner)?;
    }
    drop(spinner);
    let each = |workload| one(args, meter, guest, read, workload);
    WORKLOADS.iter().map(each).collect()
}

fn url(page: &str) -> String {
    format!("http://{}/{page}", Link::GUEST)
}

fn one(
    args: &Args,
    meter: &Meter,
    guest: &mut Guest,
    read: Read,
    workload: &Workload,
) -> Result<Measured> {
    let spinner = ui::Spinner::start(workload.name);
    let bench = Bench {
        url: url(workload.page),
        connections: args.connections,
        keep_alive: workload.keep_alive,
        seconds: args.seconds,
    };
    let mut client = bench.start(meter.link.clients().command("ab"))?;
    let (mut lines, mut loads) = (Lines::default(), Vec::new());
    while !client.is_over()? {
        let text = match guest.next(Instant::now() + PATIENCE) {
            Next::Output(bytes) => lines.push(&bytes),
            Next::Line(line) => vec![line.text],
            Next::Over => bail!("the guest has ended"),
            Next::Deadline => continue,
        };
        for line in text {
            if let Some(load) = read(&line) {
                let load = Load {
                    work: meter.read()?,
                    ..load?
                };
                loads.push(load);
                spinner.detail(&format!("{} s", loads.len()));
            }
        }
    }
    measured(&client.outcome()?, &loads).with_context(|| workload.name)
}

/// The first second of loads is left out: the clients begin in it.
fn measured(outcome: &Outcome, loads: &[Load]) -> Result<Measured> {
    let (first, last) = match loads {
        [_, first, .., last] => (first, last),
        _ => bail!("the guest said too seldom what it does; measure longer (--seconds)"),
    };
    let seconds = last.at - first.at;
    ensure!(seconds > 0.0, "the guest's clock stands still");
    let busy = last.busy - first.busy;
    let part = |of: fn(&Load) -> Option<f64>| {
        of(last)
            .zip(of(first))
            .map(|(last, first)| (last - first) / busy)
    };
    let requests = outcome.rate() * seconds;
    let work = first.work.zip(last.work);
    Ok(Measured {
        rate: outcome.rate(),
        failed: outcome.failed,
        megabytes: outcome.bytes as f64 / 1e6 / outcome.seconds.max(f64::MIN_POSITIVE),
        cpu_us: busy / seconds / outcome.rate().max(f64::MIN_POSITIVE) * 1e6,
        infrastructure: part(|load| load.infrastructure),
        scheduling: part(|load| load.scheduling),
        work: work.map(|(first, last)| Each::of(first, last, requests)),
    })
}

/// How long the guest is listened to until the client is looked at again.
const PATIENCE: Duration = Duration::from_millis(100);

/// How often guests say what they do.
pub(super) const EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_of_busy_time_without_the_beginning() {
        let load = |at, busy, infrastructure| Load {
            at,
            busy,
            infrastructure: Some(infrastructure),
            scheduling: None,
            work: None,
        };
        let outcome = Outcome {
            requests: 1000,
            bytes: 2_000_000,
            seconds: 2.0,
            ..Outcome::default()
        };
        let loads = [
            load(0.0, 0.0, 0.0),
            load(1.0, 1.0, 0.5),
            load(3.0, 2.0, 0.75),
        ];
        let measured = measured(&outcome, &loads).unwrap();
        assert!((measured.rate - 500.0).abs() < 1e-9);
        assert!((measured.megabytes - 1.0).abs() < 1e-9);
        assert!((measured.cpu_us - 1000.0).abs() < 1e-9);
        assert_eq!(measured.infrastructure, Some(0.25));
        assert_eq!(measured.scheduling, None);
        assert!(super::measured(&outcome, &loads[1..]).is_err());
    }
}

//! What the network interface and its resources did, beside what they did it for.
//!
//! Key types: [`Interface`].

use std::io::Write;

use anyhow::{Context, Result};
use serde::Serialize;
use xtask::samples::{AtResource, Sample};

use super::table;

/// Each in a second, but the last.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Interface {
    received: f64,
    sent: f64,
    interrupts: f64,
    /// Frames for which there was no room in the ring, or on the link.
    held: f64,
    /// Locks on the way of packets that were found taken by another core.
    waits_for_locks: f64,
    /// The infrastructure's part of the processor time that anybody used.
    infrastructure: f64,
}

impl Interface {
    /// From the first to the last of the samples.
    pub(super) fn of(samples: &[Sample]) -> Result<Self> {
        let (first, last) = samples.first().zip(samples.last()).context("no samples")?;
        let seconds = (last.at - first.at) as f64 / first.hertz.max(1) as f64;
        let rate = |name: &str| {
            let name = format!("net.events.{name}");
            last.counter(&name).saturating_sub(first.counter(&name)) as f64 / seconds
        };
        let used = |activity: &str| {
            last.all_cycles(activity)
                .saturating_sub(first.all_cycles(activity))
        };
        let all: u64 = (last.activities.iter())
            .map(|activity| used(&activity.name))
            .sum();
        Ok(Self {
            received: rate("received"),
            sent: rate("sent"),
            interrupts: rate("interrupts"),
            held: rate("held"),
            waits_for_locks: rate("waits-for-locks"),
            infrastructure: used("infrastructure") as f64 / all.max(1) as f64,
        })
    }

    /// Prints it, with what was written into the ring.
    pub(super) fn show(&self, written: &AtResource) -> Result<()> {
        let mut rows = table::table(&[
            "Packets/s in",
            "Frames/s out",
            "Interrupts/s",
            "Held back/s",
            "Locks found taken/s",
            "Infrastructure, of CPU used",
            "MB/s out",
        ]);
        let one = |rate: f64| format!("{rate:.1}");
        rows.add_row([
            one(self.received),
            one(self.sent),
            one(self.interrupts),
            one(self.held),
            one(self.waits_for_locks),
            table::per_cent(self.infrastructure),
            format!("{:.2}", written.bytes_per_second / 1e6),
        ]);
        writeln!(anstream::stdout(), "{}\n", rows.trim_fmt()).context("cannot print the results")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, packets: u64, cycles: [u64; 2]) -> Sample {
        let [infrastructure, server] = cycles;
        let text = format!(
            r#"sample {{"at":{at},"hertz":1000,"cores":[{{"elapsed":{at},"scheduling":0,"interrupt":0,"idle":0,"unaccounted":0}}],
            "activities":[{{"name":"infrastructure","cycles":[{infrastructure}]}},{{"name":"web","cycles":[{server}]}}],
            "counters":{{"net.events.received":{packets},"net.events.waits-for-locks":7}}}}"#
        );
        Sample::parse(&text.replace('\n', " "))
            .expect("a sample")
            .expect("it is sound")
    }

    #[test]
    fn rates_are_of_what_was_counted_between_the_samples() {
        let samples = [
            sample(1000, 50, [100, 100]),
            sample(2000, 90, [150, 200]),
            sample(3000, 250, [200, 400]),
        ];
        let interface = Interface::of(&samples).expect("there are samples");
        assert_eq!(interface.received, 100.0);
        assert_eq!((interface.sent, interface.waits_for_locks), (0.0, 0.0));
        assert_eq!(interface.infrastructure, 0.25);
        assert!(Interface::of(&[]).is_err());
    }
}

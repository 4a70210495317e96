//! ApacheBench (`ab`, of Debian's apache2-utils): a client that asks one web server again and again.
//!
//! Key types: [`Bench`] (what to ask), [`Running`] (one under way), [`Outcome`].

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

use crate::process;

/// Requests that ab has room for; it ends by its time before.
const REQUESTS: u32 = 2_000_000;
/// Seconds after which an answer that has not come is a failure.
const PATIENCE: u32 = 30;

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The page.
    pub url: String,
    /// Connections at once.
    pub connections: u32,
    /// Whether connections are kept from one request to the next.
    pub keep_alive: bool,
    /// For how long.
    pub seconds: u32,
}

/// A client that asks.
pub struct Running {
    program: process::Running,
    times: NamedTempFile,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Requests that were answered.
    pub requests: u64,
    /// Requests that failed; a part of them.
    pub failed: u64,
    /// Bytes of answers, with their heads.
    pub bytes: u64,
    /// Seconds it took.
    pub seconds: f64,
    /// Milliseconds that each request took, sorted.
    pub times: Vec<u32>,
}

impl Bench {
    /// Starts `ab`; `command` is how it is called, such as in a namespace.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, mut command: Command) -> Result<Running> {
        let times = NamedTempFile::new().context("cannot make a file for the times")?;
        // The time first: it sets the number of requests, too.
        command
            .args(["-q", "-r", "-t", &self.seconds.to_string()])
            .args(["-n", &REQUESTS.to_string(), "-s", &PATIENCE.to_string()])
            .args(["-c", &self.connections.to_string(), "-g"])
            .arg(times.path());
        if self.keep_alive {
            command.arg("-k");
        }
        command
            .arg(&self.url)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let program = process::Running::start(&mut command)?;
        Ok(Running { program, times })
    }
}

impl Running {
    /// Whether it has ended.
    ///
    /// # Errors
    /// When the operating system cannot tell.
    pub fn is_over(&mut self) -> Result<bool> {
        Ok(self.program.wait_until(Instant::now())?.is_some())
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it failed altogether, such as when nobody listens there; the error has its words.
    pub fn outcome(mut self) -> Result<Outcome> {
        use std::io::Read;
        // What it prints is a page or two: less than a pipe holds.
        let status = self.program.wait()?;
        let (mut said, mut errors) = (String::new(), String::new());
        let child = self.program.child();
        if let (Some(output), Some(messages)) = (&mut child.stdout, &mut child.stderr) {
            output.read_to_string(&mut said)?;
            messages.read_to_string(&mut errors)?;
        }
        if !status.success() {
            bail!("ab failed ({status}): {}", errors.trim());
        }
        let times = fs::read_to_string(self.times.path()).unwrap_or_default();
        Outcome::parse(&said, &times).with_context(|| format!("ab says something else:\n{said}"))
    }
}

impl Outcome {
    /// From what `ab` prints and its table of times (`-g`).
    fn parse(said: &str, times: &str) -> Option<Self> {
        let value = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next())
        };
        let count = |name| value(name).and_then(|value| value.parse().ok());
        // start, seconds, connecting, processing, together, waiting
        let of_line = |line: &str| line.split('\t').nth(4)?.parse().ok();
        let mut times: Vec<u32> = times.lines().skip(1).filter_map(of_line).collect();
        times.sort_unstable();
        Some(Self {
            requests: count("Complete requests:")?,
            failed: count("Failed requests:")?,
            bytes: count("Total transferred:")?,
            seconds: value("Time taken for tests:")?.parse().ok()?,
            times,
        })
    }

    /// Requests in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// Milliseconds within which `per_mille` thousandths of the requests were answered; 0 without
    /// any.
    #[must_use]
    pub fn percentile(&self, per_mille: usize) -> u32 {
        let last = self.times.len().saturating_sub(1);
        let index = (self.times.len() * per_mille / 1000).min(last);
        self.times.get(index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
Concurrency Level:      4
Time taken for tests:   1.001 seconds
Complete requests:      3
Failed requests:        1
   (Connect: 0, Receive: 0, Length: 1, Exceptions: 0)
Keep-Alive requests:    3
Total transferred:      1147355 bytes
HTML transferred:       13605 bytes
Requests per second:    4532.15 [#/sec] (mean)
";
    const TIMES: &str = "\
starttime\tseconds\tctime\tdtime\tttime\twait
Thu Nov 26 18:17:27 2026\t1795717047\t0\t7\t7\t0
Thu Nov 26 18:17:27 2026\t1795717047\t1\t8\t9\t0
Thu Nov 26 18:17:27 2026\t1795717047\t0\t8\t8\t0
";

    #[test]
    fn what_ab_prints_is_read() {
        let outcome = Outcome::parse(SAID, TIMES).unwrap();
        assert_eq!((outcome.requests, outcome.failed), (3, 1));
        assert_eq!(outcome.bytes, 1_147_355);
        assert_eq!(outcome.times, [7, 8, 9]);
        assert_eq!((outcome.percentile(500), outcome.percentile(999)), (8, 9));
        assert!((outcome.rate() - 3.0 / 1.001).abs() < 1e-9);
        assert_eq!(Outcome::parse("", TIMES), None);
        assert_eq!(Outcome::default().percentile(500), 0);
    }
}

//! What the user sees: short coloured lines on standard error, and a spinner for what takes long.
//!
//! Standard output belongs to the guest's log and to results. Colours go away by themselves where
//! standard error is no terminal or `NO_COLOR` is set.

use std::io::IsTerminal;
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anstream::eprintln;
use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

const HEADER: Style = AnsiColor::Cyan.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Work that ends sooner than this is not mentioned.
const WORTH_SHOWING: Duration = Duration::from_secs(1);

/// The spinners that are to be seen, which make room for a line.
static SPINNERS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Begins a part of the work.
pub fn header(text: &str) {
    SPINNERS.suspend(|| eprintln!("{HEADER}==>{HEADER:#} {text}"));
}

/// Says something as it is.
pub fn say(text: &str) {
    SPINNERS.suspend(|| eprintln!("{text}"));
}

/// Says that something is done or decided.
pub fn done(text: &str) {
    SPINNERS.suspend(|| eprintln!("{GOOD}  ✓{GOOD:#} {text}"));
}

/// Says what is odd but does not stop the work.
pub fn warn(text: &str) {
    SPINNERS.suspend(|| eprintln!("{WARNING}warning:{WARNING:#} {text}"));
}

/// Says why the work stops.
pub fn error(text: &str) {
    SPINNERS.suspend(|| eprintln!("{ERROR}error:{ERROR:#} {text}"));
}

/// A duration the way a person reads it.
#[must_use]
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// A spinner that appears once the work has taken a second, and is gone when this is dropped.
/// Where standard error is no terminal, one plain line takes its place.
pub struct Spinner {
    details: Sender<String>,
    painter: Option<JoinHandle<()>>,
}

impl Spinner {
    /// Starts to wait for the work named by `label`, such as "building the kernel".
    #[must_use]
    pub fn start(label: &str) -> Self {
        let (details, received) = channel();
        let label = label.to_owned();
        let painter = std::thread::spawn(move || paint(&label, &received));
        Self {
            details,
            painter: Some(painter),
        }
    }

    /// Shows what the work is at, behind the label.
    pub fn detail(&self, text: &str) {
        // The painter is gone only when this is dropped.
        let _ = self.details.send(text.to_owned());
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        let (closed, _) = channel();
        self.details = closed;
        if let Some(painter) = self.painter.take() {
            let _ = painter.join();
        }
    }
}

/// Runs until the sender of details is dropped.
fn paint(label: &str, details: &Receiver<String>) {
    let started = Instant::now();
    loop {
        let left = WORTH_SHOWING.saturating_sub(started.elapsed());
        match details.recv_timeout(left) {
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    if std::io::stderr().is_terminal() {
        let bar = SPINNERS.add(ProgressBar::new_spinner());
        let style =
            ProgressStyle::with_template("{spinner:.cyan} {prefix} ({elapsed}) {wide_msg:.dim}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        for detail in details {
            bar.set_message(detail);
        }
        bar.finish_and_clear();
    } else {
        eprintln!("    {label} ...");
        while details.recv().is_ok() {}
    }
    done(&format!("{label}: {}", seconds(started.elapsed())));
}

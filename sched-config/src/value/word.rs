//! Values that are one of a few words.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use super::{Microseconds, ValueError, serde_as_text};

/// An enum whose variants are words in the file: the list, `name`, `FromStr` and `Display`.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident ($what:literal) { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word that names it in the file.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl FromStr for $name {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                Self::ALL.iter().copied().find(|one| one.name() == text).ok_or_else(|| {
                    let mut expected = String::from("one of");
                    for (index, one) in Self::ALL.iter().enumerate() {
                        expected.push_str(if index == 0 { " `" } else { ", `" });
                        expected.push_str(one.name());
                        expected.push('`');
                    }
                    ValueError { wrong: concat!("is not ", $what), expected }
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(self.name())
            }
        }
    };
}

words! {
    /// The field of the resource consumption record that a scheduler charges its clients by.
    #[derive(Default)]
    Metric("a metric") {
        /// CPU cycles. What a scheduler charges by that names no metric.
        #[default]
        Cpu = "cpu",
        /// Bytes moved.
        Bytes = "bytes",
        /// Requests executed, each counting one.
        Requests = "requests",
        /// Memory allocated, in bytes.
        Memory = "memory",
    }
}

words! {
    /// How a scheduler chooses the core for an affinity label (section 3.1.1 of the paper).
    #[derive(Default)]
    LoadSharingPolicy("a load-sharing policy") {
        /// By a hash of the label: the same label always goes to the same core. The default.
        #[default]
        AffinityHash = "affinity-hash",
        /// The core with the fewest labels bound to it (section 4.2).
        LeastBound = "least-bound",
        /// The core where the activity has proportionally received least (footnote 3).
        LeastReceived = "least-received",
        /// Always the core that is named (section 4.4: all threads on one core).
        Fixed = "fixed",
    }
}

impl LoadSharingPolicy {
    /// How long a binding holds when the file does not say: for ever, but 100 ms under
    /// `least-received`, which is of use only when it may think again.
    #[must_use]
    pub const fn default_ttl(self) -> Ttl {
        match self {
            Self::LeastReceived => Ttl::For(Microseconds::of(100_000)),
            Self::AffinityHash | Self::LeastBound | Self::Fixed => Ttl::Forever,
        }
    }
}

words! {
    /// How TCP connections find their shares of a network.
    #[derive(Default)]
    Congestion("a congestion control") {
        /// CUBIC (RFC 9438). The default.
        #[default]
        Cubic = "cubic",
        /// NewReno (RFC 5681 and 6582).
        NewReno = "newreno",
    }
}

words! {
    /// What a process may do beyond its own activity.
    Right("a right") {
        /// Read everybody's statistics.
        Statistics = "statistics",
        /// Change what activities are to schedulers.
        Weights = "weights",
        /// Create activities, and put processes into others than its own.
        Activities = "activities",
        /// Signal processes of other activities.
        Signals = "signals",
    }
}

/// How long the binding of an affinity label to a core holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ttl {
    /// So long; then the scheduler is asked again.
    For(Microseconds),
    /// As long as the label is in use.
    Forever,
}

impl FromStr for Ttl {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        text.parse()
            .map(Self::For)
            .map_err(|mut error: ValueError| {
                error.expected.insert_str(0, "`forever` or ");
                error
            })
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(time) => time.fmt(out),
            Self::Forever => out.write_str("forever"),
        }
    }
}

serde_as_text!(Metric, LoadSharingPolicy, Congestion, Right, Ttl);

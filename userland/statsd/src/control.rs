//! Changing policy while the system runs: what can be asked for, on a command line and in JSON.
//!
//! Key types: [`Command`], [`Failure`]. [`read`] takes the body of a request, whatever it is;
//! [`Command::perform`] has the kernel do it, which says whether this process may.

use std::fmt;
use std::io;

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use vortex::activity::{self, Activity};
use vortex::{Scope, Snapshot, abi::snapshot};
use vortex_sched_config::value::{Bytes, Metric, Microseconds, Priority, Share};

/// Something to be changed. In JSON: `{"command":"weight","activity":"web","weight":"50"}`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Make an activity
    Create {
        /// Its name
        activity: String,
        /// Its weight, beside those of others: from 0.001 to 10000
        weight: Share,
    },
    /// Set what an activity weighs beside others
    Weight {
        /// The activity's name
        activity: String,
        /// Its weight, from 0.001 to 10000
        weight: Share,
        /// At the scheduler of this resource, rather than at the processors
        #[arg(long)]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resource: Option<String>,
        /// Its priority, from 0 (the most urgent) to 255, where priorities are scheduled by; as it is,
        /// if left out
        #[arg(long)]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        priority: Option<Priority>,
    },
    /// Bound what an activity may take in each period, where the scheduler knows budgets
    Budget {
        /// The activity's name
        activity: String,
        /// So many microseconds; no bound if left out
        #[arg(requires = "period")]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        time: Option<Microseconds>,
        /// In each period of so many microseconds
        #[serde(default, skip_serializing_if = "Option::is_none")]
        period: Option<Microseconds>,
        /// At the scheduler of this resource, rather than at the processors
        #[arg(long)]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resource: Option<String>,
    },
    /// Bound the memory that an activity may hold
    Memory {
        /// The activity's name
        activity: String,
        /// In bytes, or with the unit KiB, MiB, GiB or TiB; no bound if left out
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<Bytes>,
    },
    /// Set what the scheduler of a resource charges by
    Metric {
        /// The resource's name
        resource: String,
        /// `cpu`, `bytes`, `requests` or `memory`
        metric: Metric,
    },
    /// Have another activity pay for a process from now on
    Move {
        /// The process's number
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        process: u32,
        /// The activity's name
        activity: String,
    },
    /// Have the pages of files given back that an activity has brought in
    Evict {
        /// The activity's name
        activity: String,
    },
    /// Hold all processes of an activity
    Suspend {
        /// The activity's name
        activity: String,
    },
    /// Let the processes of an activity go on
    Resume {
        /// The activity's name
        activity: String,
    },
}

/// Why a command was not carried out.
#[derive(Debug)]
pub enum Failure {
    /// It cannot be right, whatever the system is like.
    Wrong(String),
    /// There is no such activity, resource or process.
    Missing(String),
    /// This process may not.
    Forbidden(String),
    /// Something else.
    Other(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(words) | Self::Missing(words) | Self::Forbidden(words) => {
                f.write_str(words)
            }
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

/// The command in the body of a request.
///
/// # Errors
/// It is none; in words.
pub fn read(body: &[u8]) -> Result<Command, String> {
    let command = serde_json::from_slice(body).map_err(|error| format!("no command: {error}"))?;
    match command {
        Command::Budget { time, period, .. } if time.is_some() != period.is_some() => {
            Err("no command: a budget has both a time and a period, or neither".to_owned())
        }
        Command::Move { process: 0, .. } => Err("no command: there is no process 0".to_owned()),
        command => Ok(command),
    }
}

impl Command {
    /// Has the kernel do it. What comes back is the new activity's number, or how many pages were
    /// given back, or 0.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn perform(&self) -> Result<u64, Failure> {
        let done = |result: io::Result<()>| result.map(|()| 0).map_err(|error| self.failure(error));
        match self {
            Self::Create { activity, weight } => {
                let made = activity::create(activity, weight.thousandths().into());
                made.map(|made| made.0).map_err(|error| self.failure(error))
            }
            Self::Weight {
                activity,
                weight,
                resource,
                priority,
            } => {
                let activity = find(activity)?;
                let (weight, priority) = (weight.thousandths(), priority.map(|given| given.0));
                self.at(resource.as_deref(), |resource| {
                    activity::set(activity, resource, weight.into(), priority)
                })
            }
            Self::Budget {
                activity,
                time,
                period,
                resource,
            } => {
                let activity = find(activity)?;
                let budget = time.zip(*period);
                let budget = budget.map(|(time, period)| (time.get(), period.get()));
                self.at(resource.as_deref(), |resource| {
                    activity::reserve(activity, resource, budget)
                })
            }
            Self::Memory { activity, bytes } => {
                let activity = find(activity)?;
                done(activity::budget(activity, bytes.map(Bytes::get)))
            }
            Self::Metric { resource, metric } => {
                let metric = number(*metric);
                self.at(Some(resource), |resource| match resource {
                    Some(resource) => activity::set_metric(resource, metric),
                    None => Err(io::ErrorKind::InvalidInput.into()),
                })
            }
            Self::Move { process, activity } => {
                done(activity::move_process(*process, find(activity)?))
            }
            Self::Evict { activity } => {
                let activity = find(activity)?;
                activity::evict(activity).map_err(|error| self.failure(error))
            }
            Self::Suspend { activity } => done(activity::suspend(find(activity)?)),
            Self::Resume { activity } => done(activity::resume(find(activity)?)),
        }
    }

    /// Changes something at the resources of a name, which may be several, or with none at the
    /// processors. Those that work inside the activities' shares have nothing to be changed.
    fn at(
        &self,
        name: Option<&str>,
        change: impl Fn(Option<u64>) -> io::Result<()>,
    ) -> Result<u64, Failure> {
        let Some(name) = name else {
            return change(None)
                .map(|()| 0)
                .map_err(|error| self.failure(error));
        };
        let snapshot = Snapshot::take(Scope::All).map_err(|error| self.failure(error))?;
        let reader = snapshot.reader().map_err(Failure::Other)?;
        let numbers = (reader.records::<snapshot::Resource>())
            .filter(|resource| resource.name.as_str() == name)
            .map(|resource| resource.resource);
        let results: Vec<_> = numbers.map(|number| change(Some(number))).collect();
        if results.is_empty() {
            let words = format!("no resource of the name {name} has done anything yet");
            return Err(Failure::Missing(words));
        }
        if results.iter().any(Result::is_ok) {
            return Ok(0);
        }
        let error = results.into_iter().find_map(Result::err);
        Err(self.failure(error.unwrap_or_else(|| io::ErrorKind::NotFound.into())))
    }

    /// What an error of the kernel's means.
    fn failure(&self, error: io::Error) -> Failure {
        const ESRCH: i32 = 3;
        const ENXIO: i32 = 6;
        const EDEADLK: i32 = 35;
        const ENAMETOOLONG: i32 = 36;
        let right = match self {
            Self::Weight { .. }
            | Self::Budget { .. }
            | Self::Memory { .. }
            | Self::Metric { .. } => "weights",
            Self::Create { .. } | Self::Move { .. } | Self::Evict { .. } => "activities",
            Self::Suspend { .. } | Self::Resume { .. } => "signals",
        };
        match (error.raw_os_error(), error.kind()) {
            (_, io::ErrorKind::PermissionDenied) => Failure::Forbidden(format!(
                "not allowed: it needs `<right>{right}</right>`{}",
                match self {
                    Self::Suspend { .. } => ", and the infrastructure is never suspended",
                    Self::Weight { .. } | Self::Budget { .. } | Self::Metric { .. } => {
                        ", and where a resource is named, `<right>statistics</right>`"
                    }
                    _ => "",
                }
            )),
            (Some(ESRCH), _) | (_, io::ErrorKind::NotFound) => {
                Failure::Missing("there is no such process or activity".to_owned())
            }
            (Some(ENXIO), _) => Failure::Missing(
                "this resource works inside the activities' shares: it has no scheduler whose \
                 clients are activities"
                    .to_owned(),
            ),
            (Some(EDEADLK), _) => {
                Failure::Wrong("one's own activity cannot be suspended".to_owned())
            }
            (Some(ENAMETOOLONG), _) => Failure::Wrong("a name has at most 48 bytes".to_owned()),
            (_, io::ErrorKind::AlreadyExists) => {
                Failure::Wrong("there is an activity of that name".to_owned())
            }
            (_, io::ErrorKind::InvalidInput) => {
                Failure::Wrong("the kernel does not take these values".to_owned())
            }
            _ => Failure::Other(error),
        }
    }
}

/// The activity of a name.
fn find(name: &str) -> Result<Activity, Failure> {
    activity::find(name).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::Missing(format!("there is no activity {name}")),
        io::ErrorKind::InvalidFilename => {
            Failure::Missing("no activity has so long a name".to_owned())
        }
        _ => Failure::Other(error),
    })
}

/// A metric as the kernel's call has it.
const fn number(metric: Metric) -> u64 {
    match metric {
        Metric::Cpu => 0,
        Metric::Bytes => 1,
        Metric::Requests => 2,
        Metric::Memory => 3,
    }
}

#[cfg(test)]
mod tests;

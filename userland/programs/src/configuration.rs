//! The configuration that the guest was started with, as its programs find it.

use std::fs;
use std::io;

use vortex_sched_config::{Known, Plan};

use crate::work;

/// Where it is.
pub const FILE: &str = "/etc/vortex.xml";

/// What the configuration in `file` says.
///
/// # Errors
/// There is no such file, or it has faults: the error lists them.
pub fn load(file: &str) -> io::Result<Plan> {
    let with_name = |text: String| io::Error::other(format!("{file}: {text}"));
    let text = fs::read(file).map_err(|error| with_name(error.to_string()))?;
    let cores = u32::try_from(work::cores()).unwrap_or(u32::MAX);
    let loaded = vortex_sched_config::load(&text, &Known::standard(cores));
    let loaded = loaded.map_err(|error| with_name(format!("{error:?}")))?;
    Ok(loaded.plan)
}

//! From the bytes of a file to a plan, or to a report of everything that is wrong with it.

use alloc::vec::Vec;

use crate::check;
use crate::config::Configuration;
use crate::finding::{Finding, Findings, Report, Spans};
use crate::known::Known;
use crate::plan::Plan;
use crate::scan::{self, Limits};
use crate::{read, structure, syntax};

/// A file without faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What it says.
    pub configuration: Configuration,
    /// What is to be built.
    pub plan: Plan,
    /// What is likely not meant, in the order of the file.
    pub warnings: Vec<Finding>,
}

/// Reads and checks the bytes of a file.
///
/// Takes time and memory in proportion to the file and its plan, both of which are bounded by
/// [`Limits`]; uses little stack however deep the file is.
///
/// # Errors
/// All faults of the file. Faults in the structure and in the values are found in one run; only a
/// text that is not well-formed XML ends it early.
pub fn load(bytes: &[u8], known: &Known<'_>) -> Result<Loaded, Report> {
    load_within(bytes, known, &Limits::default())
}

/// Reads and checks the bytes of a file that may be of another size than is usual.
///
/// # Errors
/// All faults of the file, as [`load`] has them.
pub fn load_within(bytes: &[u8], known: &Known<'_>, limits: &Limits) -> Result<Loaded, Report> {
    let mut findings = Findings::new(limits.findings);
    let text = scan::text(bytes, limits, &mut findings);
    let mut spans = Spans::new();
    let mut loaded = None;
    if let Some(configuration) = read_text(text, limits, &mut findings, &mut spans) {
        check::check(&configuration, known, limits, &mut findings);
        if findings.is_sound() {
            loaded = Plan::build(&configuration, known, limits, &mut findings)
                .map(|plan| (configuration, plan));
        }
    }
    let report = findings.located(text, &spans);
    match loaded {
        Some((configuration, plan)) if report.faults.is_empty() => Ok(Loaded {
            configuration,
            plan,
            warnings: report.warnings,
        }),
        _ => Err(report),
    }
}

/// Reads a text without asking whether what it refers to exists.
///
/// # Errors
/// All faults in its structure and its values.
pub fn parse(text: &str) -> Result<Configuration, Report> {
    let limits = Limits::default();
    let mut findings = Findings::new(limits.findings);
    let text = scan::text(text.as_bytes(), &limits, &mut findings);
    let mut spans = Spans::new();
    let configuration = read_text(text, &limits, &mut findings, &mut spans);
    let sound = findings.is_sound();
    let report = findings.located(text, &spans);
    configuration.filter(|_| sound).ok_or(report)
}

/// The configuration a text holds, with replacements for what is faulty. `None` if nothing can be
/// made of it.
fn read_text(
    text: &str,
    limits: &Limits,
    findings: &mut Findings,
    spans: &mut Spans,
) -> Option<Configuration> {
    if findings.is_sound() {
        scan::scan(text, limits, findings);
    }
    if !findings.is_sound() {
        return None;
    }
    let document = syntax::document(text, limits, findings)?;
    let root = document.root_element();
    *spans = structure::check(root, findings);
    Some(read::configuration(root, findings))
}

impl Configuration {
    /// Checks a configuration that comes from no file.
    #[must_use]
    pub fn check(&self, known: &Known<'_>) -> Report {
        let limits = Limits::default();
        let mut findings = Findings::new(limits.findings);
        check::check(self, known, &limits, &mut findings);
        findings.without_positions()
    }

    /// Checks a configuration that comes from no file, and resolves it.
    ///
    /// # Errors
    /// All its faults.
    pub fn plan(&self, known: &Known<'_>) -> Result<Plan, Report> {
        let limits = Limits::default();
        let mut findings = Findings::new(limits.findings);
        check::check(self, known, &limits, &mut findings);
        if findings.is_sound()
            && let Some(plan) = Plan::build(self, known, &limits, &mut findings)
        {
            return Ok(plan);
        }
        Err(findings.without_positions())
    }
}

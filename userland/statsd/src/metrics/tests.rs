//! The text format, read again by a strict reader.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{Activity, Core, Counter, Held, Process};

/// A sample: its metric, its labels, its value.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

fn is_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(legal) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// A label's value behind its opening quotation mark, and what follows the closing one.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                same @ ('\\' | '"') => same,
                _ => return None,
            }),
            other => value.push(other),
        }
    }
    None
}

fn sample(line: &str) -> Option<Sample> {
    let (name, mut rest) = line.split_at(line.find(['{', ' '])?);
    let mut labels = BTreeMap::new();
    while rest.starts_with(['{', ',']) {
        let (label, value) = rest[1..].split_once("=\"")?;
        let (value, behind) = quoted(value)?;
        let is_new = labels.insert(label.to_owned(), value).is_none();
        if !is_name(label) || !is_new {
            return None;
        }
        rest = behind;
    }
    let rest = if labels.is_empty() {
        rest
    } else {
        rest.strip_prefix('}')?
    };
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: rest.strip_prefix(' ')?.parse().ok()?,
    })
}

/// All samples of a text in which each follows the HELP and the TYPE of its family, families are
/// whole, no series comes twice, and what is counted up says so in its name.
fn samples(text: &str) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    let mut families = BTreeSet::new();
    let mut series = BTreeSet::new();
    let (mut family, mut kind) = ("", "");
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let wrong = || line.to_owned();
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split_once(' ').ok_or_else(wrong)?.0;
            let typed = lines.next().and_then(|line| line.strip_prefix("# TYPE "));
            let typed = typed.and_then(|typed| typed.strip_prefix(family));
            kind = typed.ok_or_else(wrong)?.trim_start();
            let is_total = family.ends_with("_total");
            let is_known = matches!(kind, "counter" | "gauge" | "histogram");
            if !families.insert(family)
                || !is_name(family)
                || !is_known
                || is_total != (kind == "counter")
            {
                return Err(wrong());
            }
            continue;
        }
        let sample = sample(line).ok_or_else(wrong)?;
        let suffix = sample.name.strip_prefix(family).ok_or_else(wrong)?;
        let of_family = match kind {
            "histogram" => matches!(suffix, "_bucket" | "_sum" | "_count"),
            _ => suffix.is_empty(),
        };
        let key = (sample.name.clone(), sample.labels.clone());
        if !of_family || !series.insert(key) || (kind == "counter" && sample.value < 0.0) {
            return Err(wrong());
        }
        samples.push(sample);
    }
    Ok(samples)
}

#[test]
fn the_reader_refuses_what_is_wrong() {
    for text in [
        "a 1",
        "# HELP a Help.\n# TYPE a counter\na 1",
        "# HELP a Help.\n# TYPE a gauge\na{b=\"c} 1",
        "# HELP a Help.\n# TYPE a gauge\na{b=\"\\x\"} 1",
        "# HELP a Help.\n# TYPE a gauge\na 1\na 1",
        "# HELP a Help.\n# TYPE a gauge\nb 1",
    ] {
        assert!(samples(text).is_err(), "{text}");
    }
}

/// Accounts with any names and numbers, each once, as in a snapshot.
fn any_accounts() -> impl Strategy<Value = Vec<Account>> {
    let histogram = || prop::collection::vec(any::<u64>(), 0..=40);
    let parts = (
        "[a-c]|\\PC*",
        any::<String>(),
        any::<[u64; 6]>(),
        histogram(),
        histogram(),
    );
    let account = parts.prop_map(|(resource, activity, numbers, waiting, service)| Account {
        core: 0,
        resource,
        activity,
        cycles: numbers[0],
        requests: numbers[1],
        bytes: numbers[2],
        memory: numbers[3],
        returned: numbers[4],
        queue_length: numbers[5],
        waiting,
        service,
    });
    prop::collection::vec(account, 0..4).prop_map(|mut accounts| {
        let mut seen = BTreeSet::new();
        accounts.retain(|one| seen.insert((one.resource.clone(), one.activity.clone())));
        accounts
    })
}

fn any_core() -> impl Strategy<Value = Core> {
    (any::<[u64; 6]>(), any::<i64>()).prop_map(|(numbers, unaccounted)| Core {
        core: numbers[0],
        elapsed: numbers[1],
        attributed: numbers[2],
        scheduling: numbers[3],
        interrupt: numbers[4],
        idle: numbers[5],
        unaccounted,
    })
}

/// One of each of the rest, of one name and one number.
fn statistics(accounts: Vec<Account>, core: Core, name: &str, number: u64) -> Statistics {
    let held = |resource, budget| Held {
        activity: name.into(),
        resource,
        held: number,
        budget,
    };
    Statistics {
        taken_at: number,
        hertz: number,
        since_boot_ns: number,
        cores: vec![core],
        activities: vec![Activity {
            activity: 0,
            name: name.into(),
            weight: number,
            suspended: true,
        }],
        accounts,
        memory: vec![held(Some(name.into()), None), held(None, Some(number))],
        processes: vec![Process {
            process: number,
            name: name.into(),
            activity: name.into(),
            threads: number,
            resident: number,
            cycles: number,
            unknown_calls: number,
        }],
        counters: vec![Counter {
            name: name.into(),
            value: number,
        }],
    }
}

fn any_statistics() -> impl Strategy<Value = Statistics> {
    let parts = (any_accounts(), any_core(), any::<String>(), any::<u64>());
    parts.prop_map(|(accounts, core, name, number)| statistics(accounts, core, &name, number))
}

proptest! {
    #[test]
    fn any_value_of_a_label_is_read_again(value: String) {
        let mut text = Text(String::new());
        text.sample("m", &[("a", &value), ("b", "c")], 1);
        let read = sample(text.0.strip_suffix('\n').unwrap()).unwrap();
        prop_assert_eq!(&read.labels["a"], &value);
        prop_assert_eq!(text.0.matches('\n').count(), 1);
    }

    #[test]
    fn any_statistics_are_in_the_format(statistics in any_statistics()) {
        let text = render(&statistics);
        prop_assert!(text.ends_with('\n'));
        let samples = samples(&text).map_err(TestCaseError::fail)?;
        let cycles: Vec<_> = samples
            .iter()
            .filter(|sample| sample.name == "vortex_cpu_cycles_total")
            .map(|sample| (sample.labels["resource"].clone(), sample.labels["activity"].clone()))
            .collect();
        let accounts = statistics.accounts.iter();
        let expected: Vec<_> =
            accounts.map(|one| (one.resource.clone(), one.activity.clone())).collect();
        prop_assert_eq!(cycles, expected);
    }

    #[test]
    fn buckets_only_grow_and_end_with_all(counts in prop::collection::vec(0_u64..1 << 50, 0..=40)) {
        let mut text = Text(String::new());
        text.family("h", "histogram", "Help.");
        histogram(&mut text, "h", [("resource", "r"), ("activity", "a")], &counts, 1 << 30);
        let samples = samples(&text.0).map_err(TestCaseError::fail)?;
        let buckets: Vec<_> = samples.iter().filter(|one| one.name == "h_bucket").collect();
        for pair in buckets.windows(2) {
            let le = |sample: &Sample| sample.labels["le"].parse::<f64>().unwrap();
            prop_assert!(le(pair[0]) < le(pair[1]));
            prop_assert!(pair[0].value <= pair[1].value);
        }
        let count = samples.iter().find(|one| one.name == "h_count").unwrap();
        prop_assert_eq!(buckets.last().unwrap().value, count.value);
        let sum: u64 = counts.iter().sum();
        #[expect(clippy::cast_precision_loss, reason = "so is the text's")]
        let sum = sum as f64;
        prop_assert_eq!(count.value, sum);
    }
}

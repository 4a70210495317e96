//! What the statistics look like: the same snapshot is the same text.
//!
//! After a change that is meant to show, `UPDATE_GOLDEN=1 cargo test -p vortex-statsd` writes the files
//! in `tests/golden/` anew.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use vortex_statsd::{Statistics, metrics};

#[track_caller]
fn is_as_kept(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    for (number, (kept, is)) in (1..).zip(kept.lines().zip(text.lines())) {
        assert_eq!(kept, is, "line {number} of {file}");
    }
    assert_eq!(
        kept.lines().count(),
        text.lines().count(),
        "lines of {file}"
    );
}

#[test]
fn metrics_are_as_kept() {
    is_as_kept("metrics.txt", &metrics::render(&common::statistics()));
}

#[test]
fn json_is_as_kept_and_read_again() {
    let statistics = common::statistics();
    let text = serde_json::to_string_pretty(&statistics).unwrap();
    is_as_kept("stats.json", &format!("{text}\n"));
    assert_eq!(
        serde_json::from_str::<Statistics>(&text).unwrap(),
        statistics
    );
}

#[test]
fn resources_of_one_name_are_one() {
    let statistics = common::statistics();
    let on_core_0 = statistics
        .accounts
        .iter()
        .filter(|account| account.core == 0);
    let on_core_0: Vec<_> = on_core_0.collect();
    let [account] = on_core_0[..] else {
        panic!("{on_core_0:?}");
    };
    assert_eq!(
        (account.cycles, account.requests, account.bytes),
        (600_000, 8, 3000)
    );
    assert_eq!(
        (account.waiting[4], account.waiting[12], account.waiting[39]),
        (2, 4, 2)
    );
    assert_eq!(account.service.len(), 14, "zeros at the end");
}

/// Prometheus' own judge, where it is installed (Debian's package `prometheus`).
#[test]
fn promtool_finds_nothing_wrong() {
    let judge = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut judge) = judge else {
        eprintln!("promtool is not installed: not asked");
        return;
    };
    let text = metrics::render(&common::statistics());
    std::io::Write::write_all(&mut judge.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = judge.wait_with_output().unwrap();
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    assert!(output.status.success() && words.is_empty(), "{words}");
}

//! The dashboard for Grafana asks for what there is: its metrics and labels are ones of `/metrics`.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use vortex_statsd::metrics;

fn dashboard() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/grafana/vortex.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The labels of each metric in the text: of its samples, so of a histogram's `_bucket`, `_sum` and
/// `_count`.
fn emitted() -> BTreeMap<String, BTreeSet<String>> {
    let text = metrics::render(&common::statistics());
    let mut metrics = BTreeMap::<String, BTreeSet<String>>::new();
    for sample in text.lines().filter(|line| !line.starts_with('#')) {
        let end = sample.find(['{', ' ']).unwrap();
        let labels = metrics.entry(sample[..end].to_owned()).or_default();
        // A label's name stands before `="`, behind `{` or `,`.
        for before in sample.split("=\"") {
            let name = before.rsplit(['{', ',']).next().unwrap();
            if before.len() > name.len() && names(name).as_slice() == [name] {
                labels.insert(name.to_owned());
            }
        }
    }
    metrics
}

/// The words of a text that could be names.
fn names(text: &str) -> Vec<&str> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character| !is_part(character));
    words.filter(|word| !word.is_empty()).collect()
}

/// What a panel asks: its title, the expression, and the legend.
fn questions(dashboard: &Value) -> Vec<(&str, &str, &str)> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().unwrap().iter();
        targets.map(move |target| (title, target))
    });
    targets
        .map(|(title, target)| {
            let expression = target["expr"].as_str().unwrap();
            (title, expression, target["legendFormat"].as_str().unwrap())
        })
        .collect()
}

#[test]
fn every_metric_of_the_dashboard_is_emitted() {
    let emitted = emitted();
    let dashboard = dashboard();
    let questions = questions(&dashboard);
    assert!(questions.len() >= 15, "{questions:?}");
    for (title, expression, legend) in questions {
        let words = names(expression);
        let asked: Vec<_> = (words.iter())
            .filter(|word| word.starts_with("vortex_"))
            .collect();
        assert!(!asked.is_empty(), "{title}: {expression}");
        for metric in &asked {
            assert!(
                emitted.contains_key(**metric),
                "{title}: there is no {metric}"
            );
        }
        let labels = |metric: &&&str| emitted[**metric].iter().map(String::as_str);
        let labels: BTreeSet<&str> = asked.iter().flat_map(labels).collect();
        for label in legend.split("{{").skip(1) {
            let label = label.split_once("}}").unwrap().0;
            assert!(
                labels.contains(label),
                "{title}: its metrics have no {label}"
            );
            assert!(
                words.contains(&label) || !expression.contains("sum"),
                "{title}: {label} is not left in {expression}"
            );
        }
        assert!(expression.contains("instance=\"$instance\""), "{title}");
    }
    let list = dashboard["templating"]["list"].as_array().unwrap();
    let variables: Vec<_> = list.iter().map(|variable| &variable["name"]).collect();
    assert_eq!(variables, ["datasource", "instance"]);
}

/// What the machine is watched for is on it.
#[test]
fn the_dashboard_shows_what_there_is_to_see() {
    let dashboard = dashboard();
    let asked: String = (questions(&dashboard).iter())
        .map(|(_, expression, _)| format!("{expression}\n"))
        .collect();
    for metric in [
        "vortex_cpu_cycles_total",
        "vortex_moved_bytes_total",
        "vortex_queue_length",
        "vortex_request_waiting_seconds_bucket",
        "vortex_request_service_seconds_bucket",
        "vortex_core_cycles_total",
        "vortex_core_unaccounted_cycles",
        "vortex_activity_weight",
        "vortex_activity_suspended",
        "vortex_memory_held_bytes",
        "vortex_memory_budget_bytes",
        "vortex_packets_dropped_total",
    ] {
        assert!(asked.contains(metric), "{metric}");
    }
}

//! Whatever the file holds: an answer, within bounds, never a panic.
#![forbid(unsafe_code)]

use std::fmt::Write;

use proptest::collection::vec;
use proptest::prelude::*;
use vortex_sched_config::{Kind, Known, Limits, Report, load, load_within};

const EXAMPLES: [&str; 4] = [
    include_str!("../examples/figure-6.xml"),
    include_str!("../examples/cpu.xml"),
    include_str!("../examples/web.xml"),
    include_str!("../examples/disk.xml"),
];

/// Words that make random text more like a configuration.
const WORDS: &[&str] = &[
    "schedulerconfig",
    "cpumultiplexor",
    "resourcescheduler",
    "scheduler",
    "activity",
    "client",
    "tag",
    "core",
    "share",
    "algorithm",
    "resource",
    "process",
    "network",
    "path",
    "env",
    "arg",
    "loadsharing",
    "policy",
    "ttl",
    "cpu",
    "budget",
    "period",
    "deadline",
    "priority",
    "metric",
    "propshare.wfq",
    "realtime.edf",
    "resource.tcp",
    "resource.thread",
    "cpumux0",
    "0",
    "1",
    "-1",
    "fixed",
    "forever",
    "dhcp",
    "10.0.2.15/24",
    "infrastructure",
    "xmlns",
    "x:y",
    "name",
];

/// What holds of every answer.
fn answer(bytes: &[u8]) -> Result<(), Report> {
    match load(bytes, &Known::standard(8)) {
        Ok(loaded) => {
            let Ok(again) = loaded.configuration.plan(&Known::standard(8)) else {
                panic!("what was loaded has faults");
            };
            assert_eq!(again, loaded.plan);
            Ok(())
        }
        Err(report) => {
            assert!(!report.faults.is_empty());
            assert!(report.faults.len() + report.warnings.len() <= Limits::default().findings);
            for finding in &report.faults {
                let at = finding
                    .location
                    .as_ref()
                    .expect("every fault of a file has a place in it");
                assert!(at.line >= 1 && at.column >= 1);
                assert!(at.bytes.start <= at.bytes.end && at.bytes.end <= bytes.len());
                assert!(!finding.message.is_empty() && !finding.expected.is_empty());
                assert!(
                    !finding.to_string().chars().any(char::is_control),
                    "{finding}"
                );
            }
            let starts = report
                .faults
                .iter()
                .map(|one| one.location.as_ref().map(|at| at.bytes.start));
            assert!(starts.is_sorted());
            Err(report)
        }
    }
}

#[derive(Clone, Debug)]
enum Tree {
    Text(String),
    Element(String, Vec<(String, String)>, Vec<Tree>),
}

impl Tree {
    fn write(&self, out: &mut String) {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::Element(name, attributes, children) => {
                let _ = write!(out, "<{name}");
                for (name, value) in attributes {
                    let _ = write!(out, " {name}=\"{value}\"");
                }
                out.push('>');
                for child in children {
                    child.write(out);
                }
                let _ = write!(out, "</{name}>");
            }
        }
    }
}

fn word() -> impl Strategy<Value = String> {
    let known = proptest::sample::select(WORDS).prop_map(str::to_string);
    prop_oneof![8 => known, 1 => "[a-z]{1,8}", 1 => "\\PC{0,8}"]
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        word().prop_map(Tree::Text),
        "[ \n\u{85}é&<>]{0,4}".prop_map(Tree::Text)
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        let attributes = vec((word(), word()), 0..3);
        (word(), attributes, vec(inner, 0..8))
            .prop_map(|(name, attributes, children)| Tree::Element(name, attributes, children))
    })
}

/// One change to a text: some bytes replaced by others.
fn mutation() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    let patch = prop_oneof![
        vec(any::<u8>(), 0..4),
        word().prop_map(String::into_bytes),
        proptest::sample::select(
            &[
                "<",
                ">",
                "/>",
                "</",
                "\"",
                "<!--",
                "-->",
                "&",
                "<![CDATA[",
                "<?",
                "]]>"
            ][..]
        )
        .prop_map(|markup| markup.as_bytes().to_vec()),
    ];
    (any::<prop::sample::Index>(), 0..40usize, patch)
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in vec(any::<u8>(), 0..2000)) {
        let _ = answer(&bytes);
    }

    #[test]
    fn arbitrary_text(text in "\\PC*") {
        let _ = answer(text.as_bytes());
    }

    #[test]
    fn arbitrary_trees(trees in vec(tree(), 0..6), whole in any::<bool>()) {
        let mut text = String::new();
        trees.iter().for_each(|tree| tree.write(&mut text));
        if whole {
            text = format!("<schedulerconfig>{text}</schedulerconfig>");
        }
        let _ = answer(text.as_bytes());
    }

    #[test]
    fn mutated_examples(
        which in 0..EXAMPLES.len(),
        mutations in vec(mutation(), 1..6),
    ) {
        let mut bytes = EXAMPLES[which].as_bytes().to_vec();
        for (at, length, patch) in mutations {
            let start = at.index(bytes.len() + 1);
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, patch);
        }
        let _ = answer(&bytes);
    }

    #[test]
    fn cut_examples(which in 0..EXAMPLES.len(), at in any::<prop::sample::Index>()) {
        let bytes = EXAMPLES[which].as_bytes();
        let cut = at.index(bytes.len());
        // All but the blanks after the last tag is needed.
        if cut < EXAMPLES[which].trim_end().len() {
            prop_assert!(answer(&bytes[..cut]).is_err());
        }
    }
}

/// The one kind of fault that a file has; loaded on a stack as small as the kernel's.
fn kind_on_small_stack(text: String, limits: Limits) -> Option<Kind> {
    let thread = std::thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(
            move || match load_within(text.as_bytes(), &Known::standard(8), &limits) {
                Ok(_) => None,
                Err(report) => report.faults.first().map(|fault| fault.kind),
            },
        );
    thread
        .expect("a thread")
        .join()
        .expect("no panic, no overflow")
}

/// Limits that leave all to the XML parser.
fn without_limits() -> Limits {
    Limits {
        bytes: usize::MAX,
        nodes: u32::MAX,
        depth: u32::MAX,
        ..Limits::default()
    }
}

#[test]
fn entity_bombs_are_refused_at_the_door() {
    let mut bomb = String::from("<!DOCTYPE schedulerconfig [<!ENTITY e0 \"ha\">");
    for level in 1..20 {
        let _ = write!(
            bomb,
            "<!ENTITY e{level} \"{}\">",
            format!("&e{};", level - 1).repeat(10)
        );
    }
    bomb.push_str("]><schedulerconfig>&e19;</schedulerconfig>");
    assert_eq!(
        kind_on_small_stack(bomb, Limits::default()),
        Some(Kind::Syntax)
    );
}

#[test]
fn deep_nesting_is_refused_and_would_do_no_harm() {
    let deep = "<activity>".repeat(100_000);
    assert_eq!(
        kind_on_small_stack(deep.clone(), Limits::default()),
        Some(Kind::Unreadable)
    );
    assert_eq!(
        kind_on_small_stack(deep, without_limits()),
        Some(Kind::Syntax)
    );
    let closed = "<activity>".repeat(100_000) + &"</activity>".repeat(100_000);
    assert_eq!(
        kind_on_small_stack(closed, without_limits()),
        Some(Kind::UnknownElement)
    );
}

#[test]
fn megabytes_are_refused() {
    let mut attributes = String::from("<schedulerconfig ");
    for index in 0..150_000 {
        let _ = write!(attributes, "a{index}='' ");
    }
    attributes.push_str("/>");
    assert!(attributes.len() > 1 << 20);
    assert_eq!(
        kind_on_small_stack(attributes.clone(), Limits::default()),
        Some(Kind::Unreadable)
    );
    let more = Limits {
        bytes: usize::MAX,
        ..Limits::default()
    };
    assert_eq!(
        kind_on_small_stack(attributes, more),
        Some(Kind::Unreadable)
    );
    let long = format!("<schedulerconfig a='{}'/>", "x".repeat(1 << 20));
    assert_eq!(
        kind_on_small_stack(long, Limits::default()),
        Some(Kind::Unreadable)
    );
    let many = format!(
        "<schedulerconfig>{}</schedulerconfig>",
        "<a/>".repeat(200_000)
    );
    assert_eq!(
        kind_on_small_stack(many, Limits::default()),
        Some(Kind::Unreadable)
    );
}

#[test]
fn the_largest_file_that_is_taken_is_answered_in_full() {
    let many = format!(
        "<schedulerconfig>{}</schedulerconfig>",
        "<a/>".repeat(65_000)
    );
    let report = answer(many.as_bytes()).expect_err("unknown elements");
    assert_eq!(report.faults.len(), Limits::default().findings);
    assert_eq!(report.faults.len() + report.omitted, 65_000 + 1);
}

/// A short file can stand for a very large plan: every activity on every core.
#[test]
fn a_plan_that_would_be_too_large_is_refused() {
    let mut text = String::from("<schedulerconfig>");
    for core in 0..2000 {
        let _ = write!(
            text,
            "<cpumultiplexor tag='m{core}'><core>{core}</core><algorithm>fifo</algorithm></cpumultiplexor>"
        );
    }
    for activity in 0..5000 {
        let _ = write!(text, "<activity name='a{activity}'/>");
    }
    text.push_str(
        "<resourcescheduler><resource>resource.thread</resource><algorithm>fifo</algorithm>",
    );
    for core in 0..2000 {
        let _ = write!(text, "<cpumultiplexor><tag>m{core}</tag></cpumultiplexor>");
    }
    text.push_str("</resourcescheduler></schedulerconfig>");
    let report = load(text.as_bytes(), &Known::standard(2000)).expect_err("10,000,000 entries");
    assert_eq!(report.faults.len(), 1, "{report}");
    assert_eq!(report.faults[0].kind, Kind::Unreadable);
}

#[test]
fn what_the_fuzzer_found_worth_keeping() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let entries = std::fs::read_dir(&corpus).expect("the corpus is there");
    let mut taken = [0, 0];
    for entry in entries {
        let bytes = std::fs::read(entry.expect("readable").path()).expect("readable");
        taken[usize::from(answer(&bytes).is_ok())] += 1;
    }
    assert!(
        taken.iter().all(|count| *count > 0),
        "faulty and sound: {taken:?}"
    );
}

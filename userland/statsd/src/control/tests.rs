//! Commands as they come over the network and by the command line.

use clap::{FromArgMatches, Subcommand};
use proptest::prelude::*;

use super::{Command, read};

/// What the command line makes of these words.
fn from_words(words: &[&str]) -> Result<Command, clap::Error> {
    let program = Command::augment_subcommands(clap::Command::new("vctl"));
    let all = std::iter::once("vctl").chain(words.iter().copied());
    Command::from_arg_matches(&program.try_get_matches_from(all)?)
}

/// The same is said in both ways.
#[test]
fn json_and_words_say_the_same() {
    for (json, words) in [
        (
            r#"{"command":"create","activity":"a b","weight":"33.5"}"#,
            &["create", "a b", "33.5"][..],
        ),
        (
            r#"{"command":"weight","activity":"web","weight":"50"}"#,
            &["weight", "web", "50"],
        ),
        (
            r#"{"command":"weight","activity":"web","weight":"50","resource":"resource.dwr","priority":"7"}"#,
            &[
                "weight",
                "web",
                "50",
                "--resource",
                "resource.dwr",
                "--priority",
                "7",
            ],
        ),
        (
            r#"{"command":"budget","activity":"web"}"#,
            &["budget", "web"],
        ),
        (
            r#"{"command":"budget","activity":"web","time":"500","period":"1000"}"#,
            &["budget", "web", "500", "1000"],
        ),
        (
            r#"{"command":"memory","activity":"web","bytes":"64MiB"}"#,
            &["memory", "web", "64MiB"],
        ),
        (
            r#"{"command":"metric","resource":"resource.dwr","metric":"bytes"}"#,
            &["metric", "resource.dwr", "bytes"],
        ),
        (
            r#"{"command":"move","process":12,"activity":"web"}"#,
            &["move", "12", "web"],
        ),
        (r#"{"command":"evict","activity":"web"}"#, &["evict", "web"]),
        (
            r#"{"command":"suspend","activity":"web"}"#,
            &["suspend", "web"],
        ),
        (
            r#"{"command":"resume","activity":"web"}"#,
            &["resume", "web"],
        ),
    ] {
        let command = read(json.as_bytes()).unwrap();
        assert_eq!(command, from_words(words).unwrap(), "{json}");
        assert_eq!(serde_json::to_string(&command).unwrap(), json);
    }
}

#[test]
fn what_is_no_command_is_refused() {
    for json in [
        "",
        "null",
        "[]",
        "{}",
        "weight",
        r#"{"command":"halt"}"#,
        r#"{"command":"weight","activity":"web"}"#,
        r#"{"command":"weight","activity":"web","weight":"0"}"#,
        r#"{"command":"weight","activity":"web","weight":"-5"}"#,
        r#"{"command":"weight","activity":"web","weight":"99999999999999999999"}"#,
        r#"{"command":"weight","activity":"web","weight":"5","priority":"256"}"#,
        r#"{"command":"weight","activity":"web","weight":"5","colour":"red"}"#,
        r#"{"command":"weight","activity":"web","weight":"5"} and more"#,
        r#"{"command":"weight","activity":7,"weight":"5"}"#,
        r#"{"command":"budget","activity":"web","time":"5"}"#,
        r#"{"command":"budget","activity":"web","period":"5"}"#,
        r#"{"command":"metric","resource":"a","metric":"beauty"}"#,
        r#"{"command":"move","process":0,"activity":"web"}"#,
        r#"{"command":"move","process":-1,"activity":"web"}"#,
        r#"{"command":"memory","activity":"web","bytes":"0"}"#,
    ] {
        let error = read(json.as_bytes()).expect_err(json);
        assert!(error.starts_with("no command: "), "{error}");
    }
    for words in [
        &["weight", "web"][..],
        &["weight", "web", "0"],
        &["budget", "web", "5"],
        &["move", "0", "web"],
        &["metric", "a", "beauty"],
    ] {
        assert!(from_words(words).is_err(), "{words:?}");
    }
}

proptest! {
    #[test]
    fn anything_is_a_command_or_not(body: Vec<u8>) {
        let _ = read(&body);
    }

    #[test]
    fn names_come_through(activity: String) {
        let command = Command::Suspend { activity };
        let json = serde_json::to_vec(&command).unwrap();
        prop_assert_eq!(read(&json), Ok(command));
    }

    #[test]
    fn what_was_read_is_written_and_read_again(
        activity: String,
        weight in 1_u32..10_000_000,
        resource: Option<String>,
        time in prop::option::of(1_u64..1_000_000),
    ) {
        use vortex_sched_config::value::{Microseconds, Share};
        let microseconds = |number: u64| number.to_string().parse::<Microseconds>().unwrap();
        for command in [
            Command::Weight {
                activity: activity.clone(),
                weight: Share::from_thousandths(weight).unwrap(),
                resource: resource.clone(),
                priority: None,
            },
            Command::Budget {
                activity: activity.clone(),
                time: time.map(microseconds),
                period: time.map(microseconds),
                resource: resource.clone(),
            },
        ] {
            let json = serde_json::to_vec(&command).unwrap();
            prop_assert_eq!(read(&json), Ok(command));
        }
    }
}

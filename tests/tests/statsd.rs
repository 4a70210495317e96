//! The statistics server, from outside, by a forwarded port: what it says of a machine whose processors
//! are all taken, and what it changes there.

use std::time::{Duration, Instant};

use vortex_statsd::Statistics;
use vortex_tests::monitored::{ANSWER, Configuration, Monitored, SMP, START};
use vortex_tests::slots::Slots;

/// Of how many answers most come in time: the host, too, is busy at times.
const QUESTIONS: usize = 9;

/// The middle of the times that some answers took.
fn usual_time(guest: &Monitored, path: &str) -> Duration {
    let mut times: Vec<Duration> = (0..QUESTIONS)
        .map(|_| {
            let start = Instant::now();
            guest.get(path).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[QUESTIONS / 2]
}

fn cycles(statistics: &Statistics, activity: &str) -> u64 {
    let accounts = statistics.accounts.iter();
    let of_it = accounts.filter(|account| account.activity == activity);
    of_it.map(|account| account.cycles).sum()
}

/// Under load it answers within a second, and says who uses the machine: the hog nearly all that the
/// server leaves.
#[test]
fn a_busy_machine_tells_what_it_does() {
    let _alone = Slots::all().unwrap();
    let configuration = Configuration {
        activities: &[("hog", 80), ("statistics", 20)],
        server: "<right>statistics</right>",
        more: "",
    };
    let guest = Monitored::start(&configuration, &[]);
    let before = guest.statistics();
    for path in ["/metrics", "/stats", "/"] {
        let time = usual_time(&guest, path);
        println!("{path}: {time:?}");
        assert!(time < ANSWER, "{path}: {time:?}");
    }
    let after = guest.statistics();
    let sum = |statistics: &Statistics, of: fn(&vortex_statsd::Core) -> u64| -> u64 {
        statistics.cores.iter().map(of).sum()
    };
    let since = |of| sum(&after, of) - sum(&before, of);
    let elapsed = since(|core| core.elapsed);
    let hog = cycles(&after, "hog") - cycles(&before, "hog");
    let server = cycles(&after, "statistics") - cycles(&before, "statistics");
    println!(
        "elapsed {elapsed}, hog {hog}, statistics {server}, idle {}",
        since(|core| core.idle)
    );
    assert_eq!(after.cores.len() as u64, SMP);
    assert!(hog > elapsed / 2, "the hog had {hog} of {elapsed} cycles");
    assert!(
        server > 0 && server < hog,
        "{server} cycles for the statistics, {hog} for the hog"
    );
    let weights: Vec<_> = (after.activities.iter())
        .filter(|activity| activity.name == "hog" || activity.name == "statistics")
        .map(|activity| (activity.name.as_str(), activity.weight))
        .collect();
    assert_eq!(weights, [("hog", 80_000), ("statistics", 20_000)]);
    let text = guest.get("/metrics").unwrap();
    let line = "vortex_cpu_cycles_total{core=\"0\",resource=\"resource.thread\",activity=\"hog\"} ";
    assert!(text.contains(line), "{text}");
}

/// What two activities have used of the processors, from now on until it is enough to judge by: the
/// first a second's cycles, or both together.
fn used_from_now_on(guest: &Monitored, activities: [&str; 2]) -> [u64; 2] {
    let before = guest.statistics();
    let deadline = Instant::now() + START;
    loop {
        let now = guest.statistics();
        let since = |activity| cycles(&now, activity) - cycles(&before, activity);
        let used = activities.map(since);
        if used.iter().sum::<u64>() >= now.hertz {
            return used;
        }
        assert!(Instant::now() < deadline, "{used:?} cycles in {START:?}");
    }
}

/// Who knows the token changes weights, and the shares follow; who does not, changes nothing. In the
/// machine, a program without the right is refused, too.
#[test]
fn a_weight_changed_from_outside_moves_the_shares() {
    const TOKEN: &str = "only-for-this-test-0123";
    const RIGHTS: &str = "<right>statistics</right><right>weights</right><right>signals</right>";
    let _alone = Slots::all().unwrap();
    let server = format!("<arg>--token</arg><arg>{TOKEN}</arg>{RIGHTS}");
    let vctl = "<process name=\"list\"><path>/bin/vctl</path><arg>list</arg>\
                <right>statistics</right></process>\n\
                <process name=\"greedy\"><path>/bin/vctl</path><activity>one</activity>\
                <arg>weight</arg><arg>one</arg><arg>9999</arg></process>\n";
    let configuration = Configuration {
        activities: &[("one", 50), ("other", 50), ("statistics", 10)],
        server: &server,
        more: vctl,
    };
    let words = [
        "vctl: not allowed: it needs `<right>weights</right>`",
        "number  activity ",
    ];
    let guest = Monitored::start(&configuration, &words);
    let share = |used: [u64; 2]| {
        println!("{used:?}");
        used[0] as f64 / used.iter().sum::<u64>() as f64
    };
    let even = share(used_from_now_on(&guest, ["one", "other"]));
    assert!((even - 0.5).abs() < 0.03, "{even} of half");

    let command = "{\"command\":\"weight\",\"activity\":\"one\",\"weight\":\"150\"}";
    let (status, answer) = guest.post("only-for-this-test-0124", command);
    assert_eq!(status, "403", "{answer}");
    let weight = |statistics: &Statistics| {
        let mut all = statistics.activities.iter();
        all.find(|activity| activity.name == "one")
            .map(|one| one.weight)
    };
    assert_eq!(weight(&guest.statistics()), Some(50_000));
    let (status, answer) = guest.post(TOKEN, command);
    assert_eq!(status, "200", "{answer}");
    assert_eq!(weight(&guest.statistics()), Some(150_000));
    let line = "vortex_activity_weight{activity=\"one\"} 150\n";
    assert!(guest.get("/metrics").unwrap().contains(line));
    let changed = share(used_from_now_on(&guest, ["one", "other"]));
    assert!((changed - 0.75).abs() < 0.03, "{changed} of three quarters");

    let suspend = "{\"command\":\"suspend\",\"activity\":\"one\"}";
    let (status, answer) = guest.post(TOKEN, suspend);
    assert_eq!(status, "200", "{answer}");
    let suspended = share(used_from_now_on(&guest, ["one", "other"]));
    assert!(suspended < 0.01, "{suspended} of nothing");
    let resume = suspend.replace("suspend", "resume");
    let (status, answer) = guest.post(TOKEN, &resume);
    assert_eq!(status, "200", "{answer}");
    let resumed = share(used_from_now_on(&guest, ["one", "other"]));
    assert!((resumed - 0.75).abs() < 0.03, "{resumed} of three quarters");
}

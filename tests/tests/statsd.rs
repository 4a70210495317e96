//! The statistics server, from outside, by a forwarded port: what it says of a machine whose processors
//! are all taken, and what it changes there.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use vortex_statsd::Statistics;
use vortex_tests::slots::Slots;
use xtask::nic::{self, Forward, Nic};
use xtask::program::{self, Program};
use xtask::qemu::{self, Guest, Next};

const SMP: u64 = 2;
/// The server's port in the guest.
const PORT: u16 = 9100;
/// How long the guest may take to start serving.
const START: Duration = Duration::from_secs(120);
/// In what time the server answers.
const ANSWER: Duration = Duration::from_secs(1);
/// What the server says when it listens.
const LISTENS: &str = "statsd: the statistics at http://";
/// Of how many answers most come in time: the host, too, is busy at times.
const QUESTIONS: usize = 9;

/// Activities with their weights, one hog in each but the last, which is the server's; and `more`.
fn configuration(activities: &[(&str, u32)], server: &str, more: &str) -> String {
    let core = |core: u64| {
        format!(
            "<cpumultiplexor tag=\"cpumux{core}\"><core>{core}</core>\
             <algorithm>propshare.wfq</algorithm></cpumultiplexor>\n"
        )
    };
    let parent = |core: u64| {
        format!("<cpumultiplexor><tag>cpumux{core}</tag><share>100</share></cpumultiplexor>")
    };
    let activity = |(name, weight): &(&str, u32)| {
        format!("<activity name=\"{name}\"><weight>{weight}</weight></activity>\n")
    };
    let hog = |(name, _): &(&str, u32)| {
        format!(
            "<process name=\"{name}\"><path>/bin/cpuhog</path><activity>{name}</activity></process>\n"
        )
    };
    let (last, hogs) = activities.split_last().expect("the server has an activity");
    format!(
        "<schedulerconfig>\n\
         {}{}<resourcescheduler><resource>resource.thread</resource>\
         <algorithm>propshare.round-robin</algorithm><timeslice>5000</timeslice>\
         <loadsharing><policy>least-bound</policy><ttl>forever</ttl></loadsharing>{}\
         </resourcescheduler>\n\
         <network interface=\"net0\"><address>dhcp</address></network>\n\
         {}<process name=\"statsd\"><path>/bin/statsd</path><activity>{}</activity>\
         <arg>--listen</arg><arg>0.0.0.0:{PORT}</arg>{server}</process>\n\
         {more}</schedulerconfig>\n",
        activities.iter().map(activity).collect::<String>(),
        (0..SMP).map(core).collect::<String>(),
        (0..SMP).map(parent).collect::<String>(),
        hogs.iter().map(hog).collect::<String>(),
        last.0,
    )
}

/// A port of the host's that nobody has.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// The guest, once it has said all of this.
fn start(host: u16, configuration: String, words: &[&str]) -> Guest {
    let forward = Forward { host, guest: PORT };
    let mut guest = program::start(&Program {
        configuration,
        smp: SMP as u32,
        extra: nic::arguments(Nic::VirtioNet, 0, &[forward]),
        ..Program::default()
    })
    .unwrap();
    let deadline = qemu::within(START);
    let mut said = String::new();
    while !words.iter().all(|words| said.contains(words)) {
        match guest.next(deadline) {
            Next::Line(line) => said += &format!("{}\n", line.text),
            Next::Output(bytes) => said += &String::from_utf8_lossy(&bytes),
            Next::Over | Next::Deadline => panic!("not {words:?}; the guest said:\n{said}"),
        }
    }
    guest
}

/// All that the server answers.
fn ask(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(10 * ANSWER))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let answer = ask(address, &format!("GET {path} HTTP/1.0\r\n\r\n"))?;
    let body = answer.strip_prefix("HTTP/1.1 200 OK\r\n");
    let body = body.and_then(|rest| rest.split_once("\r\n\r\n"));
    let (_, body) = body.ok_or_else(|| std::io::Error::other(answer.clone()))?;
    Ok(body.to_owned())
}

/// The first answer: until the guest has its address, connections come to nothing.
fn first(address: SocketAddr) -> Statistics {
    let deadline = Instant::now() + START;
    loop {
        match get(address, "/stats") {
            Ok(text) => return serde_json::from_str(&text).unwrap(),
            Err(error) => assert!(Instant::now() < deadline, "no answer: {error}"),
        }
    }
}

/// The middle of the times that some answers took.
fn usual_time(address: SocketAddr, path: &str) -> Duration {
    let mut times: Vec<Duration> = (0..QUESTIONS)
        .map(|_| {
            let start = Instant::now();
            get(address, path).unwrap();
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
    let host = free_port();
    let activities = [("hog", 80), ("statistics", 20)];
    let configuration = configuration(&activities, "<right>statistics</right>", "");
    let _guest = start(host, configuration, &[LISTENS]);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, host));
    let before = first(address);
    for path in ["/metrics", "/stats", "/"] {
        let time = usual_time(address, path);
        println!("{path}: {time:?}");
        assert!(time < ANSWER, "{path}: {time:?}");
    }
    let after: Statistics = serde_json::from_str(&get(address, "/stats").unwrap()).unwrap();
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
    let text = get(address, "/metrics").unwrap();
    let line = "vortex_cpu_cycles_total{core=\"0\",resource=\"resource.thread\",activity=\"hog\"} ";
    assert!(text.contains(line), "{text}");
}

/// Sends a command; the status of the answer, and the answer.
fn post(address: SocketAddr, token: &str, command: &str) -> (String, String) {
    let length = command.len();
    let request = format!(
        "POST /control HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n{command}"
    );
    let answer = ask(address, &request).unwrap();
    let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
    (status, answer)
}

fn statistics(address: SocketAddr) -> Statistics {
    serde_json::from_str(&get(address, "/stats").unwrap()).unwrap()
}

/// What two activities have used of the processors, from now on until it is enough to judge by: the
/// first a second's cycles, or both together.
fn used_from_now_on(address: SocketAddr, activities: [&str; 2]) -> [u64; 2] {
    let before = statistics(address);
    let deadline = Instant::now() + START;
    loop {
        let now = statistics(address);
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
    let host = free_port();
    let server = format!("<arg>--token</arg><arg>{TOKEN}</arg>{RIGHTS}");
    let vctl = "<process name=\"list\"><path>/bin/vctl</path><arg>list</arg>\
                <right>statistics</right></process>\n\
                <process name=\"greedy\"><path>/bin/vctl</path><activity>one</activity>\
                <arg>weight</arg><arg>one</arg><arg>9999</arg></process>\n";
    let activities = [("one", 50), ("other", 50), ("statistics", 10)];
    let words = [
        LISTENS,
        "vctl: not allowed: it needs `<right>weights</right>`",
        "number  activity ",
    ];
    let _guest = start(host, configuration(&activities, &server, vctl), &words);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, host));
    first(address);
    let share = |used: [u64; 2]| {
        println!("{used:?}");
        used[0] as f64 / used.iter().sum::<u64>() as f64
    };
    let even = share(used_from_now_on(address, ["one", "other"]));
    assert!((even - 0.5).abs() < 0.03, "{even} of half");

    let command = "{\"command\":\"weight\",\"activity\":\"one\",\"weight\":\"150\"}";
    let (status, answer) = post(address, "only-for-this-test-0124", command);
    assert_eq!(status, "403", "{answer}");
    let weight = |statistics: &Statistics| {
        let mut all = statistics.activities.iter();
        all.find(|activity| activity.name == "one")
            .map(|one| one.weight)
    };
    assert_eq!(weight(&statistics(address)), Some(50_000));
    let (status, answer) = post(address, TOKEN, command);
    assert_eq!(status, "200", "{answer}");
    assert_eq!(weight(&statistics(address)), Some(150_000));
    let line = "vortex_activity_weight{activity=\"one\"} 150\n";
    assert!(get(address, "/metrics").unwrap().contains(line));
    let changed = share(used_from_now_on(address, ["one", "other"]));
    assert!((changed - 0.75).abs() < 0.03, "{changed} of three quarters");

    let suspend = "{\"command\":\"suspend\",\"activity\":\"one\"}";
    let (status, answer) = post(address, TOKEN, suspend);
    assert_eq!(status, "200", "{answer}");
    let suspended = share(used_from_now_on(address, ["one", "other"]));
    assert!(suspended < 0.01, "{suspended} of nothing");
    let resume = suspend.replace("suspend", "resume");
    let (status, answer) = post(address, TOKEN, &resume);
    assert_eq!(status, "200", "{answer}");
    let resumed = share(used_from_now_on(address, ["one", "other"]));
    assert!((resumed - 0.75).abs() < 0.03, "{resumed} of three quarters");
}

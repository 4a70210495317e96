//! The statistics server: what it says of a machine whose processors are all taken, from outside, by a
//! forwarded port.

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
/// Of how many answers most come in time: the host, too, is busy at times.
const QUESTIONS: usize = 9;

/// A process that takes all of every core, and the server, each in an activity of its own.
fn configuration() -> String {
    let core = |core: u64| {
        format!(
            "<cpumultiplexor tag=\"cpumux{core}\"><core>{core}</core>\
             <algorithm>propshare.wfq</algorithm></cpumultiplexor>\n"
        )
    };
    let parent = |core: u64| {
        format!("<cpumultiplexor><tag>cpumux{core}</tag><share>100</share></cpumultiplexor>")
    };
    format!(
        "<schedulerconfig>\n\
         <activity name=\"hog\"><weight>80</weight></activity>\n\
         <activity name=\"statistics\"><weight>20</weight></activity>\n\
         {}<resourcescheduler><resource>resource.thread</resource>\
         <algorithm>propshare.round-robin</algorithm><timeslice>5000</timeslice>\
         <loadsharing><policy>least-bound</policy><ttl>forever</ttl></loadsharing>{}\
         </resourcescheduler>\n\
         <network interface=\"net0\"><address>dhcp</address></network>\n\
         <process name=\"hog\"><path>/bin/cpuhog</path><activity>hog</activity></process>\n\
         <process name=\"statsd\"><path>/bin/statsd</path><activity>statistics</activity>\
         <arg>--listen</arg><arg>0.0.0.0:{PORT}</arg><right>statistics</right></process>\n\
         </schedulerconfig>\n",
        (0..SMP).map(core).collect::<String>(),
        (0..SMP).map(parent).collect::<String>(),
    )
}

/// A port of the host's that nobody has.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// The guest, once the server says that it listens.
fn start(host: u16) -> Guest {
    let forward = Forward { host, guest: PORT };
    let mut guest = program::start(&Program {
        configuration: configuration(),
        smp: SMP as u32,
        extra: nic::arguments(Nic::VirtioNet, 0, &[forward]),
        ..Program::default()
    })
    .unwrap();
    let deadline = qemu::within(START);
    let mut said = String::new();
    while !said.contains("statsd: the statistics at http://") {
        match guest.next(deadline) {
            Next::Line(line) => said += &format!("{}\n", line.text),
            Next::Output(bytes) => said += &String::from_utf8_lossy(&bytes),
            Next::Over | Next::Deadline => panic!("no server; the guest said:\n{said}"),
        }
    }
    guest
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(10 * ANSWER))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
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
    let _guest = start(host);
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

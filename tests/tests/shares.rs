//! Web servers that compete for a link, and one that nobody asks: its share falls to the others by their
//! weights (paper, section 4.4). `cargo xtask experiment web --idle N` does it for longer.

use vortex_tests::sampled::{Sampled, Samples};
use xtask::apachebench::{Bench, Running};
use xtask::network::Link;
use xtask::packages::{self, Package};
use xtask::samples::{Entitled, received};

/// What the link carries, and what the guest is told, in megabits a second.
const RATE: u32 = 20;
const PACED: u32 = 19;
/// Where bytes are put on the link.
const WRITE: &str = "resource.dwr";
/// Activities and weights; the first two are asked, and split what there is 83 to 17.
const SERVERS: [(&str, u32); 3] = [("large", 50), ("small", 10), ("idle", 40)];
const PORTS: [u16; 3] = [8000, 8001, 8002];
/// Percentage points that a share may be off in the few seconds that are measured.
const OFF: f64 = 2.0;
/// How long clients ask at most; they end with the test.
const ASKED_S: u32 = 60;

/// A client that asks as soon as the server answers.
fn client(link: &Link, port: u16) -> Running {
    // A file of two megabytes.
    let url = format!("http://{}:{port}/httpd", Link::GUEST);
    let wait = format!(
        "until curl -sfI --max-time 1 {url} >/dev/null; do sleep 0.1; done; exec ab \"$@\""
    );
    let mut command = link.clients().command("sh");
    command.args(["-c", &wait, "ab"]);
    let bench = Bench {
        url,
        connections: 8,
        keep_alive: false,
        seconds: ASKED_S,
    };
    bench.start(command).unwrap()
}

#[test]
fn what_nobody_asks_of_one_server_falls_to_the_others() {
    if let Some(obstacle) = Link::obstacle() {
        return println!("not tested: {obstacle}");
    }
    packages::require(&[Package::ApacheBench]).unwrap();
    let link = Link::new(Some(RATE)).unwrap();
    let servers = SERVERS.iter().zip(PORTS).fold(
        Sampled::new(2).at(&link).paced(PACED, WRITE),
        |guest, ((name, weight), port)| {
            let server = format!("/bin/httpd /bin --listen 0.0.0.0:{port}");
            guest.activity(name, *weight).process(name, &server)
        },
    );
    let _clients: Vec<Running> = PORTS[..2].iter().map(|port| client(&link, *port)).collect();
    let Samples { samples, .. } = servers
        .seconds(4)
        .sampler(&["--settle", "4", "--resources"])
        .run();
    let asked: u32 = SERVERS[..2].iter().map(|(_, weight)| weight).sum();
    let entitled: Vec<Entitled> = (SERVERS[..2].iter())
        .map(|(name, weight)| Entitled {
            activity: (*name).into(),
            share: f64::from(*weight) / f64::from(asked),
        })
        .collect();
    let split = received(&samples, &entitled, |sample, name| {
        sample.bytes(name, WRITE)
    })
    .unwrap();
    let (first, last) = (&samples[0], &samples[samples.len() - 1]);
    let moved = |name| last.bytes(name, WRITE) - first.bytes(name, WRITE);
    let part = split.per_second * 8.0 / 1e6 / f64::from(PACED);
    println!("{part:.3} of the link: {split:?}");
    assert!(part > 0.8, "the link was not short: {part} of it taken");
    assert!(
        moved("idle") == 0,
        "{} bytes of who was not asked",
        moved("idle")
    );
    assert!(split.deviation < OFF, "{split:?}");
}

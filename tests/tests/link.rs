//! The network that experiments have of their own: its rate, and that nothing of it stays.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use xtask::network::Link;
use xtask::process::Running;
use xtask::userland;

/// Megabits a second.
const RATE: u32 = 80;
/// Bytes that are sent over it: a second's worth.
const BYTES: usize = 10_000_000;

/// A link, where this machine can have one: containers often cannot.
fn link(megabits: Option<u32>) -> Option<Link> {
    if let Some(obstacle) = Link::obstacle() {
        println!("not tested: {obstacle}");
        return None;
    }
    Some(Link::new(megabits).unwrap())
}

fn program(name: &str) -> PathBuf {
    let files = userland::build().unwrap();
    let path = format!("/bin/{name}");
    let found = files.into_iter().find(|file| file.path == path);
    found.unwrap().file
}

/// Bytes a second at which the clients get a page from a server on the guest's end.
fn rate(link: &Link) -> f64 {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("page"), vec![b'x'; BYTES]).unwrap();
    let address = format!("{}/24", Link::GUEST);
    let bridge = ["address", "add", &address, "dev", "bridge0"];
    link.guest().run("ip", &bridge).unwrap();
    let mut command = link.guest().command(program("httpd"));
    command.arg(root.path()).stderr(Stdio::piped());
    let mut server = Running::start(&mut command).unwrap();
    // Its first line says that it listens.
    let mut said = String::new();
    let errors = server.child().stderr.take().unwrap();
    BufReader::new(errors).read_line(&mut said).unwrap();
    assert!(said.contains("at http://"), "{said}");
    let output = link
        .clients()
        .command("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "60"])
        .args([
            "--output",
            "/dev/null",
            "--write-out",
            "%{size_download} %{speed_download}",
        ])
        .arg(format!("http://{}/page", Link::GUEST))
        .output()
        .unwrap();
    let (said, errors) = (output.stdout, output.stderr);
    let said = String::from_utf8(said).unwrap();
    let (size, speed) = said.split_once(' ').unwrap_or_else(|| panic!("{errors:?}"));
    assert_eq!(
        size,
        BYTES.to_string(),
        "{}",
        String::from_utf8_lossy(&errors)
    );
    speed.parse().unwrap()
}

#[test]
fn a_link_has_the_rate_it_was_given() {
    let Some(link) = link(Some(RATE)) else { return };
    let given = f64::from(RATE) * 1e6 / 8.0;
    let part = rate(&link) / given;
    println!("{part:.3} of the rate");
    // A busy machine may be slower; what waited in the shaper at the beginning may be on top.
    assert!((0.5..1.1).contains(&part), "{part} of the rate");
}

#[test]
fn a_link_without_a_limit_is_faster() {
    let Some(link) = link(None) else { return };
    let given = f64::from(RATE) * 1e6 / 8.0;
    assert!(rate(&link) > 2.0 * given);
}

#[test]
fn nothing_stays_of_a_link() {
    let Some(link) = link(Some(RATE)) else { return };
    let namespace = || {
        let mut command = link.clients().command("readlink");
        let output = command.arg("/proc/self/ns/net").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let name = namespace();
    assert!(name.starts_with("net:[") && name.trim() != own.to_string_lossy());
    drop(link);
    let left = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .any(|process| {
            let its = std::fs::read_link(process.path().join("ns/net"));
            its.is_ok_and(|its| its.to_string_lossy() == name.trim())
        });
    assert!(!left, "a process is still in {name}");
}

//! The same servers on Linux: a class of HTB's for each (tc-htb(8)), of the rate that its share is of
//! the link, which it may exceed when others leave something. In a class packets wait in line: TCP itself
//! keeps those of a connection few, and `fq_codel` would drop segments by the dozen, since those that the
//! card is to cut are one packet to it.

use anyhow::{Result, ensure};
use xtask::linux::guest::{Needed, Setup};

use super::super::baseline;
use super::{Args, servers};

/// `tc`, and what it is linked with.
const TC: [Needed; 10] = [
    ("iproute2", &["/sbin/tc"]),
    (
        "libc6",
        &[
            "/lib64/ld-linux-x86-64.so.2",
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib/x86_64-linux-gnu/libm.so.6",
        ],
    ),
    ("libbpf1", &["/usr/lib/x86_64-linux-gnu/libbpf.so.1"]),
    ("libbsd0", &["/usr/lib/x86_64-linux-gnu/libbsd.so.0"]),
    ("libcap2", &["/lib/x86_64-linux-gnu/libcap.so.2"]),
    ("libelf1", &["/usr/lib/x86_64-linux-gnu/libelf.so.1"]),
    ("libmd0", &["/usr/lib/x86_64-linux-gnu/libmd.so.0"]),
    ("libmnl0", &["/usr/lib/x86_64-linux-gnu/libmnl.so.0"]),
    (
        "libxtables12",
        &["/usr/lib/x86_64-linux-gnu/libxtables.so.12"],
    ),
    ("zlib1g", &["/lib/x86_64-linux-gnu/libz.so.1"]),
];

/// The class of all servers together.
const ALL: &str = "1:ffff";

/// What may go out at once, in milliseconds of the link: a virtual machine's timers are late, and what a
/// class could have sent meanwhile is lost beyond this.
const BURST_MS: u64 = 10;

/// How an administrator divides the link.
pub(super) fn setup(args: &Args, activities: &[(String, u32)]) -> Result<Setup> {
    ensure!(
        !args.unpaced,
        "--baseline: HTB has to be told the link's rate, as Vortex; leave out --unpaced"
    );
    let mut setup = baseline::network(args.nic)?;
    setup.modules.extend(["sch_htb", "cls_u32"]);
    setup.packages.extend(TC);
    setup
        .commands
        .extend(classes(args.paced_bits(), activities));
    Ok(setup)
}

/// The commands that make the classes; by `tc`'s path, since BusyBox has one that knows no HTB. A
/// server's class is known by the number of its activity in the configuration, where the infrastructure
/// is number 0.
fn classes(bits: u64, activities: &[(String, u32)]) -> Vec<String> {
    let all: u64 = activities.iter().map(|(_, share)| u64::from(*share)).sum();
    let burst = bits / 8 * BURST_MS / 1000;
    let bursts = format!("ceil {bits}bit burst {burst} cburst {burst}");
    let mut commands = vec![
        // What is borrowed is divided by rate, in pieces of a hundredth of a second's bytes.
        "/sbin/tc qdisc add dev eth0 root handle 1: htb r2q 100".into(),
        format!("/sbin/tc class add dev eth0 parent 1: classid {ALL} htb rate {bits}bit {bursts}"),
    ];
    for (number, (_, share)) in activities.iter().enumerate() {
        let class = format!("1:{:x}", number + 1);
        let rate = bits * u64::from(*share) / all.max(1);
        let port = servers::port(number);
        commands.extend([
            format!(
                "/sbin/tc class add dev eth0 parent {ALL} classid {class} htb rate {rate}bit {bursts}"
            ),
            format!(
                "/sbin/tc filter add dev eth0 parent 1: protocol ip u32 match ip sport {port} 0xffff \
                 flowid {class}"
            ),
        ]);
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::classes;

    #[test]
    fn each_server_has_its_part_of_the_link() {
        let activities = [("web0".to_owned(), 75), ("web1".to_owned(), 25)];
        let commands = classes(100_000_000, &activities);
        let has = |part: &str| commands.iter().any(|command| command.contains(part));
        assert!(has(
            "parent 1:ffff classid 1:1 htb rate 75000000bit ceil 100000000bit"
        ));
        assert!(has(
            "parent 1:ffff classid 1:2 htb rate 25000000bit ceil 100000000bit"
        ));
        assert!(has("sport 8001 0xffff flowid 1:2"));
    }
}

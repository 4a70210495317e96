//! `cargo xtask run` with nothing to run: three web servers in three activities, and the
//! statistics of what each uses, in one more.

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use vortex_sched_config::value::{Right, Share};
use vortex_sched_config::{Activity, Configuration};
use xtask::nic::{self, Forward, Nic};
use xtask::program::{self, Program};
use xtask::userland::GuestFile;
use xtask::{qemu, ui, workspace};

use super::exec::{Log, pass_on};
use super::{Args, LAST_WAIT, TIMED_OUT};
use crate::experiment::grid;

/// The servers' shares.
const SHARES: [u32; 3] = [50, 33, 17];
/// The activity that shows the statistics, and its weight beside the servers'.
const STATISTICS: &str = "statistics";
const STATISTICS_SHARE: u32 = 10;
/// The first server's port in the guest, and the first that is tried here; the others' follow, and the
/// statistics'.
const GUEST_PORT: u16 = 8000;
const HOST_PORT: u16 = 8080;
/// The port here at which the statistics are, if nobody has it or one before.
pub(crate) const STATISTICS_PORT: u16 = HOST_PORT + SHARES.len() as u16;
const ROOT: &str = "/www";
/// A page to look at, and one for clients that measure.
const INDEX: &str = "<!doctype html>\n<title>Vortex</title>\n<h1>Vortex</h1>\n<p>One of three web \
                     servers. <a href=\"/megabyte\">A megabyte</a> to fetch again and again.</p>\n";
const MEGABYTE: usize = 1 << 20;

/// Runs it until the time is over, or Ctrl-C.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let forwards = forwards()?;
    let folder = tempfile::tempdir_in(workspace::target_subdir("run")?)?;
    let mut files = Vec::new();
    for (name, content) in [
        ("index.html", INDEX.as_bytes().to_vec()),
        ("megabyte", vec![b'x'; MEGABYTE]),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, content).context("cannot write a page")?;
        let path = format!("{ROOT}/{name}");
        files.push(GuestFile { path, file });
    }
    let token = token()?;
    let nic = args.nic.unwrap_or(Nic::VirtioNet);
    if nic == Nic::None {
        bail!("the demonstration's web servers need a network interface; leave --nic away");
    }
    let all = [&forwards[..], &args.forwards].concat();
    let mut extra = nic::arguments(nic, 0, &all);
    extra.extend(args.qemu_args.iter().cloned());
    let mut guest = program::start(&Program {
        configuration: configuration(args.smp, &token)?,
        rootfs: args.rootfs.clone(),
        files,
        smp: args.smp,
        memory: args.mem.clone().unwrap_or_default(),
        accel: args.accel.choose(),
        machine: args.machine,
        cpu: args.cpu.clone(),
        extra,
        ..Program::default()
    })?;
    let names = SHARES.iter().map(|share| activity(*share));
    for (name, Forward { host, .. }) in names.chain([STATISTICS.into()]).zip(&forwards) {
        let url = format!("http://{}:{host}/", Ipv4Addr::LOCALHOST);
        ui::header(&format!("{name} at {url}"));
    }
    if let Some(Forward { host, .. }) = forwards.last() {
        ui::header(&format!("the statistics in a terminal:\n  {}", top(*host)));
        ui::header(&format!(
            "weights can be changed meanwhile:\n{}",
            command(*host, &token)
        ));
    }
    let mut log = Log::new(args.verbose);
    if !pass_on(&mut guest, args.timeout.map(Duration::from_secs), &mut log)? {
        ui::done("the time is over");
        return Ok(TIMED_OUT.into());
    }
    log.show_last();
    let exit = guest.exit(qemu::within(LAST_WAIT))?;
    let exit = exit.context("QEMU closed its log and does not end")?;
    ui::error(&format!("the servers have ended: {exit}"));
    Ok(exit.code().max(1).into())
}

/// A secret of the host's own making, for this run.
fn token() -> Result<String> {
    let mut bytes = [0; 16];
    let mut source = File::open("/dev/urandom").context("there are no random numbers")?;
    source
        .read_exact(&mut bytes)
        .context("cannot read random numbers")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// How the statistics are shown in a terminal.
fn top(port: u16) -> String {
    match port {
        STATISTICS_PORT => "cargo xtask top".to_owned(),
        port => format!("cargo xtask top {}:{port}", Ipv4Addr::LOCALHOST),
    }
}

/// How a weight is changed from here.
fn command(port: u16, token: &str) -> String {
    let activity = activity(SHARES[0]);
    format!(
        "  curl -H 'Authorization: Bearer {token}' --data \\\n    \
         '{{\"command\":\"weight\",\"activity\":\"{activity}\",\"weight\":\"10\"}}' \\\n    \
         http://{}:{port}/control",
        Ipv4Addr::LOCALHOST
    )
}

/// Ports here that nobody has, for the servers and the statistics.
fn forwards() -> Result<Vec<Forward>> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let free = (HOST_PORT..=u16::MAX).filter(is_free);
    let forwards: Vec<Forward> = free
        .zip(GUEST_PORT..)
        .take(SHARES.len() + 1)
        .map(|(host, guest)| Forward { host, guest })
        .collect();
    if forwards.len() <= SHARES.len() {
        bail!(
            "no port from {HOST_PORT} on is free at {}",
            Ipv4Addr::LOCALHOST
        );
    }
    Ok(forwards)
}

fn activity(share: u32) -> String {
    format!("web{share}")
}

/// The built-in configuration with the servers, and what shows the statistics: as a page, where who
/// knows the token may change weights, and as a table.
fn configuration(smp: u32, token: &str) -> Result<String> {
    let mut configuration = Configuration::builtin(smp);
    let mut ports = GUEST_PORT..;
    for (share, port) in SHARES.into_iter().zip(&mut ports) {
        let name = activity(share);
        configuration.activities.push(weighted(&name, share));
        let listen = format!("0.0.0.0:{port}");
        let arguments = [ROOT, "--listen", &listen];
        configuration
            .processes
            .push(grid::process(&name, "/bin/httpd", &arguments));
    }
    configuration
        .activities
        .push(weighted(STATISTICS, STATISTICS_SHARE));
    let listen = format!("0.0.0.0:{}", ports.start);
    let control = [
        Right::Statistics,
        Right::Weights,
        Right::Activities,
        Right::Signals,
    ];
    let served = ["--listen", &listen, "--token", token];
    for (name, path, arguments, rights) in [
        ("statsd", "/bin/statsd", &served[..], &control[..]),
        ("table", "/bin/vstat", &["--brief"], &[Right::Statistics]),
    ] {
        let mut process = grid::process(name, path, arguments);
        process.activity = Some(STATISTICS.into());
        process.rights = rights.to_vec();
        configuration.processes.push(process);
    }
    grid::xml(&configuration)
}

fn weighted(name: &str, share: u32) -> Activity {
    Activity {
        name: name.into(),
        weight: Share::from_thousandths(share * 1000),
        memory: None,
        cpu: None,
    }
}

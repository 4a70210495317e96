//! The guest of the web experiment: its configuration, and what it serves.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use vortex_sched_config::value::Metric;
use xtask::linux::Unpacked;
use xtask::network::Link;
use xtask::userland::GuestFile;
use xtask::workspace;

use super::super::grid;
use super::{Args, SETTLE};

/// Where bytes are put on the link.
pub(super) const WRITE: &str = "resource.dwr";
/// What runs on one core alone, with [`WRITE`].
const INTERRUPT: &str = "resource.dir";
pub(super) const THREADS: &str = "resource.thread";
/// The other resources of table 1, and what is counted there.
pub(super) const NETWORK: [(&str, Metric); 7] = [
    ("resource.ndwr", Metric::Bytes),
    ("resource.ndrr", Metric::Bytes),
    ("resource.tcp", Metric::Cpu),
    ("resource.tcptimer", Metric::Cpu),
    ("resource.aio", Metric::Cpu),
    ("resource.filecache", Metric::Cpu),
    ("resource.addressspace", Metric::Cpu),
];
/// The first server's port; the others' follow.
const PORT: u32 = 8000;
const ROOT: &str = "/www";
const PAGE: &str = "page";
/// The folder of a server that is the user's.
const SERVER: &str = "/server";
/// Before a package's name and a path in it.
const DEBIAN: &str = "debian:";
/// The list of users, there and here.
const USERS: (&str, &str) = ("/etc/passwd", "passwd");

/// A page's address.
pub(super) fn url(server: usize) -> String {
    format!("http://{}:{}/{PAGE}", Link::GUEST, port(server))
}

/// Where a server listens.
pub(super) fn port(server: usize) -> u32 {
    PORT + u32::try_from(server).unwrap_or(0)
}

/// The page, and the server if it is the user's.
pub(super) struct Site {
    folder: tempfile::TempDir,
    server: Option<PathBuf>,
}

impl Site {
    pub(super) fn new(args: &Args) -> Result<Self> {
        let folder = tempfile::tempdir_in(workspace::target_subdir("experiment")?)?;
        std::fs::write(folder.path().join(PAGE), page(args.page as usize))
            .context("cannot write the page")?;
        // Many a server looks up whose rights it has.
        std::fs::write(folder.path().join(USERS.1), "root:x:0:0:root:/:/bin/sh\n")
            .context("cannot write the list of users")?;
        let server = args.server.first().map(|name| program(name)).transpose()?;
        Ok(Self { folder, server })
    }

    /// For the guest's root file system.
    pub(super) fn files(&self) -> Result<Vec<GuestFile>> {
        let file = |path: &str, name: &str| GuestFile {
            path: path.into(),
            file: self.folder.path().join(name),
        };
        let mut files = vec![
            file(&format!("{ROOT}/{PAGE}"), PAGE),
            file(USERS.0, USERS.1),
        ];
        if let Some(server) = &self.server {
            files.push(GuestFile {
                path: place(server),
                file: std::path::absolute(server)?,
            });
        }
        Ok(files)
    }
}

/// What `--server` names: a program here, or one of a Debian package's.
fn program(name: &str) -> Result<PathBuf> {
    if let Some(of_debian) = name.strip_prefix(DEBIAN) {
        let parts = of_debian.split_once('/');
        let (package, path) =
            parts.with_context(|| format!("--server {name}: expected {DEBIAN}PACKAGE/PATH"))?;
        return Ok(Unpacked::fetch(&[package])?.file(package, path)?.file);
    }
    let file = PathBuf::from(name);
    ensure!(
        file.is_file(),
        "--server: there is no program {name}; expected a static Linux program, or {DEBIAN}PACKAGE/PATH"
    );
    Ok(file)
}

/// Where it is in the guest: under its own name, which some look at, such as BusyBox.
fn place(server: &Path) -> String {
    let name = server.file_name().unwrap_or_default();
    format!("{SERVER}/{}", name.to_string_lossy())
}

/// A page with so many bytes, of lines.
fn page(bytes: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|number: u64| format!("line {number}\n").into_bytes());
    lines.take(bytes).collect()
}

/// As `sched-config/examples/web.xml`, for as many cores as there are.
pub(super) fn configuration(args: &Args, activities: &[(String, u32)]) -> Result<String> {
    let smp = args.common.smp();
    let mut configuration = grid::begin(activities, smp);
    configuration.activities.push(grid::infrastructure(100));
    // The last core has the servers, the one before it the card; one core has everything.
    let servers = smp - 1;
    let card = smp.saturating_sub(2);
    for (name, metric) in NETWORK {
        let resource = grid::resource(name, metric, 0..smp);
        configuration.schedulers.push(resource);
    }
    for (name, metric) in [(WRITE, Metric::Bytes), (INTERRUPT, Metric::Cpu)] {
        let resource = grid::resource(name, metric, card..card + 1);
        configuration.schedulers.push(resource);
    }
    // As much as the core's resources together.
    let threads = grid::threads_on(servers, smp, 350);
    configuration.schedulers.push(threads);
    configuration.networks.push(grid::network(args.pace()));
    for (number, (name, _)) in activities.iter().enumerate() {
        let (path, arguments) = server(args, number);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let process = grid::process(name, &path, &arguments);
        configuration.processes.push(process);
    }
    let sampler = grid::sampler(&args.common, SETTLE, &["--resources"]);
    configuration.processes.push(sampler);
    grid::xml(&configuration)
}

/// The program of a server and its arguments.
fn server(args: &Args, number: usize) -> (String, Vec<String>) {
    let port = port(number).to_string();
    match args.server.split_first() {
        None => {
            let listen = format!("0.0.0.0:{port}");
            let arguments = vec![ROOT.into(), "--listen".into(), listen];
            ("/bin/httpd".into(), arguments)
        }
        Some((program, arguments)) => {
            let filled =
                |argument: &String| argument.replace("{port}", &port).replace("{root}", ROOT);
            let arguments = arguments.iter().map(filled).collect();
            (place(Path::new(program)), arguments)
        }
    }
}

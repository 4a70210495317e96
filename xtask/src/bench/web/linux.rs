//! Linux, with Debian's nginx, set up as an administrator would for pages that are in memory.

use anyhow::{Context, Result};
use xtask::accel;
use xtask::linux::{self, Linux, Unpacked};
use xtask::network::Link;
use xtask::qemu::{Boot, Guest, GuestConfig};
use xtask::userland::GuestFile;
use xtask::workspace;

use super::Args;
use super::counted::Meter;
use super::measure::{EVERY, Load, pages};

/// Packages, and what is needed of them.
const FILES: [(&str, &[&str]); 7] = [
    ("busybox-static", &["/bin/busybox"]),
    ("nginx", &["/usr/sbin/nginx"]),
    (
        "libc6",
        &[
            "/lib64/ld-linux-x86-64.so.2",
            "/lib/x86_64-linux-gnu/libc.so.6",
        ],
    ),
    ("libcrypt1", &["/lib/x86_64-linux-gnu/libcrypt.so.1"]),
    (
        "libpcre2-8-0",
        &["/usr/lib/x86_64-linux-gnu/libpcre2-8.so.0"],
    ),
    (
        "libssl3",
        &[
            "/usr/lib/x86_64-linux-gnu/libssl.so.3",
            "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
        ],
    ),
    ("zlib1g", &["/lib/x86_64-linux-gnu/libz.so.1"]),
];

const NGINX: &str = "\
daemon off;
user root;
worker_processes auto;
error_log stderr crit;
events { worker_connections 2048; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=100;
    server { listen 80; root /www; }
}
";

/// What the first process says of the processors: `load`, the time since the start, and the first line
/// of `/proc/stat`.
const LOAD: &str = "load ";
/// Units of `/proc/stat` in a second (`USER_HZ`).
const HERTZ: f64 = 100.0;

/// The first process.
fn init() -> String {
    format!(
        "#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod $module; done
ip link set lo up
ip address add {}/24 dev eth0
ip link set eth0 up
mkdir -p /var/log/nginx /var/lib/nginx /run
echo root:x:0:0::/: >/etc/passwd
echo root:x:0: >/etc/group
/usr/sbin/nginx -c /etc/nginx.conf &
while :; do
    read up idle </proc/uptime
    read stat </proc/stat
    echo \"{LOAD}$up $stat\"
    sleep {}
done
",
        Link::GUEST,
        EVERY.as_secs(),
    )
}

/// A guest that runs Linux.
pub(super) struct Running {
    pub(super) guest: Guest,
    pub(super) version: String,
    /// What QEMU reads.
    _folder: tempfile::TempDir,
}

/// Starts the guest, in which nginx listens at port 80.
pub(super) fn start(args: &Args, meter: &Meter) -> Result<Running> {
    let linux = Linux::fetch()?;
    let packages = Unpacked::fetch(&FILES.map(|(package, _)| package))?;
    let mut files = linux.modules(&["virtio_pci", "virtio_net"])?;
    for (package, paths) in FILES {
        for path in paths {
            files.push(packages.file(package, path)?);
        }
    }
    let folder = tempfile::tempdir_in(workspace::target_subdir("bench")?)?;
    files.extend(pages(folder.path(), "/www")?);
    for (path, text) in [("/init", init()), ("/etc/nginx.conf", NGINX.into())] {
        let file = folder.path().join(path.rsplit('/').next().unwrap_or(path));
        std::fs::write(&file, text).context("cannot write a file of Linux's")?;
        files.push(GuestFile {
            path: path.into(),
            file,
        });
    }
    let initramfs = folder.path().join("initramfs.cpio");
    workspace::write_whole(&initramfs, &linux::initramfs(&files)?)?;
    let command_line = "console=ttyS0 quiet loglevel=1 panic=-1".into();
    let boot = Boot::Linux(linux.kernel.clone(), initramfs, command_line);
    let mut config = GuestConfig::new(boot, accel::detect()?);
    config.smp = args.smp;
    config.extra = meter.devices();
    config.launcher = meter.link.guest().launcher();
    Ok(Running {
        guest: Guest::start(&config)?,
        version: linux.version,
        _folder: folder,
    })
}

/// From what the first process says.
pub(super) fn load(line: &str) -> Option<Result<Load>> {
    let text = line.trim().strip_prefix(LOAD)?;
    let load = parse(text).with_context(|| format!("a damaged line: {line}"));
    Some(load)
}

/// Seconds since the start, `cpu`, and then the processors' time as user, nice, system, idle, waiting,
/// interrupts, softer ones (proc(5)).
fn parse(text: &str) -> Option<Load> {
    let (at, rest) = text.split_once(' ')?;
    let times = rest.strip_prefix("cpu ")?.split_whitespace();
    let times: Vec<f64> = times.map_while(|time| time.parse().ok()).collect();
    let [user, nice, system, _idle, _waiting, hard, soft, ..] = times[..] else {
        return None;
    };
    Some(Load {
        at: at.parse().ok()?,
        busy: (user + nice + system + hard + soft) / HERTZ,
        infrastructure: None,
        scheduling: None,
        work: None,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_processors_time_is_read() {
        let load = super::load("load 12.50 cpu  100 0 200 900 50 7 3 0 0 0").unwrap();
        let load = load.unwrap();
        assert!((load.at - 12.5).abs() < 1e-9);
        assert!((load.busy - 3.1).abs() < 1e-9);
        assert!(super::load("load 12.50 cpu  100").unwrap().is_err());
        assert!(super::load("nginx: started").is_none());
    }
}

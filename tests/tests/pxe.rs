//! Booting over the network, from the server of `cargo xtask pxe`: a machine without a disk has the
//! kernel, its ramdisk and its address from there, and serves a page.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use vortex_tests::parts;
use vortex_tests::slots::Slots;
use xtask::boot_image::BootImage;
use xtask::boot_server::{BootServer, Event, Range, Service};
use xtask::network::{Link, Namespace};
use xtask::packages::{self, Package};
use xtask::process::Running;
use xtask::qemu::{self, Boot, Guest, GuestConfig, Next};
use xtask::{accel, ramdisk, rootfs, userland};

/// How long a boot may take: under emulation, on an idle host, it is ten seconds.
const BOOT: Duration = Duration::from_secs(120);
const PAGE: &str = "served without a disk\n";
const TOKEN: &str = "the-token-of-this-test-alone";
/// What the configuration starts, and what starts several.
const PROGRAMS: [&str; 3] = ["/bin/httpd", "/bin/spawner", "/bin/statsd"];
/// The addresses that are given out.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const LAST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 150);
/// The card that QEMU gives a guest, if not told otherwise.
const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// The web server's line of the metrics, before the number.
const WEIGHT: &str = "vortex_activity_weight{activity=\"web\"}";
/// What a machine fetches, in this order.
const FILES: [&str; 5] = [
    "netboot.efi",
    "bootloader",
    "kernel-x86_64",
    "boot.json",
    "ramdisk",
];

/// What docs/deploy.md makes: its configuration, a page and a token, in the boot ramdisk.
fn image() -> BootImage {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [("www/page", PAGE), ("etc/statsd.token", TOKEN)] {
        let file = folder.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let mut programs = userland::build().unwrap();
    programs.retain(|program| PROGRAMS.contains(&program.path.as_str()));
    let rootfs = rootfs::archive(&programs, Some(folder.path())).unwrap();
    let configuration = include_bytes!("../../docs/deploy.xml");
    let ramdisk = ramdisk::assemble(Some(configuration), &[], Some(&rootfs)).unwrap();
    let image = BootImage::with_ramdisk("guest-images", &ramdisk).unwrap();
    image.make_boot(parts().unwrap(), Some(&ramdisk)).unwrap();
    image
}

/// A machine at a link, which has nothing to boot from but the network.
fn start(link: &Link) -> Guest {
    let mut config = GuestConfig::new(Boot::Nothing, accel::detect().unwrap());
    config.smp = 2;
    config.console = true;
    config.extra = link.device("virtio-net-pci").to_vec();
    config.launcher = link.guest().launcher();
    Guest::start(&config).unwrap()
}

/// What the guest's servers say when they listen.
const LISTEN: [&str; 2] = ["httpd: ", "statsd: the statistics at http://"];

/// The address that the guest says it has, once its servers listen.
fn address_of(guest: &mut Guest) -> Ipv4Addr {
    let deadline = qemu::within(BOOT);
    let (mut address, mut said) = (None, String::new());
    loop {
        if let Some(address) = address.filter(|_| LISTEN.iter().all(|words| said.contains(words))) {
            return address;
        }
        match guest.next(deadline) {
            Next::Line(line) => {
                let its = line.text.split_once("interface 0 has address ");
                let its = its.and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
                address = its.or(address);
                said += &format!("{}\n", line.text);
            }
            Next::Output(bytes) => said += &String::from_utf8_lossy(&bytes),
            Next::Over | Next::Deadline => panic!("no server came up; the guest said:\n{said}"),
        }
    }
}

/// What curl has from the clients' end, with these arguments.
fn curl(clients: &Namespace, arguments: &[&str]) -> String {
    let output = clients
        .command("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "30"])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The page, the metrics, and a weight that is changed: what docs/deploy.md asks for.
fn serves(clients: &Namespace, address: Ipv4Addr) {
    let page = curl(clients, &[&format!("http://{address}/page")]);
    assert_eq!(page, PAGE);
    let weight = || {
        let metrics = curl(clients, &[&format!("http://{address}:9100/metrics")]);
        let mut lines = metrics.lines();
        let line = lines.find_map(|line| line.strip_prefix(WEIGHT));
        line.and_then(|rest| rest.trim().parse::<f64>().ok())
    };
    assert_eq!(weight(), Some(90.0));
    let header = format!("Authorization: Bearer {TOKEN}");
    let command = r#"{"command":"weight","activity":"web","weight":"50"}"#;
    let control = format!("http://{address}:9100/control");
    let answer = curl(clients, &["-H", &header, "--data", command, &control]);
    assert_eq!(answer.trim(), r#"{"result":0}"#);
    assert_eq!(weight(), Some(50.0));
}

/// A DHCP server as any network has one, at the other side of the bridge: it knows nothing of booting.
fn plain_dhcp_server(link: &Link) -> Running {
    let address = link.outside().unwrap();
    let mut dnsmasq = link.guest().command("dnsmasq");
    dnsmasq
        .args(["--no-daemon", "--conf-file=/dev/null", "--port=0"])
        .args(["--user=root", "--dhcp-leasefile=/dev/null"])
        .args(["--bind-interfaces", "--except-interface=lo"])
        .arg(format!("--listen-address={address}"))
        .arg(format!("--dhcp-range={FIRST},{LAST}"))
        .stderr(Stdio::null());
    Running::start(&mut dnsmasq).unwrap()
}

/// A guest boots from the server with these addresses to give out and serves its page; what the server
/// did. `None` where this machine can have no link.
fn boots(range: Option<Range>) -> Option<Vec<Event>> {
    if let Some(obstacle) = Link::obstacle() {
        println!("not tested: {obstacle}");
        return None;
    }
    packages::require(&[Package::Qemu, Package::Firmware, Package::Dnsmasq]).unwrap();
    let image = image();
    let _slot = Slots::one().unwrap();
    let link = Link::new(None).unwrap();
    let _other = range.is_none().then(|| plain_dhcp_server(&link));
    let server = BootServer::start(&Service {
        folder: image.pxe(),
        interface: "clients0".into(),
        range,
        launcher: link.clients().launcher(),
    })
    .unwrap();
    let mut guest = start(&link);
    let address = address_of(&mut guest);
    assert!((FIRST..=LAST).contains(&address), "{address}");
    serves(link.clients(), address);
    let events = server.end().unwrap();
    println!("{events:#?}");
    let is_uefi = |event: &&Event| matches!(event, Event::Asks(mac, 7) if mac.0 == MAC);
    assert!(events.iter().any(|event| is_uefi(&event)), "nobody asked");
    let mut sent = events.iter().filter_map(|event| match event {
        Event::Sent(_, file) => Some(file.as_str()),
        _ => None,
    });
    assert!(FILES.iter().all(|file| sent.next() == Some(file)));
    assert_eq!(sent.next(), None);
    Some(events)
}

fn gives(event: &Event) -> bool {
    matches!(event, Event::Gives(mac, _) if mac.0 == MAC)
}

#[test]
fn a_machine_boots_and_has_its_address_from_the_server() {
    let range = Range {
        first: FIRST,
        last: LAST,
    };
    let Some(events) = boots(Some(range)) else {
        return;
    };
    // To the firmware, and to the kernel.
    assert!(events.iter().filter(|event| gives(event)).count() >= 2);
}

#[test]
fn a_machine_boots_beside_another_dhcp_server() {
    let Some(events) = boots(None) else { return };
    assert!(!events.iter().any(gives), "{events:?}");
}

/// Two servers at one port: the second says what is wrong, and the first goes on.
#[test]
fn a_second_server_says_that_the_port_is_taken() {
    if let Some(obstacle) = Link::obstacle() {
        println!("not tested: {obstacle}");
        return;
    }
    let link = Link::new(None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for file in FILES {
        std::fs::write(folder.path().join(file), "").unwrap();
    }
    let mut service = Service {
        folder: folder.path().into(),
        interface: "clients0".into(),
        range: None,
        launcher: link.clients().launcher(),
    };
    let first = BootServer::start(&service).unwrap();
    let error = BootServer::start(&service).map(|_| ()).unwrap_err();
    assert!(
        error.to_string().contains("systemctl stop dnsmasq"),
        "{error:#}"
    );
    assert!(first.end().unwrap().is_empty());
    service.interface = "clients7".into();
    let error = BootServer::start(&service).map(|_| ()).unwrap_err();
    assert!(
        error.to_string().contains("there are: clients0"),
        "{error:#}"
    );
}

use std::net::Ipv4Addr;

use super::*;

const MAC: Mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

fn events(log: &str) -> Vec<Event> {
    let mut reader = Reader::default();
    log.lines().filter_map(|line| reader.read(line)).collect()
}

/// What dnsmasq 2.90 says beside another DHCP server, to OVMF.
#[test]
fn a_boot_beside_another_server_is_read_from_the_log() {
    let log = "dnsmasq-dhcp: 1669749153 available DHCP subnet: 10.77.0.1/255.255.255.0\n\
        dnsmasq-dhcp: 1669749153 vendor class: PXEClient:Arch:00007:UNDI:003000\n\
        dnsmasq-dhcp: 1669749153 PXE(clients0) 52:54:00:12:34:56 proxy\n\
        dnsmasq-dhcp: 1669749153 next server: 10.77.0.1\n\
        dnsmasq-dhcp: 2027030205 vendor class: PXEClient:Arch:00007:UNDI:003000\n\
        dnsmasq-dhcp: 2027030205 PXE(clients0) 52:54:00:12:34:56 proxy\n\
        dnsmasq-tftp: error 8 User aborted the transfer received from 10.77.0.111\n\
        dnsmasq-tftp: sent /srv/pxe/netboot.efi to 10.77.0.111\n\
        dnsmasq-tftp: sent /srv/pxe/netboot.efi to 10.77.0.111\n\
        dnsmasq-tftp: file /srv/pxe/ramdisk not found for 10.77.0.111\n";
    let address = Ipv4Addr::new(10, 77, 0, 111);
    let expected = [
        Event::Asks(MAC, 7),
        Event::Sent(address, "netboot.efi".into()),
        Event::Missing(address, "ramdisk".into()),
    ];
    assert_eq!(events(log), expected);
}

#[test]
fn addresses_are_read_from_the_log() {
    let log = "dnsmasq-dhcp: 4146466356 vendor class: PXEClient:Arch:00000:UNDI:002001\n\
        dnsmasq-dhcp: 4146466356 DHCPDISCOVER(eth0) 52:54:00:12:34:56 \n\
        dnsmasq-dhcp: 4146466356 DHCPOFFER(eth0) 10.77.0.111 52:54:00:12:34:56 \n\
        dnsmasq-dhcp: 4146466356 DHCPACK(eth0) 10.77.0.111 52:54:00:12:34:56 blade-7\n";
    let gives = Event::Gives(MAC, Ipv4Addr::new(10, 77, 0, 111));
    assert_eq!(events(log), [Event::Asks(MAC, 0), gives]);
}

/// A system that runs asks for its address: that is no firmware that asks what to boot.
#[test]
fn a_running_system_does_not_ask_what_to_boot() {
    let log = "dnsmasq-dhcp: 1 vendor class: PXEClient:Arch:00007:UNDI:003000\n\
        dnsmasq-dhcp: 2 DHCPDISCOVER(eth0) 10.77.0.111 52:54:00:12:34:56\n";
    assert_eq!(events(log), []);
}

#[test]
fn what_is_not_understood_is_no_event() {
    for line in [
        "",
        "dnsmasq-dhcp: ",
        "dnsmasq-dhcp: 1 PXE(",
        "dnsmasq-dhcp: 1 vendor class: PXEClient:Arch:",
        "dnsmasq-dhcp: 1 DHCPACK(eth0) 10.77.0 52:54:00:12:34:56",
        "dnsmasq-dhcp: 1 DHCPACK(eth0) 10.77.0.1 52:54:00:12:34",
        "dnsmasq-tftp: sent  to ",
        "dnsmasq-tftp: error 8",
        "dnsmasq-tftp: file a not found for b",
    ] {
        assert_eq!(events(line), [], "{line:?}");
    }
}

#[test]
fn ranges_are_read_from_the_command_line() {
    let range: Range = "10.0.0.100-10.0.0.199".parse().unwrap();
    assert_eq!(range.to_string(), "10.0.0.100-10.0.0.199");
    for bad in [
        "",
        "10.0.0.1",
        "10.0.0.1-",
        "10.0.0.2-10.0.0.1",
        "a-b",
        "10.0.0.1-10.0.0.256",
    ] {
        assert!(bad.parse::<Range>().is_err(), "{bad:?}");
    }
}

const IP: &str = r#"[
    {"ifname":"lo","flags":["LOOPBACK","UP"],"operstate":"UNKNOWN",
     "addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8}]},
    {"ifname":"eth0","flags":["BROADCAST","UP"],"operstate":"UP",
     "addr_info":[{"family":"inet6","local":"fe80::1","prefixlen":64},
                  {"family":"inet","local":"10.0.0.1","prefixlen":24}]},
    {"ifname":"eth1","flags":["BROADCAST"],"operstate":"DOWN","addr_info":[]},
    {"ifname":"eth2","flags":["NO-CARRIER","UP"],"operstate":"DOWN","addr_info":[]}]"#;

#[test]
fn an_interface_is_found_or_the_user_told_what_to_do() {
    let interface = Interface::among("eth0", IP.as_bytes()).unwrap();
    assert_eq!(interface.address, Ipv4Addr::new(10, 0, 0, 1));
    assert!(interface.has_link && interface.prefix == 24);
    let error = |name| {
        Interface::among(name, IP.as_bytes())
            .unwrap_err()
            .to_string()
    };
    assert!(error("eth7").contains("there are: eth0, eth1, eth2"));
    assert!(error("eth1").contains("ip link set eth1 up"));
    assert!(error("eth2").contains("ip address add"));
    assert!(Interface::among("eth0", b"{").is_err());
}

#[test]
fn a_range_is_of_the_interfaces_network() {
    let interface = Interface::among("eth0", IP.as_bytes()).unwrap();
    let check = |text: &str| text.parse::<Range>().unwrap().check(&interface);
    check("10.0.0.2-10.0.0.254").unwrap();
    assert!(check("10.0.1.2-10.0.1.9").is_err());
    assert!(check("10.0.0.200-10.0.1.9").is_err());
    assert!(
        check("10.0.0.1-10.0.0.9").is_err(),
        "its own address is in it"
    );
}

#[test]
fn beside_another_server_no_address_is_given_out() {
    let interface = Interface::among("eth0", IP.as_bytes()).unwrap();
    let range = "10.0.0.100-10.0.0.199".parse().ok();
    let all = |range| {
        let arguments = arguments(&interface, Path::new("/a b"), range);
        arguments
            .iter()
            .map(|one| one.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
    };
    let (proxy, full) = (all(None), all(range.as_ref()));
    assert!(
        proxy.contains(&"--dhcp-range=10.0.0.1,proxy".into()),
        "{proxy:?}"
    );
    assert!(proxy.contains(&"--tftp-root=/a b".into()), "{proxy:?}");
    assert!(
        full.contains(&"--dhcp-range=10.0.0.100,10.0.0.199".into()),
        "{full:?}"
    );
    assert!(!full.iter().any(|one| one.contains("proxy")), "{full:?}");
}

#[test]
fn a_folder_without_the_files_says_what_makes_them() {
    let folder = tempfile::tempdir().unwrap();
    let error = files(folder.path()).unwrap_err().to_string();
    assert!(error.contains("cargo xtask image"), "{error}");
    for file in [netboot::FILE, "bootloader", "kernel-x86_64"] {
        std::fs::write(folder.path().join(file), "").unwrap();
    }
    files(folder.path()).unwrap();
}

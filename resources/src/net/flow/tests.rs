use std::collections::BTreeSet;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// A UDP packet with IPv4 options of so many words.
fn packet(source: u32, ports: [u16; 2], words: u8, fragment: u16) -> Vec<u8> {
    let mut bytes = Vec::from([0; 12]);
    bytes.extend(IPV4);
    bytes.extend([0x45 + words, 0, 0, 60, 0, 1]);
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([64, UDP, 0, 0]);
    bytes.extend(source.to_be_bytes());
    bytes.extend([10, 0, 0, 2]);
    bytes.resize(bytes.len() + 4 * usize::from(words), 1);
    bytes.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    bytes
}

#[test]
fn a_flow_is_addresses_and_ports() {
    let expected = Flow {
        source: Ipv4Addr::new(10, 0, 0, 1),
        destination: Ipv4Addr::new(10, 0, 0, 2),
        protocol: UDP,
        ports: [5000, 53],
    };
    for words in [0, 10] {
        let packet = packet(0x0a00_0001, [5000, 53], words, 0x4000);
        assert!(packet.len() <= LOOK_AT);
        assert_eq!(Flow::of(&packet), Some(expected));
    }
    // Neither the first fragment nor the others show ports, as only the first has any.
    for fragment in [0x2000, 0x0001, 0x2003] {
        let packet = packet(0x0a00_0001, [5000, 53], 0, fragment);
        assert_eq!(Flow::of(&packet).map(|flow| flow.ports), Some([0, 0]));
    }
    assert_eq!(Flow::of(&[0; 60]), None);
}

#[test]
fn flows_are_spread_over_all_labels() {
    let labels = Labels::new([7; 16]);
    let of = |number: u32| {
        let packet = packet(number, [1, 2], 0, 0);
        labels.of(Flow::of(&packet).as_ref())
    };
    let mut counts = [0; LABELS as usize + 2];
    for number in 0..100 * LABELS as u32 {
        let (DependencyLabel(order), AffinityLabel(core)) = of(number);
        assert_eq!(order, core);
        counts[order as usize] += 1;
    }
    assert_eq!(counts[..2], [0, 0], "these are not flows'");
    let (least, most) = (counts[2..].iter().min(), counts[2..].iter().max());
    assert!(
        least > Some(&50) && most < Some(&150),
        "{least:?}, {most:?}"
    );
    assert_eq!(labels.of(None).0, DependencyLabel(1));
}

#[test]
fn another_key_spreads_otherwise() {
    let packet = packet(1, [1, 2], 0, 0);
    let flow = Flow::of(&packet);
    let all: BTreeSet<u64> = (0..16)
        .map(|key| Labels::new([key; 16]).of(flow.as_ref()).0.0)
        .collect();
    assert!(all.len() > 12, "{all:?}");
}

proptest! {
    #[test]
    fn any_bytes_have_a_label(bytes in prop::collection::vec(any::<u8>(), 0..LOOK_AT)) {
        let (DependencyLabel(label), _) = Labels::new([1; 16]).of(Flow::of(&bytes).as_ref());
        prop_assert!((1..=LABELS + 1).contains(&label));
    }

    #[test]
    fn all_of_one_flow_have_one_label(source: u32, ports: [u16; 2], words in 0..11_u8) {
        let labels = Labels::new([1; 16]);
        let of = |packet: Vec<u8>| labels.of(Flow::of(&packet).as_ref());
        prop_assert_eq!(of(packet(source, ports, words, 0)), of(packet(source, ports, 0, 0x4000)));
    }
}

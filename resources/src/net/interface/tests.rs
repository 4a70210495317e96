use std::vec;

use proptest::prelude::*;

use super::*;
use crate::fake::processor::FakeMachine;
use crate::net::buffer::Pool;
use crate::net::cable::Settings;

fn properties() -> Properties {
    Settings::number(1).properties
}

fn pool(machine: &FakeMachine) -> &'static Pool {
    let frames = machine.clone();
    Pool::new(64, move || vortex_toolkit::memory::Frames::take(&frames))
}

#[test]
fn what_does_not_fit_the_interface_is_known() {
    let mut frame = Outgoing::default();
    assert!(!frame.fits(&properties()), "it has no header");
    frame.head.try_extend_from_slice(&[0; 54]).expect("it fits");
    assert!(frame.fits(&properties()));
    let part = |offset, length| Part {
        frame: Frame(1),
        offset,
        length,
    };
    for unsound in [part(100, 0), part(4000, 97), part(u32::MAX, 1)] {
        assert!(!frame.push(unsound), "it is not within its frame");
    }
    assert!(frame.push(part(100, 1460)));
    assert!(frame.fits(&properties()));
    assert!(frame.push(part(4095, 1)));
    assert_eq!(frame.length(), 54 + 1461);
    assert!(
        !frame.fits(&properties()),
        "a byte more than the link takes"
    );
    frame.offload = Offload::Segmentation {
        start: 34,
        mss: 1460,
    };
    assert!(frame.fits(&properties()));
    assert_eq!(frame.length_on_link(), 54 + 1461 + 54, "two segments");
    while frame.parts().len() < PARTS {
        assert!(frame.push(part(0, 1)));
    }
    assert!(!frame.push(part(0, 1)), "there are too many");
    for (start, mss) in [(34, 0), (40, 1460), (20, 1460)] {
        frame.offload = Offload::Segmentation { start, mss };
        assert!(!frame.fits(&properties()), "{start}, {mss}");
    }
    for (start, field) in [(34, 53), (34, 20), (0, u16::MAX)] {
        frame.offload = Offload::Checksum { start, field };
        assert!(!frame.fits(&properties()), "{start}, {field}");
    }
}

#[test]
fn a_packet_is_small_enough_for_a_message() {
    assert_eq!(size_of::<Packet>(), 32);
}

proptest! {
    #[test]
    fn a_packet_in_pieces_reads_as_one(
        start in 0..200_usize,
        lengths in prop::collection::vec(14..BUFFER - 200, 1..5),
        at in 0..9000_usize,
        wanted in 0..3000_usize,
    ) {
        let machine = FakeMachine::new(1, 256);
        let pool = pool(&machine);
        let mut all = vec![];
        let mut packet: Option<Packet> = None;
        for (number, &length) in lengths.iter().enumerate() {
            let bytes: Vec<u8> = (0..length).map(|byte| (byte + 31 * number) as u8).collect();
            let buffer = pool.take().expect("there is one");
            let from = if number == 0 { start } else { 0 };
            machine.write_frame(buffer.frame(), buffer.offset() + from, &bytes);
            match &mut packet {
                None => packet = Packet::new(buffer, from, length, Checksum::Unknown),
                Some(packet) => prop_assert!(packet.push(buffer, length)),
            }
            all.extend(bytes);
        }
        let packet = packet.expect("it is long enough");
        prop_assert_eq!(packet.length(), all.len());
        prop_assert_eq!(packet.footprint(), BUFFER * lengths.len());
        let mut into = vec![0; wanted];
        let read = packet.read(&machine, at, &mut into);
        let expected = &all[at.min(all.len())..(at + wanted).min(all.len())];
        prop_assert_eq!(&into[..read], expected);
        drop(packet);
        prop_assert_eq!(pool.out(), 0);
    }
}

use proptest::prelude::*;

use super::*;
use crate::checksum;

const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn segments() -> impl Strategy<Value = Segment> {
    let options = (
        any::<Option<u16>>(),
        prop::option::of(0_u8..=14),
        any::<bool>(),
        prop::collection::vec(any::<(u32, u32)>(), 0..=3),
        any::<Option<(u32, u32)>>(),
    );
    let fields = (
        1..=u16::MAX,
        1..=u16::MAX,
        any::<(u32, u32, u16)>(),
        any::<[bool; 5]>(),
    );
    (fields, options).prop_map(|((source, destination, numbers, flags), options)| {
        let [syn, ack, fin, rst, psh] = flags;
        let (mss, window_scale, sack_permitted, sack, timestamps) = options;
        let (seq, acknowledged, window) = numbers;
        // Four kinds with three blocks do not fit in a header, nor do any two sides send them.
        let sack = sack.into_iter().take(if syn { 0 } else { 3 });
        Segment {
            source,
            destination,
            seq: Seq(seq),
            ack: Seq(acknowledged),
            flags: Flags {
                syn,
                ack,
                fin,
                rst,
                psh,
            },
            window,
            options: Options {
                mss: mss.filter(|_| syn),
                window_scale: window_scale.filter(|_| syn),
                sack_permitted: sack_permitted && syn,
                sack: sack
                    .map(|(start, end)| SackBlock {
                        start: Seq(start),
                        end: Seq(end),
                    })
                    .collect(),
                timestamps: timestamps.map(|(value, echo)| Timestamps { value, echo }),
            },
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(segment in segments(), payload in prop::collection::vec(any::<u8>(), 0..50)) {
        let mut bytes = [0xff; MAX_HEADER + 50];
        let header = segment.emit(&mut bytes);
        let end = header + payload.len();
        bytes[header..end].copy_from_slice(&payload);
        let parts = payload.chunks(3);
        checksum::complete(&mut bytes[..header], HERE, THERE, payload.len(), parts);
        let parsed = Segment::parse(&bytes[..end], HERE, THERE, Verify::Checksum);
        prop_assert_eq!(parsed, Ok((segment, header)));
        bytes[end - 1] ^= 1;
        let parsed = Segment::parse(&bytes[..end], HERE, THERE, Verify::Checksum);
        prop_assert!(parsed.is_err(), "a damaged segment is noticed");
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok((segment, header)) = Segment::parse(&bytes, HERE, THERE, Verify::Nothing) {
            prop_assert!((BASE_HEADER..=bytes.len().min(MAX_HEADER)).contains(&header));
            prop_assert!(segment.source != 0 && segment.destination != 0);
        }
    }
}

fn parse_options_of(options: &[u8]) -> Result<Options, Malformed> {
    let mut bytes = [0; MAX_HEADER];
    let segment = Segment {
        source: 1,
        destination: 2,
        ..Segment::default()
    };
    segment.emit(&mut bytes);
    let header = BASE_HEADER + options.len().next_multiple_of(4);
    bytes[12] = u8::try_from(header / 4 * 16).unwrap();
    bytes[13] = 2;
    bytes[BASE_HEADER..BASE_HEADER + options.len()].copy_from_slice(options);
    Segment::parse(&bytes[..header], HERE, THERE, Verify::Nothing)
        .map(|(segment, _)| segment.options)
}

#[test]
fn options_with_impossible_lengths_are_refused() {
    for options in [
        &[2, 0][..],
        &[2, 1],
        &[2, 3, 1],
        &[3, 2],
        &[5, 3, 1],
        &[5, 12],
        &[8, 200],
        &[99],
    ] {
        assert_eq!(
            parse_options_of(options),
            Err(Malformed::Option),
            "{options:?}"
        );
    }
}

#[test]
fn unknown_options_are_skipped() {
    let options = parse_options_of(&[1, 99, 3, 7, 2, 4, 5, 0xb4, 0, 99, 99, 99]).unwrap();
    assert_eq!(
        options,
        Options {
            mss: Some(1460),
            ..Options::default()
        }
    );
}

#[test]
fn a_reset_is_never_answered() {
    let mut segment = Segment {
        source: 1,
        destination: 2,
        seq: Seq(5),
        ack: Seq(9),
        ..Segment::default()
    };
    segment.flags.syn = true;
    let reset = segment.reset(3).unwrap();
    assert!(reset.flags.ack && reset.flags.rst);
    assert_eq!((reset.ack, reset.seq, reset.source), (Seq(9), Seq(0), 2));
    segment.flags.ack = true;
    let reset = segment.reset(3).unwrap();
    assert!(!reset.flags.ack);
    assert_eq!(reset.seq, Seq(9));
    segment.flags.rst = true;
    assert_eq!(segment.reset(3), None);
}

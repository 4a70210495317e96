//! Arbitrary segments in every state: no panic, no growth, and nothing held at the end.

use proptest::prelude::*;
use vortex_tcp::{Config, Flags, SackBlock, Segment, State, Timestamps};

use crate::rig::Rig;

const STATES: [State; 10] = [
    State::Closed,
    State::SynSent,
    State::SynReceived,
    State::Established,
    State::FinWait1,
    State::FinWait2,
    State::CloseWait,
    State::Closing,
    State::LastAck,
    State::TimeWait,
];

#[derive(Clone, Debug)]
enum Step {
    /// Numbers relative to what is expected, mostly near it.
    Segment {
        flags: [bool; 5],
        seq: i32,
        ack: i32,
        window: u16,
        length: usize,
        sack: Vec<(i32, i32)>,
        clock: Option<i32>,
    },
    Write(usize),
    Read(usize),
    Pass(u64),
    Deadline,
    Shutdown,
    Close,
    Shrink(i32, usize),
}

fn near() -> impl Strategy<Value = i32> {
    prop_oneof![8 => -3000..3000_i32, 4 => Just(0), 2 => Just(1), 1 => any::<i32>()]
}

fn steps() -> impl Strategy<Value = Step> {
    let segment = (
        [
            prop::bool::weighted(0.1),
            prop::bool::weighted(0.9),
            prop::bool::weighted(0.1),
            prop::bool::weighted(0.03),
            prop::bool::weighted(0.5),
        ],
        near(),
        near(),
        prop_oneof![any::<u16>(), Just(0)],
        0..2000_usize,
        prop::collection::vec((near(), near()), 0..=3),
        prop::option::of(near()),
    );
    prop_oneof![
        12 => segment.prop_map(|(flags, seq, ack, window, length, sack, clock)| Step::Segment {
            flags, seq, ack, window, length, sack, clock
        }),
        4 => (0..5000_usize).prop_map(Step::Write),
        2 => (0..5000_usize).prop_map(Step::Read),
        2 => (0..5_000_000_u64).prop_map(Step::Pass),
        4 => Just(Step::Deadline),
        1 => Just(Step::Shutdown),
        1 => Just(Step::Close),
        1 => (near(), 0..2000_usize).prop_map(|(seq, mtu)| Step::Shrink(seq, mtu)),
    ]
}

fn take(rig: &mut Rig, step: &Step) {
    match step {
        Step::Segment {
            flags: [syn, ack_flag, fin, rst, psh],
            seq,
            ack,
            window,
            length,
            sack,
            clock,
        } => {
            let relative =
                |base: vortex_tcp::Seq, by: i32| vortex_tcp::Seq(base.0.wrapping_add_signed(by));
            let mut segment = Segment {
                seq: relative(rig.seq, *seq),
                ack: relative(rig.ack, *ack),
                flags: Flags {
                    syn: *syn,
                    ack: *ack_flag,
                    fin: *fin,
                    rst: *rst,
                    psh: *psh,
                },
                window: *window,
                ..rig.segment("A")
            };
            for &(start, end) in sack {
                let (start, end) = (relative(rig.ack, start), relative(rig.ack, end));
                segment.options.sack.push(SackBlock { start, end });
            }
            let value = clock.map(|by| 1000_u32.wrapping_add_signed(by));
            segment.options.timestamps = value.map(|value| Timestamps { value, echo: value });
            rig.give(segment, &vec![7; *length]);
        }
        Step::Write(length) => {
            let piece = vortex_tcp::Piece::whole(crate::host::Bytes::new(&vec![7; *length]));
            let _ = rig.connection.write(piece, rig.now);
        }
        Step::Read(length) => rig.connection.consume(*length),
        Step::Pass(micros) => rig.pass(*micros),
        Step::Deadline => {
            if rig.connection.deadline().is_some() {
                rig.pass_to_deadline();
            }
        }
        Step::Shutdown => rig.connection.shutdown(),
        Step::Close => rig.connection.close(rig.now),
        Step::Shrink(seq, mtu) => {
            let seq = vortex_tcp::Seq(rig.ack.0.wrapping_add_signed(*seq));
            rig.connection.packet_too_big(seq, *mtu);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]
    #[test]
    fn nothing_breaks_a_connection(
        state in prop::sample::select(STATES.to_vec()),
        options in any::<[bool; 3]>(),
        steps in prop::collection::vec(steps(), 1..120),
    ) {
        let [timestamps, sack, window_scaling] = options;
        let config = Config {
            timestamps,
            sack,
            window_scaling,
            send_buffer: 20_000,
            receive_buffer: 20_000,
            receive_footprint: 2,
            ..Config::default()
        };
        let mut rig = Rig::in_state(state, config);
        for step in &steps {
            take(&mut rig, step);
            for seen in rig.sent() {
                prop_assert!(seen.payload.len() <= 1460);
                prop_assert!(seen.segment.header_length() + seen.payload.len() <= 1480);
                if !seen.segment.flags.rst && seen.segment.flags.ack {
                    rig.seq = seen.segment.ack;
                }
            }
            prop_assert!(rig.purse.held.get() <= 60_000);
            let (sending, received) = rig.connection.footprint();
            prop_assert_eq!(sending + received, rig.purse.held.get());
            if let Some(at) = rig.connection.deadline() {
                prop_assert!(at > rig.now, "nothing that is due is forgotten: {:?}", step);
            }
        }
        let purse = rig.purse.clone();
        drop(rig);
        prop_assert_eq!(purse.held.get(), 0);
    }
}

//! Opening (RFC 9293, section 3.5 and 3.10.7.3).

use vortex_tcp::{Config, Events, Failure, Segment, Seq, State};

use crate::rig::{IRS, ISS, Rig, plain};

#[test]
fn syn_has_what_we_can_do_and_syn_ack_decides() {
    let mut rig = Rig::established(Config::default());
    rig.write(&[1; 3000]);
    let seen = rig.sent();
    let lengths: Vec<usize> = seen.iter().map(|seen| seen.payload.len()).collect();
    assert_eq!(lengths, [1448, 1448, 104], "timestamps take 12 bytes");
    assert!(
        seen.iter()
            .all(|seen| seen.segment.options.timestamps.is_some())
    );
    assert_eq!(
        seen[0].segment.window,
        (262_144_u32 >> 3) as u16,
        "the window is scaled"
    );
}

#[test]
fn without_the_peers_options_none_is_used() {
    let mut rig = Rig::connecting(Config::default());
    rig.clock = None;
    let mut syn = rig.segment("SA");
    syn.options.mss = None;
    rig.give(syn, b"");
    rig.seq += 1;
    let ack = rig.one();
    assert_eq!(ack.segment.options, vortex_tcp::Options::default());
    rig.write(&[1; 1000]);
    assert_eq!(rig.sent()[0].payload.len(), 536, "RFC 9293, MUST-15");
}

#[test]
fn a_wrong_acknowledgment_of_syn_is_reset() {
    for flags in ["A", "SA", "FA"] {
        for ack in [ISS, ISS + 2, ISS - 1, ISS + (1 << 31)] {
            let mut rig = Rig::connecting(plain());
            rig.ack = ack;
            rig.give(rig.segment(flags), b"x");
            let reset = rig.one().segment;
            assert!(
                reset.flags.rst && !reset.flags.ack && reset.seq == ack,
                "{flags} {ack:?}"
            );
            assert_eq!(rig.connection.state(), State::SynSent);
        }
    }
    let mut rig = Rig::connecting(plain());
    rig.ack = ISS;
    rig.give(rig.segment("RA"), b"");
    rig.nothing();
    assert_eq!(
        rig.connection.state(),
        State::SynSent,
        "nor is such a reset believed"
    );
}

#[test]
fn a_reset_refuses_if_it_acknowledges_syn() {
    let mut rig = Rig::connecting(plain());
    rig.give(rig.segment("R"), b"");
    assert_eq!(rig.connection.state(), State::SynSent);
    rig.give(rig.segment("RA"), b"");
    assert_eq!(rig.connection.failure(), Some(Failure::Refused));
    assert!(rig.connection.take_events().contains(Events::CLOSED));
    rig.nothing();
    assert_eq!(rig.connection.deadline(), None);
}

#[test]
fn both_may_open_at_once() {
    let mut rig = Rig::connecting(plain());
    let syn = rig.segment("S");
    rig.give(syn.clone(), b"");
    assert_eq!(rig.connection.state(), State::SynReceived);
    let answer = rig.one().segment;
    assert!(answer.flags.syn && answer.flags.ack);
    assert_eq!((answer.seq, answer.ack), (ISS, IRS + 1));
    rig.seq += 1;
    let mut both = rig.segment("SA");
    both.seq = IRS;
    rig.give(both, b"");
    rig.sent();
    rig.give(rig.segment("A"), b"");
    assert_eq!(rig.connection.state(), State::Established);
    rig.write(b"hello");
    let data = rig.one();
    assert_eq!(
        (data.segment.seq, &data.payload[..]),
        (ISS + 1, &b"hello"[..])
    );
}

#[test]
fn syn_is_repeated_with_backoff_and_given_up() {
    let config = Config {
        syn_retries: 3,
        ..plain()
    };
    let mut rig = Rig::connecting(config);
    for expected in [1_000_000, 2_000_000, 4_000_000] {
        assert_eq!(rig.pass_to_deadline(), expected);
        let syn = rig.one().segment;
        assert!(syn.flags.syn && syn.seq == ISS);
    }
    assert_eq!(rig.pass_to_deadline(), 8_000_000);
    rig.nothing();
    assert_eq!(rig.connection.failure(), Some(Failure::TimedOut));
}

#[test]
fn after_a_lost_syn_the_window_is_one_segment() {
    let mut rig = Rig::connecting(plain());
    rig.pass_to_deadline();
    rig.one();
    let mut syn = rig.segment("SA");
    syn.options.mss = Some(1460);
    rig.give(syn, b"");
    rig.seq += 1;
    rig.sent();
    rig.write(&[1; 9000]);
    assert_eq!(rig.sent().len(), 1, "RFC 5681, section 3.1");
}

#[test]
fn a_half_open_connection_repeats_its_answer_to_a_repeated_syn() {
    let mut rig = Rig::accepted(plain());
    let mut syn = rig.segment("S");
    syn.seq = IRS;
    rig.give(syn, b"");
    let answer = rig.one().segment;
    assert!(answer.flags.syn && answer.flags.ack && answer.seq == ISS);
    rig.give(
        Segment {
            ack: Seq(77),
            ..rig.segment("A")
        },
        b"",
    );
    let reset = rig.one().segment;
    assert!(reset.flags.rst && reset.seq == Seq(77));
    assert_eq!(rig.connection.state(), State::SynReceived);
    rig.data(b"with data at once");
    assert_eq!(rig.connection.state(), State::Established);
    assert_eq!(rig.read(), b"with data at once");
}

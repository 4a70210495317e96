//! Resets and SYNs in every state (RFC 9293, section 3.10.7.4; RFC 5961).

use vortex_tcp::{Events, Failure, Segment, State};

use crate::rig::{Rig, plain};

const SYNCHRONIZED: [State; 7] = [
    State::Established,
    State::FinWait1,
    State::FinWait2,
    State::CloseWait,
    State::Closing,
    State::LastAck,
    State::TimeWait,
];

#[test]
fn a_reset_with_the_exact_number_ends_every_state() {
    for state in SYNCHRONIZED.into_iter().chain([State::SynReceived]) {
        let mut rig = Rig::in_state(state, plain());
        rig.give(rig.segment("R"), b"");
        rig.nothing();
        assert_eq!(rig.connection.state(), State::Closed, "{state:?}");
        assert!(
            rig.connection.take_events().contains(Events::CLOSED),
            "{state:?}"
        );
        assert_eq!(rig.connection.deadline(), None, "{state:?}");
        let expected = match state {
            State::SynReceived => Some(Failure::Refused),
            State::Closing | State::LastAck | State::TimeWait => None,
            _ => Some(Failure::Reset),
        };
        assert_eq!(rig.connection.failure(), expected, "{state:?}");
    }
}

#[test]
fn a_reset_elsewhere_in_the_window_is_challenged_and_outside_dropped() {
    for state in SYNCHRONIZED.into_iter().chain([State::SynReceived]) {
        let mut rig = Rig::in_state(state, plain());
        let near = Segment {
            seq: rig.seq + 1,
            ..rig.segment("R")
        };
        rig.give(near, b"");
        let sent = rig.sent();
        assert!(
            sent.iter()
                .all(|seen| seen.segment.flags.ack && !seen.segment.flags.rst)
        );
        if state != State::SynReceived {
            assert_eq!(sent[0].segment.ack, rig.seq, "{state:?}");
        }
        for far in [
            rig.seq - 1,
            rig.seq + 70_000 + (1 << 20),
            rig.seq + (1 << 31),
        ] {
            rig.give(
                Segment {
                    seq: far,
                    ..rig.segment("R")
                },
                b"",
            );
            rig.nothing();
        }
        assert_eq!(rig.connection.state(), state);
    }
}

#[test]
fn a_syn_is_challenged_whatever_its_number() {
    for state in SYNCHRONIZED {
        let mut rig = Rig::in_state(state, plain());
        let expected = rig.seq;
        for seq in [rig.seq, rig.seq + 5, rig.seq - 1, rig.seq + (1 << 30)] {
            rig.give(
                Segment {
                    seq,
                    ..rig.segment("S")
                },
                b"",
            );
            let answer = rig.one().segment;
            assert!(answer.flags.ack && !answer.flags.rst, "{state:?}");
            assert_eq!(answer.ack, expected, "{state:?}");
        }
        assert_eq!(rig.connection.state(), state);
    }
}

#[test]
fn challenges_are_limited() {
    let mut rig = Rig::established(plain());
    let mut answers = 0;
    for _ in 0..1000 {
        rig.give(rig.segment("S"), b"");
        answers += rig.sent().len();
    }
    assert_eq!(answers, 10);
    rig.pass(500_000);
    rig.give(rig.segment("S"), b"");
    assert_eq!(rig.sent().len(), 1);
}

#[test]
fn a_closed_connection_answers_by_a_reset() {
    let mut rig = Rig::in_state(State::Closed, plain());
    rig.sent();
    rig.give(rig.segment("A"), b"data");
    let reset = rig.one().segment;
    assert!(reset.flags.rst && reset.seq == rig.ack);
    rig.give(rig.segment("R"), b"");
    rig.nothing();
}

#[test]
fn abort_sends_a_reset_from_every_synchronized_state() {
    for state in SYNCHRONIZED.into_iter().chain([State::SynReceived]) {
        let mut rig = Rig::in_state(state, plain());
        rig.connection.abort();
        let reset = rig.one().segment;
        assert!(reset.flags.rst, "{state:?}");
        assert_eq!(reset.ack, rig.seq, "{state:?}");
        assert_eq!(rig.connection.state(), State::Closed);
        assert_eq!(rig.purse.held.get(), 0);
    }
    let mut rig = Rig::in_state(State::SynSent, plain());
    rig.connection.abort();
    rig.nothing();
}

#[test]
fn acknowledgments_of_what_was_never_sent_are_challenged() {
    let mut rig = Rig::established(plain());
    rig.ack += 1;
    rig.give(rig.segment("A"), b"");
    assert_eq!(rig.one().segment.ack, rig.seq);
    rig.ack = rig.ack - 100_000;
    rig.give(rig.segment("A"), b"data");
    assert_eq!(rig.sent().len(), 1, "far too old (RFC 5961, section 5)");
    assert_eq!(rig.connection.readable(), 0);
    assert_eq!(rig.connection.counters().bad_acks, 2);
}

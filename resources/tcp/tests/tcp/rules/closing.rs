//! Closing (RFC 9293, section 3.6).

use vortex_tcp::{Config, Events, Failure, KeepAlive, Late, SECOND, Segment, State, TimeWait};

use crate::rig::{Rig, plain};

#[test]
fn fin_follows_the_data() {
    let mut rig = Rig::established(plain());
    rig.write(b"bye");
    rig.connection.shutdown();
    let last = rig.one();
    assert!(last.segment.flags.fin && last.payload == b"bye");
    assert_eq!(rig.connection.state(), State::FinWait1);
    rig.acknowledge(3);
    assert_eq!(
        rig.connection.state(),
        State::FinWait1,
        "FIN is not acknowledged"
    );
    rig.acknowledge(1);
    assert_eq!(rig.connection.state(), State::FinWait2);
    assert!(rig.connection.take_events().contains(Events::SENT));
    rig.data(b"half-closed");
    assert_eq!(rig.read(), b"half-closed");
    rig.give(rig.segment("FA"), b"");
    assert_eq!(rig.connection.state(), State::TimeWait);
    rig.seq += 1;
    assert!(rig.sent().iter().any(|seen| seen.segment.ack == rig.seq));
}

#[test]
fn fin_with_data_and_a_lost_acknowledgment() {
    let mut rig = Rig::established(plain());
    let fin = rig.segment("FA");
    rig.give(fin.clone(), b"last words");
    rig.seq += 11;
    assert_eq!(rig.connection.state(), State::CloseWait);
    assert_eq!(rig.one().segment.ack, rig.seq);
    rig.give(fin, b"last words");
    assert_eq!(
        rig.one().segment.ack,
        rig.seq,
        "it is acknowledged once more"
    );
    assert_eq!(rig.read(), b"last words");
    assert!(rig.connection.is_at_end());
    rig.write(b"answer");
    assert_eq!(rig.one().payload, b"answer");
    rig.connection.shutdown();
    assert_eq!(rig.connection.state(), State::LastAck);
    assert!(rig.one().segment.flags.fin);
    rig.acknowledge(7);
    assert_eq!(
        (rig.connection.state(), rig.connection.failure()),
        (State::Closed, None)
    );
}

#[test]
fn both_may_close_at_once() {
    let mut rig = Rig::in_state(State::Closing, plain());
    rig.acknowledge(1);
    assert_eq!(rig.connection.state(), State::TimeWait);
    rig.pass_to_deadline();
    assert_eq!(
        (rig.connection.state(), rig.connection.failure()),
        (State::Closed, None)
    );
}

#[test]
fn fin_before_its_turn_waits() {
    let mut rig = Rig::established(plain());
    let mut fin = rig.segment("FA");
    fin.seq = rig.seq + 4;
    rig.give(fin, b"last");
    assert_eq!(rig.connection.state(), State::Established);
    rig.data(b"xxxx");
    assert_eq!(rig.connection.state(), State::CloseWait);
    assert_eq!(rig.read(), b"xxxxlast");
    let ack = rig.sent().pop().unwrap().segment.ack;
    assert_eq!(ack, rig.seq + 5);
}

#[test]
fn nothing_after_fin_is_believed() {
    let mut rig = Rig::established(plain());
    let mut fin = rig.segment("FA");
    fin.seq = rig.seq + 4;
    rig.give(fin, b"");
    let mut beyond = rig.segment("A");
    beyond.seq = rig.seq + 2;
    rig.give(beyond, b"abcdef");
    rig.data(b"ok");
    assert_eq!(rig.read(), b"okab");
    assert_eq!(rig.connection.state(), State::CloseWait);
}

#[test]
fn closing_with_data_unread_resets() {
    let mut rig = Rig::established(plain());
    rig.data(b"unread");
    rig.sent();
    rig.connection.close(rig.now);
    assert!(
        rig.one().segment.flags.rst,
        "RFC 9293, MUST-18 and RFC 2525, section 2.17"
    );
    assert_eq!(rig.connection.failure(), Some(Failure::Aborted));
    assert_eq!(rig.purse.held.get(), 0);
}

#[test]
fn data_for_an_application_that_is_gone_resets() {
    let mut rig = Rig::established(plain());
    rig.connection.close(rig.now);
    assert!(rig.one().segment.flags.fin);
    rig.acknowledge(1);
    assert_eq!(rig.connection.state(), State::FinWait2);
    rig.data(b"for nobody");
    assert!(rig.one().segment.flags.rst);
    assert_eq!(rig.purse.held.get(), 0);
}

#[test]
fn an_orphan_waits_for_the_peer_for_so_long() {
    let mut rig = Rig::established(plain());
    rig.connection.close(rig.now);
    rig.sent();
    rig.acknowledge(1);
    assert_eq!(rig.pass_to_deadline(), 60 * SECOND);
    assert_eq!(rig.connection.state(), State::Closed);
    let mut rig = Rig::in_state(State::FinWait2, plain());
    assert_eq!(
        rig.connection.deadline(),
        None,
        "who can still read waits forever"
    );
    rig.connection.close(rig.now);
    assert_eq!(rig.pass_to_deadline(), 60 * SECOND);
}

#[test]
fn time_wait_needs_a_record_only() {
    let config = Config {
        timestamps: false,
        ..Config::default()
    };
    let mut rig = Rig::in_state(State::TimeWait, config);
    let mut record = TimeWait::of(&rig.connection, rig.now).expect("it is in TIME-WAIT");
    assert!(size_of::<TimeWait>() <= 64);
    let ends = record.ends();
    rig.now = rig.now + SECOND;
    assert_eq!(record.segment(&rig.segment("A"), 0, rig.now), Late::Ignore);
    assert_eq!(
        record.segment(&rig.segment("R"), 0, rig.now),
        Late::Ignore,
        "RFC 1337"
    );
    let mut fin = rig.segment("FA");
    fin.seq = rig.seq - 1;
    let Late::Answer(answer) = record.segment(&fin, 0, rig.now) else {
        panic!("FIN that comes again is acknowledged");
    };
    assert_eq!((answer.ack, answer.seq), (rig.seq, rig.ack));
    assert!(record.ends() > ends, "and begins TIME-WAIT anew");
    let old = Segment {
        seq: rig.seq - 10,
        ..rig.segment("S")
    };
    assert!(matches!(record.segment(&old, 0, rig.now), Late::Answer(_)));
    let new = Segment {
        seq: rig.seq + 10,
        ..rig.segment("S")
    };
    assert_eq!(record.segment(&new, 0, rig.now), Late::MakeWay);
}

#[test]
fn an_idle_connection_is_probed_and_given_up() {
    let keep_alive = KeepAlive {
        idle: 60 * SECOND,
        interval: 10 * SECOND,
        probes: 3,
    };
    let mut rig = Rig::established(Config {
        keep_alive: Some(keep_alive),
        ..plain()
    });
    assert_eq!(rig.pass_to_deadline(), 60 * SECOND);
    let probe = rig.one();
    assert_eq!((probe.segment.seq, probe.payload.len()), (rig.ack - 1, 0));
    rig.acknowledge(0);
    rig.nothing();
    assert_eq!(rig.pass_to_deadline(), 60 * SECOND, "it answers");
    for _ in 0..3 {
        rig.one();
        assert_eq!(rig.pass_to_deadline(), 10 * SECOND);
    }
    assert_eq!(rig.connection.failure(), Some(Failure::TimedOut));
    assert!(rig.one().segment.flags.rst);
}

#[test]
fn data_may_wait_for_so_long() {
    let mut rig = Rig::established(Config {
        user_timeout: Some(5 * SECOND),
        ..plain()
    });
    rig.pass(100 * SECOND);
    assert_eq!(rig.connection.deadline(), None, "nothing waits");
    rig.write(b"data");
    let start = rig.now;
    while rig.connection.failure().is_none() {
        rig.sent();
        rig.pass_to_deadline();
    }
    assert_eq!(rig.now.since(start), 5 * SECOND);
    assert_eq!(rig.connection.failure(), Some(Failure::TimedOut));
}

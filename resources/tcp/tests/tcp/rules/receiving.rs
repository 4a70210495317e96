//! Receiving: order, the window, acknowledgments.

use vortex_tcp::{Config, MILLISECOND, SackBlock, Segment};

use crate::rig::{Rig, plain};

/// Beyond the first segments, which are acknowledged at once.
fn seasoned(config: Config) -> Rig {
    let mut rig = Rig::established(config);
    for _ in 0..20 {
        rig.data(&[1; 1000]);
        rig.read();
        rig.sent();
    }
    rig.pass(100 * MILLISECOND);
    rig.sent();
    rig
}

#[test]
fn every_second_full_segment_is_acknowledged_or_after_40_ms() {
    let mut rig = seasoned(plain());
    rig.data(&[1; 1000]);
    rig.nothing();
    rig.data(&[1; 1000]);
    assert_eq!(rig.one().segment.ack, rig.seq);
    rig.data(&[1; 1000]);
    rig.nothing();
    assert_eq!(rig.pass_to_deadline(), 40 * MILLISECOND);
    assert_eq!(rig.one().segment.ack, rig.seq);
    rig.data(b"question");
    rig.write(b"answer");
    let answer = rig.one();
    assert_eq!(
        (answer.segment.ack, &answer.payload[..]),
        (rig.seq, &b"answer"[..])
    );
    assert!(
        rig.connection.deadline().is_some(),
        "for the retransmission"
    );
}

#[test]
fn what_is_early_is_acknowledged_at_once_and_reported() {
    let mut rig = seasoned(Config {
        sack: true,
        ..plain()
    });
    let next = rig.seq;
    let mut early = rig.segment("A");
    early.seq = next + 10;
    rig.give(early.clone(), b"0123456789");
    let ack = rig.one().segment;
    let block = SackBlock {
        start: next + 10,
        end: next + 20,
    };
    assert_eq!((ack.ack, &ack.options.sack[..]), (next, &[block][..]));
    rig.give(early, b"0123456789");
    let ack = rig.one().segment;
    assert_eq!(
        &ack.options.sack[..],
        &[block, block],
        "RFC 2883: a duplicate inside a range"
    );
    rig.data(b"abcdefghij");
    let ack = rig.one().segment;
    assert_eq!((ack.ack, ack.options.sack.len()), (next + 20, 0));
    assert_eq!(rig.read(), b"abcdefghij0123456789");
    rig.give(
        Segment {
            seq: next,
            ..rig.segment("A")
        },
        b"abcde",
    );
    let ack = rig.one().segment;
    let block = SackBlock {
        start: next,
        end: next + 5,
    };
    assert_eq!(
        &ack.options.sack[..],
        &[block],
        "RFC 2883: an old duplicate"
    );
}

#[test]
fn the_window_closes_and_opens_by_worthwhile_steps() {
    let mut rig = Rig::established(Config {
        receive_buffer: 4000,
        ..plain()
    });
    for _ in 0..4 {
        rig.data(&[1; 1000]);
    }
    assert_eq!(rig.sent().pop().unwrap().segment.window, 0);
    rig.give(rig.segment("A"), &[9; 1000]);
    assert_eq!(
        rig.one().segment.ack,
        rig.seq,
        "a probe of the window is answered"
    );
    assert_eq!(rig.connection.readable(), 4000, "and not taken in");
    rig.connection.consume(100);
    rig.nothing();
    rig.connection.consume(900);
    assert_eq!(rig.one().segment.window, 1000);
    rig.connection.consume(3000);
    assert_eq!(rig.one().segment.window, 4000);
}

#[test]
fn the_window_is_never_taken_back() {
    let mut rig = Rig::established(Config {
        receive_buffer: 4000,
        ..plain()
    });
    let mut edge = rig.seq + 4000;
    for length in [1_usize, 999, 10, 1990, 3, 997] {
        rig.data(&vec![1; length]);
        for seen in rig.sent() {
            let next = seen.segment.ack + u32::from(seen.segment.window);
            assert!(!next.before(edge), "after {length}");
            edge = next;
        }
    }
}

#[test]
fn segments_at_the_edges_of_the_window() {
    let config = Config {
        receive_buffer: 100,
        receive_footprint: 1000,
        ..plain()
    };
    let mut rig = Rig::established(config);
    let base = rig.seq;
    for (start, length, readable) in [
        (-10_i32, 10_usize, 0),
        (-10, 11, 1),
        (100, 1, 1),
        (99, 5, 1),
        (150, 5, 1),
        (0, 1, 1),
        (1, 98, 100),
    ] {
        let mut segment = rig.segment("A");
        segment.seq = vortex_tcp::Seq(base.0.wrapping_add_signed(start));
        rig.give(segment, &vec![1; length]);
        rig.sent();
        assert_eq!(rig.connection.readable(), readable, "{start} {length}");
    }
}

#[test]
fn tiny_segments_do_not_hold_more_than_is_allowed() {
    let config = Config {
        receive_buffer: 100_000,
        receive_footprint: 2,
        ..plain()
    };
    let mut rig = Rig::established(config);
    rig.window = 60_000;
    for _ in 0..10_000 {
        let segment = rig.segment("A");
        rig.give(segment, b"x");
        let taken = rig.sent().last().map_or(rig.seq, |seen| seen.segment.ack);
        rig.seq = taken;
    }
    assert!(rig.purse.held.get() <= 200_000);
    assert!(rig.connection.counters().no_memory > 0);
    assert!(rig.connection.readable() >= 200_000 / 2048 - 1);
    rig.read();
    rig.data(b"again");
    assert_eq!(rig.read(), b"again");
    assert_eq!(rig.purse.held.get(), 0);
}

#[test]
fn early_segments_make_way_for_the_next_one() {
    let config = Config {
        receive_buffer: 50_000,
        receive_footprint: 1,
        ..plain()
    };
    let mut rig = Rig::established(config);
    for index in 0..200 {
        let mut early = rig.segment("A");
        early.seq = rig.seq + 1 + 2 * index;
        rig.give(early, b"x");
    }
    assert!(rig.purse.held.get() <= 50_000);
    rig.data(b"y");
    assert_eq!(
        rig.connection.readable(),
        2,
        "the next, and what follows it"
    );
}

#[test]
fn an_old_timestamp_is_a_duplicate() {
    let mut rig = Rig::established(Config {
        timestamps: true,
        ..plain()
    });
    rig.clock = Some(2000);
    rig.data(b"new");
    rig.sent();
    rig.clock = Some(1999);
    rig.give(rig.segment("A"), b"old");
    assert_eq!(rig.one().segment.ack, rig.seq, "PAWS");
    assert_eq!(rig.read(), b"new");
    rig.clock = None;
    rig.give(rig.segment("A"), b"none");
    rig.nothing();
    assert_eq!(rig.connection.counters().old_timestamps, 2);
    rig.clock = Some(1);
    rig.give(rig.segment("R"), b"");
    assert!(
        rig.connection.failure().is_some(),
        "resets are not subject to it"
    );
}

#[test]
fn the_account_may_refuse() {
    let mut rig = Rig::established(plain());
    rig.purse.limit.set(2047);
    rig.give(rig.segment("A"), b"no");
    assert_eq!(rig.connection.readable(), 0);
    assert_eq!(rig.connection.counters().no_memory, 1);
    rig.purse.limit.set(2048);
    rig.data(b"yes");
    assert_eq!(rig.read(), b"yes");
}

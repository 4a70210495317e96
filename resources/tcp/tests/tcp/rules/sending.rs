//! Sending: windows, small segments, timeouts, recovery.

use vortex_tcp::{Config, Events, Failure, Limits, MILLISECOND, Piece, Refusal, SECOND, SackBlock};

use crate::host::Bytes;
use crate::rig::{Rig, Seen, plain};

fn lengths(seen: &[Seen]) -> Vec<usize> {
    seen.iter().map(|seen| seen.payload.len()).collect()
}

#[test]
fn nagle_holds_a_second_small_segment_back() {
    let mut rig = Rig::established(plain());
    rig.write(b"one");
    assert_eq!(rig.one().payload, b"one");
    rig.write(b"two");
    rig.nothing();
    rig.write(&[7; 1457]);
    assert_eq!(lengths(&rig.sent()), [1460], "a full one goes");
    rig.write(b"three");
    rig.nothing();
    rig.acknowledge(1463);
    assert_eq!(rig.one().payload, b"three");
    rig.connection.set_nodelay(true);
    rig.write(b"four");
    assert_eq!(rig.one().payload, b"four");
}

#[test]
fn a_cork_holds_for_200_ms() {
    let mut rig = Rig::established(plain());
    rig.connection.set_cork(true, rig.now);
    rig.write(&[1; 2000]);
    assert_eq!(lengths(&rig.sent()), [1460]);
    rig.acknowledge(1460);
    rig.nothing();
    assert_eq!(rig.pass_to_deadline(), 200 * MILLISECOND);
    assert_eq!(lengths(&rig.sent()), [540]);
    rig.acknowledge(540);
    rig.connection.set_cork(true, rig.now);
    rig.write(b"x");
    rig.nothing();
    rig.connection.set_cork(false, rig.now);
    assert_eq!(rig.one().payload, b"x");
}

#[test]
fn a_closed_window_is_probed_forever_if_the_peer_answers() {
    let mut rig = Rig::established(plain());
    rig.window = 100;
    rig.acknowledge(0);
    rig.write(&[1; 300]);
    rig.nothing();
    // 100 of 300 bytes are not worthwhile at once (section 3.8.6.2.1), but better than nothing.
    rig.pass_to_deadline();
    assert_eq!(lengths(&rig.sent()), [100]);
    rig.window = 0;
    rig.acknowledge(100);
    rig.nothing();
    let mut waited = 0;
    for _ in 0..40 {
        let passed = rig.pass_to_deadline();
        assert!(passed >= waited, "longer each time");
        waited = passed;
        let probe = rig.one();
        assert_eq!((probe.segment.seq, probe.payload.len()), (rig.ack - 1, 0));
        rig.acknowledge(0);
        rig.nothing();
    }
    assert_eq!(waited, 120 * SECOND);
    rig.window = 10_000;
    rig.acknowledge(0);
    assert_eq!(lengths(&rig.sent()), [200]);
}

#[test]
fn a_closed_window_without_answers_ends() {
    let mut rig = Rig::established(Config {
        retries: 5,
        ..plain()
    });
    rig.window = 0;
    rig.acknowledge(0);
    rig.write(b"data");
    rig.nothing();
    for _ in 0..5 {
        rig.pass_to_deadline();
        rig.one();
    }
    rig.pass_to_deadline();
    assert_eq!(rig.connection.failure(), Some(Failure::TimedOut));
}

#[test]
fn the_window_is_used_to_its_last_byte_and_no_further() {
    let mut rig = Rig::established(plain());
    rig.window = 3000;
    rig.acknowledge(0);
    rig.write(&[1; 6000]);
    assert_eq!(lengths(&rig.sent()), [1460, 1460]);
    rig.window = 80;
    rig.acknowledge(2920);
    rig.nothing();
    rig.window = 2080;
    rig.acknowledge(0);
    assert_eq!(
        lengths(&rig.sent()),
        [1460],
        "the rest is not worthwhile yet"
    );
}

#[test]
fn an_old_segment_does_not_change_the_window() {
    let mut rig = Rig::established(plain());
    rig.data(b"new");
    let mut old = rig.segment("A");
    old.seq = rig.seq - 3;
    old.window = 0;
    rig.give(old, b"new");
    rig.write(b"data");
    assert!(rig.sent().iter().any(|seen| seen.payload == b"data"));
}

#[test]
fn data_is_repeated_with_backoff_and_given_up() {
    let mut rig = Rig::established(Config {
        retries: 4,
        ..plain()
    });
    rig.write(b"data");
    let first = rig.one();
    let mut waited = Vec::new();
    for _ in 0..4 {
        waited.push(rig.pass_to_deadline());
        assert_eq!(rig.one().segment.seq, first.segment.seq);
    }
    waited.push(rig.pass_to_deadline());
    assert!(
        waited.windows(2).all(|pair| pair[1] == 2 * pair[0]),
        "{waited:?}"
    );
    assert_eq!(waited[0], 200 * MILLISECOND);
    assert_eq!(rig.connection.failure(), Some(Failure::TimedOut));
}

#[test]
fn three_duplicates_repeat_the_first_segment() {
    let mut rig = Rig::established(plain());
    rig.write(&[1; 6 * 1460]);
    let sent = rig.sent();
    assert_eq!(sent.len(), 6);
    rig.acknowledge(0);
    rig.acknowledge(0);
    rig.nothing();
    rig.acknowledge(0);
    let again = rig.one();
    assert_eq!(again.segment.seq, sent[0].segment.seq);
    assert_eq!(again.payload.len(), 1460);
    rig.acknowledge(2 * 1460);
    assert_eq!(
        rig.sent()[0].segment.seq,
        sent[2].segment.seq,
        "a partial acknowledgment: NewReno"
    );
    rig.acknowledge(4 * 1460);
    rig.nothing();
    assert_eq!(rig.connection.counters().timeouts, 0);
}

fn with_sack() -> Rig {
    Rig::established(Config {
        sack: true,
        ..plain()
    })
}

fn sack(rig: &mut Rig, ranges: &[(u32, u32)]) {
    let mut segment = rig.segment("A");
    for &(start, end) in ranges {
        let (start, end) = (rig.ack + start * 1460, rig.ack + end * 1460);
        segment.options.sack.push(SackBlock { start, end });
    }
    rig.give(segment, b"");
}

#[test]
fn sack_repeats_only_what_is_missing() {
    let mut rig = with_sack();
    rig.write(&[1; 6 * 1460]);
    let sent = rig.sent();
    rig.pass(MILLISECOND);
    sack(&mut rig, &[(1, 2)]);
    rig.nothing();
    sack(&mut rig, &[(3, 5), (1, 2)]);
    let again = rig.sent();
    let numbers: Vec<_> = again.iter().map(|seen| seen.segment.seq).collect();
    assert_eq!(numbers[0], sent[0].segment.seq);
    assert!(
        numbers
            .iter()
            .all(|&seq| [sent[0].segment.seq, sent[2].segment.seq].contains(&seq))
    );
}

#[test]
fn a_lost_tail_is_probed_after_two_round_trips() {
    let mut rig = with_sack();
    rig.write(&[1; 1460]);
    rig.sent();
    rig.pass(10 * MILLISECOND);
    rig.acknowledge(1460);
    rig.write(&[2; 3 * 1460]);
    let sent = rig.sent();
    let waited = rig.pass_to_deadline();
    assert!(
        (19 * MILLISECOND..25 * MILLISECOND).contains(&waited),
        "{waited}"
    );
    let probe = rig.one();
    assert_eq!(
        probe.segment.seq, sent[2].segment.seq,
        "the last segment, once more"
    );
    rig.pass(10 * MILLISECOND);
    sack(&mut rig, &[(2, 3)]);
    assert_eq!(
        rig.sent()[0].segment.seq,
        sent[0].segment.seq,
        "its answer shows the losses"
    );
    assert_eq!(rig.connection.counters().timeouts, 0);
}

#[test]
fn super_segments_are_bounded_by_bytes_and_pieces() {
    let mut rig = Rig::established(plain());
    rig.window = 60_000;
    rig.acknowledge(0);
    for _ in 0..20 {
        rig.write(&[3; 700]);
    }
    let limits = Limits {
        bytes: 5000,
        pieces: 4,
    };
    let sent = lengths(&rig.sent_by(&limits));
    let (last, others) = sent.split_last().expect("some were sent");
    assert!(
        others.iter().all(|&length| length == 1460),
        "four pieces hold one segment: {sent:?}"
    );
    assert_eq!(
        *last,
        14_000 - 1460 * others.len(),
        "and the last one's four pieces hold the rest"
    );
    let mut rig = Rig::established(plain());
    rig.window = 60_000;
    rig.acknowledge(0);
    rig.write(&[3; 14_000]);
    assert_eq!(lengths(&rig.sent_by(&limits)), [4380, 4380, 4380, 860]);
}

#[test]
fn writes_are_bounded_and_say_when_there_is_room() {
    let mut rig = Rig::established(Config {
        send_buffer: 4000,
        ..plain()
    });
    rig.write(&[1; 3000]);
    let piece = || Piece::whole(Bytes::new(&[2; 2000]));
    let refused = rig.connection.write(piece(), rig.now);
    assert!(matches!(refused, Err((Refusal::Full, piece)) if piece.len() == 2000));
    assert_eq!(rig.purse.held.get(), 3000);
    rig.sent();
    rig.acknowledge(2920);
    assert!(rig.connection.take_events().contains(Events::WRITABLE));
    assert!(rig.connection.write(piece(), rig.now).is_ok());
    rig.connection.shutdown();
    let refused = rig.connection.write(piece(), rig.now);
    assert!(matches!(refused, Err((Refusal::Closed, _))));
}

#[test]
fn a_smaller_path_is_believed_if_it_quotes_what_is_outstanding() {
    let mut rig = Rig::established(plain());
    rig.write(&[1; 2920]);
    let first = rig.sent()[0].segment.seq;
    rig.connection.packet_too_big(first - 5000, 600);
    rig.connection.packet_too_big(first + 5000, 600);
    rig.nothing();
    rig.connection.packet_too_big(first + 1460, 600);
    let again = rig.sent();
    assert_eq!(again[0].segment.seq, first);
    assert!(
        again.iter().all(|seen| seen.payload.len() <= 560),
        "{:?}",
        lengths(&again)
    );
    rig.connection.packet_too_big(first, 0);
    rig.acknowledge(560);
    let lengths = lengths(&rig.sent());
    assert!(
        lengths.iter().max() == Some(&64),
        "no segment is made tiny: {lengths:?}"
    );
}

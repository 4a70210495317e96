//! Recoveries that are taken back, because nothing was lost: Eifel (RFC 3522, RFC 4015) and DSACK
//! (RFC 3708).

use vortex_tcp::{Config, MILLISECOND, SackBlock, Seq};

use crate::rig::{Rig, plain};

const MSS: u32 = 1460;
/// Beside timestamps.
const SHORT: u32 = MSS - 12;

fn rig(timestamps: bool) -> Rig {
    let mut rig = Rig::established(Config {
        sack: true,
        timestamps,
        ..plain()
    });
    rig.window = 60_000;
    rig.acknowledge(0);
    rig
}

/// The peer's acknowledgment up to `ack`, with blocks and what it echoes.
fn answer(rig: &mut Rig, ack: Seq, blocks: &[(Seq, Seq)], echo: u32) {
    rig.ack = ack;
    let mut segment = rig.segment("A");
    if let Some(stamps) = &mut segment.options.timestamps {
        stamps.echo = echo;
    }
    for &(start, end) in blocks {
        segment.options.sack.push(SackBlock { start, end });
    }
    rig.give(segment, b"");
}

fn undone(rig: &Rig) -> u64 {
    rig.connection.counters().undone
}

/// Ten segments are out, the first was sent again because five after it have arrived. Returns
/// their first number, and when by our clock they were sent, first and again.
fn repeated(rig: &mut Rig, mss: u32) -> (Seq, u32, u32) {
    let first = rig.ack;
    let clock = |rig: &Rig| (rig.now.0 / MILLISECOND) as u32;
    rig.write(&vec![1; 10 * mss as usize]);
    assert_eq!(rig.sent().len(), 10);
    let sent = clock(rig);
    rig.pass(10 * MILLISECOND);
    answer(rig, first, &[(first + mss, first + 6 * mss)], sent);
    let again = rig.sent();
    assert_eq!((again[0].segment.seq, again.len()), (first, 1));
    (first, sent, clock(rig))
}

/// How many segments are sent when there is much to send.
fn burst(rig: &mut Rig) -> usize {
    rig.write(&[2; 40 * MSS as usize]);
    rig.sent().len()
}

#[test]
fn an_echo_of_the_first_transmission_takes_the_recovery_back() {
    let windows = [true, false].map(|is_first| {
        let mut rig = rig(true);
        let (first, sent, again) = repeated(&mut rig, SHORT);
        rig.pass(2 * MILLISECOND);
        let echo = if is_first { sent } else { again };
        answer(&mut rig, first + 6 * SHORT, &[], echo);
        assert_eq!(undone(&rig), u64::from(is_first));
        rig.pass(2 * MILLISECOND);
        answer(&mut rig, first + 10 * SHORT, &[], again);
        burst(&mut rig)
    });
    assert!(
        windows[0] >= 10 && windows[1] < 10,
        "ten segments were the window: {windows:?}"
    );
}

#[test]
fn an_echo_counts_at_the_first_acknowledgment_only() {
    let mut rig = rig(true);
    let (first, sent, again) = repeated(&mut rig, SHORT);
    rig.pass(2 * MILLISECOND);
    answer(&mut rig, first + 6 * SHORT, &[], again);
    answer(&mut rig, first + 7 * SHORT, &[], sent);
    assert_eq!(undone(&rig), 0);
}

#[test]
fn a_timeout_that_was_too_early_is_taken_back_and_the_rest_is_not_repeated() {
    let mut rig = rig(true);
    let first = rig.ack;
    rig.write(&[1; 6 * SHORT as usize]);
    assert_eq!(rig.sent().len(), 6);
    let sent = (rig.now.0 / MILLISECOND) as u32;
    while rig.connection.counters().timeouts == 0 {
        rig.pass_to_deadline();
        if rig.connection.counters().timeouts == 0 {
            rig.sent();
        }
    }
    let again = rig.sent();
    assert_eq!((again[0].segment.seq, again.len()), (first, 1));
    rig.pass(MILLISECOND);
    answer(&mut rig, first + SHORT, &[], sent);
    assert_eq!(undone(&rig), 1);
    rig.nothing();
}

#[test]
fn a_report_of_all_that_was_repeated_takes_the_recovery_back() {
    let windows = [true, false].map(|is_reported| {
        let mut rig = rig(false);
        let (first, ..) = repeated(&mut rig, MSS);
        rig.pass(2 * MILLISECOND);
        answer(&mut rig, first + 10 * MSS, &[], 0);
        assert_eq!(undone(&rig), 0, "not known yet: the recovery is over");
        if is_reported {
            rig.pass(8 * MILLISECOND);
            let all = first + 10 * MSS;
            answer(&mut rig, all, &[(first, first + MSS)], 0);
        }
        assert_eq!(undone(&rig), u64::from(is_reported));
        // Slow start, up to what the window was.
        let sent = burst(&mut rig);
        let all = first + 10 * MSS + sent as u32 * MSS;
        answer(&mut rig, all, &[], 0);
        rig.sent().len()
    });
    assert!(windows[0] > windows[1], "{windows:?}");
}

#[test]
fn a_report_of_something_else_a_late_one_and_one_too_many_prove_nothing() {
    let mut rig = rig(false);
    let (first, ..) = repeated(&mut rig, MSS);
    let all = first + 10 * MSS;
    answer(&mut rig, all, &[], 0);
    answer(&mut rig, all, &[(first + 3 * MSS, first + 4 * MSS)], 0);
    assert_eq!(
        undone(&rig),
        0,
        "that was sent once: the wire doubles packets"
    );
    answer(&mut rig, all, &[(first, first + MSS)], 0);
    assert_eq!(undone(&rig), 0, "and may have doubled this one");

    let mut rig = self::rig(false);
    let (first, ..) = repeated(&mut rig, MSS);
    let all = first + 10 * MSS;
    answer(&mut rig, all, &[], 0);
    rig.pass(500 * MILLISECOND);
    answer(&mut rig, all, &[(first, first + MSS)], 0);
    assert_eq!(undone(&rig), 0, "late");
}

#[test]
fn of_two_segments_that_were_repeated_both_must_have_come_twice() {
    let mut rig = rig(false);
    let first = rig.ack;
    rig.write(&[1; 10 * MSS as usize]);
    rig.sent();
    rig.pass(10 * MILLISECOND);
    answer(&mut rig, first, &[(first + 2 * MSS, first + 8 * MSS)], 0);
    let again = rig.sent();
    assert_eq!(again.len(), 2, "{again:?}");
    let all = first + 10 * MSS;
    answer(&mut rig, all, &[(first, first + MSS)], 0);
    assert_eq!(undone(&rig), 0);
    answer(&mut rig, all, &[(first + MSS, first + 2 * MSS)], 0);
    assert_eq!(undone(&rig), 1);
}

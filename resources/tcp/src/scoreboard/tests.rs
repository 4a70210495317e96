use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const MSS: u32 = 100;
const BASE: Seq = Seq(u32::MAX - 450);

fn block(start: u32, end: u32) -> SackBlock {
    SackBlock {
        start: BASE + start,
        end: BASE + end,
    }
}

fn board(segments: u32) -> Scoreboard {
    let mut board = Scoreboard::new(BASE);
    for index in 0..segments {
        board.push(MSS, Instant(u64::from(index)));
    }
    board
}

fn shape(board: &Scoreboard) -> Vec<(u32, u32, Whereabouts)> {
    let records = board.records.iter();
    records
        .map(|record| {
            (
                record.start.since(BASE),
                record.end.since(BASE),
                record.whereabouts,
            )
        })
        .collect()
}

#[test]
fn a_super_segment_is_split_at_segments_only() {
    let mut board = Scoreboard::new(BASE);
    board.push(10 * MSS, Instant(0));
    assert_eq!(board.sack(block(250, 480), MSS, |_| {}), 100);
    let (travelling, sacked) = (Whereabouts::Travelling, Whereabouts::Sacked);
    assert_eq!(
        shape(&board),
        [
            (0, 300, travelling),
            (300, 400, sacked),
            (400, 1000, travelling)
        ]
    );
    assert_eq!(board.sack(block(400, 1000), MSS, |_| {}), 600);
    assert_eq!(shape(&board), [(0, 300, travelling), (300, 1000, sacked)]);
    assert_eq!((board.pipe(), board.sacked()), (300, 700));
    assert_eq!(board.acknowledge(BASE + 1000, |_| {}), 300);
    assert_eq!((board.outstanding(), board.sacked()), (0, 0));
}

#[test]
fn blocks_that_cannot_be_are_ignored() {
    let mut board = board(4);
    for (start, end) in [(100, 100), (200, 100), (300, 500), (1000, 1100)] {
        assert_eq!(
            board.sack(block(start, end), MSS, |_| {}),
            0,
            "{start} {end}"
        );
    }
    assert_eq!(
        board.sack(
            SackBlock {
                start: BASE - 100,
                end: BASE + 100
            },
            MSS,
            |_| {}
        ),
        0
    );
    assert_eq!(board.sacked(), 0);
}

#[test]
fn losses_are_sent_again_in_order() {
    let mut board = board(6);
    board.judge(|record| {
        if record.at < Instant(3) {
            Verdict::Lost
        } else {
            Verdict::Stop
        }
    });
    assert_eq!((board.lost(), board.pipe()), (300, 300));
    assert_eq!(board.next_lost(), Some((BASE, BASE + 100)));
    board.retransmit(BASE, BASE + 60, Instant(9));
    assert_eq!(board.next_lost(), Some((BASE + 60, BASE + 100)));
    board.retransmit(BASE + 60, BASE + 100, Instant(9));
    assert_eq!(board.next_lost(), Some((BASE + 100, BASE + 200)));
    assert_eq!((board.lost(), board.pipe()), (200, 400));
    board.lose_first(60);
    assert_eq!(board.next_lost(), Some((BASE, BASE + 60)));
}

#[derive(Clone, Debug)]
enum Step {
    Push(u32),
    Acknowledge(u32),
    Sack(u32, u32),
    LoseBefore(u64),
    Retransmit,
    LoseFirst(u32),
    Forget,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_u32..500).prop_map(Step::Push),
        (0_u32..3000).prop_map(Step::Acknowledge),
        (0_u32..3000, 0_u32..3000).prop_map(|(start, end)| Step::Sack(start, end)),
        (0_u64..100).prop_map(Step::LoseBefore),
        Just(Step::Retransmit),
        (0_u32..500).prop_map(Step::LoseFirst),
        Just(Step::Forget),
    ]
}

proptest! {
    /// Sums fit the records, the records fit together, and there are not too many.
    #[test]
    fn the_sums_are_right(steps in prop::collection::vec(steps(), 1..80)) {
        let mut board = Scoreboard::new(BASE);
        for (index, step) in steps.into_iter().enumerate() {
            let now = Instant(index as u64);
            match step {
                Step::Push(length) => board.push(length, now),
                Step::Acknowledge(length) => {
                    let ack = board.una() + length.min(board.outstanding());
                    board.acknowledge(ack, |_| {});
                }
                Step::Sack(start, end) => {
                    let (start, end) = (board.una() + start, board.una() + end);
                    board.sack(SackBlock { start, end }, MSS, |_| {});
                }
                Step::LoseBefore(at) => {
                    board.judge(|record| if record.at.0 < at { Verdict::Lost } else { Verdict::Keep });
                }
                Step::Retransmit => {
                    if let Some((start, end)) = board.next_lost() {
                        board.retransmit(start, start + MSS.min(end.since(start)), now);
                    }
                }
                Step::LoseFirst(length) => board.lose_first(length),
                Step::Forget => board.forget_sacked(),
            }
            let sum = |of: Whereabouts| -> u32 {
                board.records.iter().filter(|record| record.whereabouts == of).map(Sent::len).sum()
            };
            prop_assert_eq!(sum(Whereabouts::Sacked), board.sacked());
            prop_assert_eq!(sum(Whereabouts::Lost), board.lost());
            prop_assert_eq!(sum(Whereabouts::Travelling), board.pipe());
            let mut next = board.una();
            for record in &board.records {
                prop_assert_eq!(record.start, next);
                prop_assert!(record.end.after(record.start));
                next = record.end;
            }
            if let Some((start, _)) = board.next_lost() {
                let is_lost = |record: &&Sent| record.whereabouts == Whereabouts::Lost;
                prop_assert_eq!(board.records.iter().find(is_lost).map(|record| record.start), Some(start));
            }
        }
    }
}

#[test]
fn what_was_taken_for_lost_is_on_its_way_again() {
    let mut board = board(4);
    board.sack(block(200, 300), MSS, |_| ());
    board.lose_first(2 * MSS);
    board.retransmit(BASE, BASE + MSS, Instant(9));
    assert_eq!((board.lost(), board.pipe()), (MSS, 2 * MSS));
    board.forget_lost();
    assert_eq!((board.lost(), board.pipe()), (0, 3 * MSS));
    assert_eq!(board.next_lost(), None);
    board.lose_first(2 * MSS);
    assert_eq!(
        board.next_lost(),
        Some((BASE, BASE + MSS)),
        "and may be lost once more"
    );
}

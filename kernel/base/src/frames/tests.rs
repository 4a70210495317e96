//! The allocator against a naive model that remembers the owner of every frame.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn range(start: u64, end: u64) -> FrameRange {
    FrameRange::new(Frame::new(start), Frame::new(end))
}

fn storage(ranges: &[FrameRange]) -> Vec<u64> {
    vec![u64::MAX; words_needed(ranges)]
}

fn order(n: u8) -> Order {
    Order::new(n).expect("an order there is")
}

#[test]
fn every_frame_is_given_once_and_then_none() {
    let ranges = [range(0x100, 0x105), range(0x7ff, 0x1403)];
    let mut words = storage(&ranges);
    let mut allocator = FrameAllocator::new(&ranges, &mut words).expect("it fits");
    let mut given: Vec<u64> = core::iter::from_fn(|| allocator.allocate())
        .map(Frame::number)
        .collect();
    assert_eq!(given.first(), Some(&0x1402), "the best fit");
    given.sort_unstable();
    assert_eq!(
        given,
        (0x100..0x105).chain(0x7ff..0x1403).collect::<Vec<_>>()
    );
    assert_eq!(allocator.statistics().free, 0);
    assert_eq!(allocator.allocate_block(Order::MAX), None);
}

#[test]
fn faulty_frees_are_told_apart_and_change_nothing() {
    let ranges = [range(0x400, 0x800)];
    let mut words = storage(&ranges);
    let mut allocator = FrameAllocator::new(&ranges, &mut words).expect("it fits");
    let large = allocator
        .allocate_block(Order::LARGE_PAGE)
        .expect("a 2 MiB block");
    let one = allocator.allocate().expect("a frame");
    let before = allocator.statistics();

    let outside = Frame::new(0x3ff);
    assert_eq!(allocator.free(outside), Err(FreeError::Foreign(outside)));
    assert_eq!(
        allocator.free(Frame::END),
        Err(FreeError::Foreign(Frame::END))
    );
    let wrong = FreeError::WrongOrder {
        frame: large,
        allocated: Order::LARGE_PAGE,
        freed: Order::FRAME,
    };
    assert_eq!(allocator.free(large), Err(wrong));
    assert_eq!(
        allocator.free(large.plus(1)),
        Err(FreeError::NotAllocated(large.plus(1)))
    );
    assert_eq!(allocator.statistics(), before);

    assert_eq!(allocator.free(one), Ok(()));
    assert_eq!(
        allocator.free(one),
        Err(FreeError::NotAllocated(one)),
        "a double free"
    );
    assert_eq!(allocator.free_block(large, Order::LARGE_PAGE), Ok(()));
    assert_eq!(
        allocator.statistics().free_blocks[Order::MAX.index()],
        1,
        "all merged"
    );
}

#[test]
fn memory_below_a_limit_is_kept_for_those_who_need_it() {
    // 16 MiB below 4 GiB and 16 MiB above.
    let four_gib = Frame::containing(1 << 32);
    let ranges = [range(0xf_0000, 0xf_1000), range(0x10_0000, 0x10_1000)];
    let mut words = storage(&ranges);
    let mut allocator = FrameAllocator::new(&ranges, &mut words).expect("it fits");
    assert!(allocator.allocate().expect("a frame") >= four_gib);
    assert_eq!(
        allocator.allocate_below(Order::LARGE_PAGE, four_gib),
        Some(Frame::new(0xf_0000))
    );
    assert_eq!(
        allocator.allocate_below(Order::FRAME, Frame::new(0xf_0000)),
        None
    );
    let mut low = 0;
    while let Some(frame) = allocator.allocate_below(Order::FRAME, four_gib) {
        assert!(frame < four_gib);
        low += 1;
    }
    assert_eq!(low, 0x1000 - 512);
}

#[test]
fn a_block_that_crosses_the_limit_still_gives_its_lower_part() {
    let ranges = [range(0x400, 0x800)];
    let mut words = storage(&ranges);
    let mut allocator = FrameAllocator::new(&ranges, &mut words).expect("it fits");
    let limit = Frame::new(0x402);
    assert_eq!(
        allocator.allocate_below(order(1), limit),
        Some(Frame::new(0x400))
    );
    assert_eq!(allocator.allocate_below(Order::FRAME, limit), None);
}

#[test]
fn blocks_never_span_a_hole() {
    // Two ranges that touch frame to frame would make one block; with a hole they must not.
    let ranges = [range(0x400, 0x5ff), range(0x600, 0x800)];
    let mut words = storage(&ranges);
    let mut allocator = FrameAllocator::new(&ranges, &mut words).expect("it fits");
    assert_eq!(
        allocator.allocate_block(Order::LARGE_PAGE),
        Some(Frame::new(0x600))
    );
    assert_eq!(allocator.allocate_block(Order::LARGE_PAGE), None);
    assert_eq!(allocator.allocate_block(order(8)), Some(Frame::new(0x400)));
}

#[test]
fn what_cannot_be_set_up_is_refused() {
    let good = [range(0x100, 0x200)];
    let mut words = storage(&good);
    let needed = words.len();
    words.pop();
    assert_eq!(
        FrameAllocator::new(&good, &mut words).err(),
        Some(SetupError::Storage {
            needed,
            given: needed - 1
        })
    );
    let unsorted = [range(0x100, 0x200), range(0x1ff, 0x300)];
    let error = FrameAllocator::new(&unsorted, &mut storage(&unsorted)).err();
    assert_eq!(error, Some(SetupError::Unsorted(unsorted[1])));
    let many: Vec<FrameRange> = (0..=MAX_RANGES as u64)
        .map(|i| range(2 * i, 2 * i + 1))
        .collect();
    let error = FrameAllocator::new(&many, &mut storage(&many)).err();
    assert_eq!(error, Some(SetupError::TooManyRanges(MAX_RANGES + 1)));
}

#[test]
fn without_memory_there_is_an_allocator_that_gives_nothing() {
    let mut words = storage(&[]);
    let mut allocator = FrameAllocator::new(&[], &mut words).expect("it fits");
    assert_eq!(allocator.allocate(), None);
    assert_eq!(
        allocator.free(Frame::new(0)),
        Err(FreeError::Foreign(Frame::new(0)))
    );
}

#[test]
fn a_tebibyte_is_set_up_as_large_blocks() {
    let ranges = [range(0x100, 1 << 28)];
    let mut words = storage(&ranges);
    assert!(words.len() < (1 << 28) / 15, "about four bits a frame");
    let mut allocator = FrameAllocator::new(&ranges, &mut words).expect("it fits");
    let fresh = allocator.statistics().free_blocks;
    assert_eq!(fresh, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, (1 << 18) - 1]);
    assert_eq!(
        allocator.allocate(),
        Some(Frame::new(0x100)),
        "the best fit"
    );
    assert_eq!(allocator.statistics().free, (1 << 28) - 0x100 - 1);
}

#[test]
fn what_is_allocated_in_a_row_lies_in_a_row_and_leaves_low_memory() {
    let ranges = [range(0x400, 0xc00)];
    let mut words = storage(&ranges);
    let mut allocator = FrameAllocator::new(&ranges, &mut words).expect("it fits");
    for number in 0x800..0xc00 {
        assert_eq!(allocator.allocate(), Some(Frame::new(number)));
    }
    assert_eq!(allocator.allocate(), Some(Frame::new(0x400)));
}

#[test]
fn orders_round_up_to_what_fits() {
    assert_eq!(Order::for_frames(1), Some(Order::FRAME));
    assert_eq!(Order::for_frames(3), Some(order(2)));
    assert_eq!(Order::for_frames(512), Some(Order::LARGE_PAGE));
    assert_eq!(Order::for_frames(1024), Some(Order::MAX));
    assert_eq!(Order::for_frames(1025), None);
    assert_eq!(Order::for_frames(u64::MAX), None);
    assert_eq!(Order::new(11), None);
}

/// What a test does to the allocator; numbers pick among what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Allocate(Order),
    AllocateBelow(Order, u64),
    Free(usize),
    FreeWrongly(u64, Order),
}

const SPAN: u64 = 0x1800;

fn steps() -> impl Strategy<Value = Step> {
    let any_order = || (0..=Order::MAX.0).prop_map(Order);
    prop_oneof![
        4 => any_order().prop_map(Step::Allocate),
        2 => Just(Step::Allocate(Order::FRAME)),
        2 => (any_order(), 0..SPAN).prop_map(|(order, limit)| Step::AllocateBelow(order, limit)),
        5 => any::<usize>().prop_map(Step::Free),
        1 => (0..SPAN, any_order()).prop_map(|(frame, order)| Step::FreeWrongly(frame, order)),
    ]
}

/// Sorted disjoint ranges within [`SPAN`], from any set of cut points.
fn some_ranges() -> impl Strategy<Value = Vec<FrameRange>> {
    prop::collection::btree_set(0..SPAN, 0..12).prop_map(|cuts| {
        let cuts: Vec<u64> = cuts.into_iter().collect();
        cuts.chunks_exact(2)
            .map(|pair| range(pair[0], pair[1]))
            .collect()
    })
}

/// Which frames are taken, kept frame by frame.
struct Model {
    free: Vec<bool>,
    free_frames: u64,
    blocks: BTreeMap<u64, Order>,
}

impl Model {
    fn new(ranges: &[FrameRange]) -> Self {
        let ours = |frame| ranges.iter().any(|range| range.contains(Frame::new(frame)));
        let free: Vec<bool> = (0..SPAN).map(ours).collect();
        let free_frames = free.iter().filter(|free| **free).count() as u64;
        Self {
            free,
            free_frames,
            blocks: BTreeMap::new(),
        }
    }

    /// Whether some aligned block of `order` that ends by `limit` is all free.
    fn has_block(&self, order: Order, limit: u64) -> bool {
        let size = order.frames();
        (0..limit / size).any(|block| {
            self.free[(block * size) as usize..][..size as usize]
                .iter()
                .all(|free| *free)
        })
    }

    fn hand_out(&mut self, frame: Frame, order: Order) {
        assert_eq!(frame.number() % order.frames(), 0, "aligned");
        let frames = &mut self.free[frame.number() as usize..][..order.frames() as usize];
        assert!(
            frames.iter().all(|free| *free),
            "handed out twice, or not ours: {frame:?}"
        );
        frames.fill(false);
        self.free_frames -= order.frames();
        self.blocks.insert(frame.number(), order);
    }

    fn give_back(&mut self, pick: usize) -> Option<(Frame, Order)> {
        let (&start, &order) = self.blocks.iter().nth(pick % self.blocks.len().max(1))?;
        self.blocks.remove(&start);
        self.free[start as usize..][..order.frames() as usize].fill(true);
        self.free_frames += order.frames();
        Some((Frame::new(start), order))
    }

    fn step(&mut self, allocator: &mut FrameAllocator<'_>, step: Step) {
        match step {
            Step::Allocate(order) => match allocator.allocate_block(order) {
                Some(frame) => self.hand_out(frame, order),
                None => assert!(!self.has_block(order, SPAN)),
            },
            Step::AllocateBelow(order, limit) => {
                match allocator.allocate_below(order, Frame::new(limit)) {
                    Some(frame) => {
                        assert!(frame.number() + order.frames() <= limit);
                        self.hand_out(frame, order);
                    }
                    None => assert!(!self.has_block(order, limit)),
                }
            }
            Step::Free(pick) => {
                if let Some((frame, order)) = self.give_back(pick) {
                    assert_eq!(allocator.free_block(frame, order), Ok(()));
                }
            }
            Step::FreeWrongly(frame, order) => {
                if self.blocks.get(&frame) != Some(&order) {
                    assert!(allocator.free_block(Frame::new(frame), order).is_err());
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn the_allocator_does_what_the_model_does(
        ranges in some_ranges(),
        steps in prop::collection::vec(steps(), 0..120),
    ) {
        let mut words = storage(&ranges);
        let mut allocator = FrameAllocator::new(&ranges, &mut words).expect("it fits");
        let fresh = allocator.statistics();
        let mut model = Model::new(&ranges);
        prop_assert_eq!(fresh.free, model.free_frames);
        for step in steps {
            model.step(&mut allocator, step);
            prop_assert_eq!(allocator.statistics().free, model.free_frames);
        }
        while let Some((frame, order)) = model.give_back(0) {
            prop_assert_eq!(allocator.free_block(frame, order), Ok(()));
        }
        prop_assert_eq!(allocator.statistics(), fresh, "all comes back and merges");
    }
}

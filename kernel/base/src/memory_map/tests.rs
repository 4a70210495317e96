//! Against a naive model: one flag per byte of a small address space.

use proptest::prelude::*;

use super::*;
use crate::address::FRAME_SIZE;

fn usable(start: u64, end: u64) -> Region {
    Region {
        start,
        end,
        usable: true,
    }
}

fn taken(start: u64, end: u64) -> Region {
    Region {
        start,
        end,
        usable: false,
    }
}

fn map(regions: &[Region], reserved: &[Reserved]) -> MemoryMap {
    MemoryMap::new(regions.iter().copied(), reserved)
}

fn ranges(list: &[FrameRange]) -> Vec<(u64, u64)> {
    list.iter()
        .map(|range| (range.start.address(), range.end.address()))
        .collect()
}

#[test]
fn an_ordinary_map_is_kept_as_it_is() {
    let map = map(
        &[
            usable(0, 0x9_f000),
            taken(0x9_f000, 0x10_0000),
            usable(0x10_0000, 0x800_0000),
        ],
        &[],
    );
    assert_eq!(ranges(map.low()), [(0, 0x9_f000)]);
    assert_eq!(ranges(map.main()), [(0x10_0000, 0x800_0000)]);
    assert_eq!((map.low_frames(), map.main_frames()), (0x9f, 0x7f00));
}

#[test]
fn touching_and_overlapping_regions_become_one_range() {
    let map = map(
        &[
            usable(0x40_0000, 0x50_0800),
            usable(0x20_0000, 0x40_0000),
            usable(0x50_0800, 0x60_0000),
        ],
        &[],
    );
    assert_eq!(ranges(map.main()), [(0x20_0000, 0x60_0000)]);
}

#[test]
fn a_frame_with_one_reserved_byte_is_not_usable() {
    let map = map(
        &[usable(0x10_0000, 0x10_4000)],
        &[Reserved {
            start: 0x10_1fff,
            len: 1,
        }],
    );
    assert_eq!(
        ranges(map.main()),
        [(0x10_0000, 0x10_1000), (0x10_2000, 0x10_4000)]
    );
}

#[test]
fn what_is_not_usable_wins_where_regions_overlap() {
    let map = map(
        &[taken(0x20_0000, 0x30_0000), usable(0x10_0000, 0x40_0000)],
        &[],
    );
    assert_eq!(
        ranges(map.main()),
        [(0x10_0000, 0x20_0000), (0x30_0000, 0x40_0000)]
    );
}

#[test]
fn the_top_of_the_address_space_is_cut_to_what_processors_reach() {
    let map = map(
        &[usable(0x10_0000, u64::MAX)],
        &[Reserved {
            start: 0x20_0000,
            len: u64::MAX,
        }],
    );
    assert_eq!(ranges(map.main()), [(0x10_0000, 0x20_0000)]);
    let map = self::map(
        &[
            usable(PHYSICAL_END - 0x1000, u64::MAX),
            usable(u64::MAX - 5, u64::MAX),
        ],
        &[],
    );
    assert_eq!(ranges(map.main()), [(PHYSICAL_END - 0x1000, PHYSICAL_END)]);
}

#[test]
fn empty_and_backward_regions_count_for_nothing() {
    let map = map(
        &[
            usable(0x20_0000, 0x20_0000),
            usable(0x50_0000, 0x10_0000),
            taken(9, 3),
        ],
        &[],
    );
    assert_eq!(map, MemoryMap::default());
}

#[test]
fn a_range_over_one_mib_is_split_there() {
    let map = map(&[usable(0xf_e000, 0x10_2000)], &[]);
    assert_eq!(ranges(map.low()), [(0xf_e000, 0x10_0000)]);
    assert_eq!(ranges(map.main()), [(0x10_0000, 0x10_2000)]);
}

#[test]
fn low_frames_are_taken_from_the_top_and_frame_zero_is_kept() {
    let mut map = map(&[usable(0, 0x1000), usable(0x8000, 0xa000)], &[]);
    let taken: Vec<u64> = core::iter::from_fn(|| map.take_low_frame())
        .map(Frame::address)
        .collect();
    assert_eq!(taken, [0x9000, 0x8000]);
    assert_eq!(ranges(map.low()), [(0, 0x1000)]);
}

#[test]
fn frames_are_taken_from_the_end_of_the_largest_range() {
    let mut map = map(
        &[usable(0x10_0000, 0x14_0000), usable(0x20_0000, 0x80_0000)],
        &[],
    );
    let taken = map.take(16).expect("0x600 frames are there");
    assert_eq!(ranges(&[taken]), [(0x7f_0000, 0x80_0000)]);
    assert_eq!(
        map.take(0x5f1),
        None,
        "one frame more than the largest range has left"
    );
    assert_eq!(map.take(0), None);
    assert_eq!(map.take(0x5f0).map(FrameRange::len), Some(0x5f0));
    assert_eq!(ranges(map.main()), [(0x10_0000, 0x14_0000)]);
}

#[test]
fn with_too_many_ranges_the_smallest_go_and_are_counted() {
    // Range i has i + 1 frames, with a hole of one frame after it.
    let mut start = 0x10_0000;
    let mut regions = Vec::new();
    for frames in 1..=(MAX_RANGES as u64 + 3) {
        regions.push(usable(start, start + frames * FRAME_SIZE));
        start += (frames + 1) * FRAME_SIZE;
    }
    regions.reverse();
    let map = map(&regions, &[]);
    assert_eq!(map.main().len(), MAX_RANGES);
    assert_eq!(map.dropped_frames(), 1 + 2 + 3);
    assert!(map.main().is_sorted_by_key(|range| range.start));
}

/// Addresses around two small windows, one across the 1 MiB line, on odd bytes and on edges.
fn address() -> impl Strategy<Value = u64> {
    let near = prop_oneof![
        (0u64..24, 0u64..4).prop_map(|(frame, byte)| 0xf_8000 + frame * FRAME_SIZE + byte),
        (0u64..24, 0u64..4).prop_map(|(frame, byte)| 0xf_8000 + (frame + 1) * FRAME_SIZE - byte),
    ];
    prop_oneof![8 => near, 1 => Just(0), 1 => Just(u64::MAX), 1 => any::<u64>()]
}

/// Whether every byte of `frame` is usable, by looking at each edge: between two neighbouring
/// edges all bytes are alike.
fn model(frame: Frame, regions: &[Region], reserved: &[Reserved]) -> bool {
    let first = frame.address();
    let last = first + FRAME_SIZE - 1;
    let mut probes = vec![first, last];
    for region in regions {
        probes.extend([region.start, region.end, region.end.wrapping_sub(1)]);
    }
    for range in reserved {
        let end = range.start.saturating_add(range.len);
        probes.extend([range.start, end, end.wrapping_sub(1)]);
    }
    probes.retain(|probe| (first..=last).contains(probe));
    probes.iter().all(|&probe| {
        let within = |r: &Region| r.start <= probe && probe < r.end;
        let usable = regions.iter().any(|r| r.usable && within(r));
        let other = regions.iter().any(|r| !r.usable && within(r));
        let held = reserved
            .iter()
            .any(|r| r.start <= probe && probe < r.start.saturating_add(r.len));
        usable && !other && !held
    })
}

proptest! {
    #[test]
    fn the_map_is_what_the_bytes_say(
        raw in prop::collection::vec((address(), address(), prop::bool::weighted(0.7)), 0..12),
        raw_reserved in prop::collection::vec((address(), 0u64..20_000), 0..5),
    ) {
        let regions: Vec<Region> =
            raw.iter().map(|&(start, end, usable)| Region { start, end, usable }).collect();
        let reserved: Vec<Reserved> =
            raw_reserved.iter().map(|&(start, len)| Reserved { start, len }).collect();
        let map = map(&regions, &reserved);

        let all: Vec<FrameRange> = map.low().iter().chain(map.main()).copied().collect();
        for range in &all {
            prop_assert!(!range.is_empty());
            prop_assert!(range.end <= Frame::END);
        }
        for pair in all.windows(2) {
            prop_assert!(pair[0].end < pair[1].start || pair[0].end == LOW_END);
        }
        for number in 0xf0..0x120 {
            let frame = Frame::new(number);
            let listed = all.iter().any(|range| range.contains(frame));
            prop_assert_eq!(listed, model(frame, &regions, &reserved), "{:?}", frame);
        }
        for range in map.low() {
            prop_assert!(range.end <= LOW_END);
        }
        for range in map.main() {
            prop_assert!(range.start >= LOW_END);
            // Far away, too, the map's edges are edges of the bytes.
            let inside = [range.start, Frame::new(range.end.number() - 1)];
            prop_assert!(inside.iter().all(|&frame| model(frame, &regions, &reserved)));
            if range.end < Frame::END {
                prop_assert!(!model(range.end, &regions, &reserved));
            }
        }
        prop_assert_eq!(map.dropped_frames(), 0);
    }
}

use std::vec::Vec;

use arrayvec::ArrayVec;
use proptest::prelude::*;
use vortex_tcp::Buffer as _;
use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::memory::Owner;

use super::*;
use crate::fake::world::World;

const OWNER: Owner = Owner {
    resource: ResourceId(1),
    activity: ActivityId(0),
    cookie: 0,
};

/// A chunk over so many frames, and the bytes in them; what is between them belongs to others.
fn chunk(world: &World, frames: usize, start: usize, length: usize) -> (Chunk, Vec<u8>) {
    let environment = world.shared.network.environment;
    let mut taken = ArrayVec::<Frame, RUN>::new();
    let mut bytes = Vec::new();
    for number in 0..frames {
        let content: Vec<u8> = (0..FRAME)
            .map(|at| (at ^ (at >> 8) ^ (number * 37)) as u8)
            .collect();
        let frame = environment.allocate(OWNER).expect("there is one");
        environment.write(frame, 0, &content);
        let others = environment.allocate(OWNER).expect("there is one");
        environment.release(&[others]);
        taken.push(frame);
        bytes.extend(content);
    }
    taken.reverse();
    let bytes: Vec<u8> = bytes.rchunks(FRAME).flatten().copied().collect();
    let chunk = Chunk::of_frames(environment, &taken, start, length);
    (chunk, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn its_data_is_where_the_fragments_are(
        frames in 1..=RUN,
        start in 0..2 * FRAME,
        length in 0..5 * FRAME,
        range in (0..5 * FRAME, 0..5 * FRAME),
    ) {
        let world = World::new(1, 64, &[("infrastructure", 100)], 1000, Vec::new());
        let environment = world.shared.network.environment;
        let before = world.machine.memory().taken();
        let (chunk, bytes) = chunk(&world, frames, start, length);
        let start = start.min(bytes.len());
        let data = &bytes[start..bytes.len().min(start + length)];
        prop_assert_eq!(chunk.length(), data.len());
        prop_assert_eq!(chunk.footprint(), frames * FRAME);

        let (from, to) = (range.0.min(range.1), range.0.max(range.1).min(data.len()));
        let mut found = Vec::new();
        let mut at = from;
        for (frame, offset, length) in chunk.fragments(from, to) {
            prop_assert!(length > 0 && offset + length <= FRAME);
            prop_assert_eq!(chunk.fragment_end(at).min(to), at + length);
            let mut part = std::vec![0; length];
            environment.read(frame, offset, &mut part);
            found.extend(part);
            at += length;
        }
        let expected = data.get(from..to).unwrap_or_default();
        prop_assert_eq!(&found, expected);
        let mut read = std::vec![0; expected.len()];
        chunk.read(from, &mut read);
        prop_assert_eq!(&read, expected);

        drop(chunk);
        prop_assert_eq!(world.machine.memory().taken(), before, "its frames are given back");
    }
}

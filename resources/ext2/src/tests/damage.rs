//! Damaged images: errors, never a panic, an endless loop or a request outside of the volume.

use super::disk::Disk;
use crate as ext2;

#[path = "../../fuzz/src/exercise.rs"]
mod exercise;

const IMAGE: &[u8] = include_bytes!("../../fuzz/base.img");

fn exercise(changes: &[u8], small_cache: bool) {
    let image = exercise::damaged(IMAGE, changes);
    Disk::new(std::vec::Vec::new(), 0).run(exercise::exercise(image, small_cache));
}

#[test]
fn damaged_images_end_with_errors() {
    exercise(&[], false);
    exercise(&[], true);
    let mut random = fastrand::Rng::with_seed(20);
    for round in 0..3000 {
        let mut changes = std::vec![0; 6 * random.usize(1..6)];
        random.fill(&mut changes);
        exercise(&changes, round % 2 == 0);
    }
}

#[test]
fn the_corpus_of_the_fuzzer_ends_with_errors() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for file in std::fs::read_dir(folder).unwrap() {
        let changes = std::fs::read(file.unwrap().path()).unwrap();
        exercise(&changes, changes.len() % 2 == 1);
    }
}

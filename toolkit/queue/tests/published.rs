//! Publication in one thread and under real concurrency.
#![cfg(not(loom))]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vortex_queue::published;

#[test]
fn readers_see_the_last_words_written() {
    let (mut publisher, reader) = published();
    assert_eq!(reader.read(1), Some([0; 3]));
    publisher.write(&[1, 2, 3]);
    publisher.write(&[4, 5, 6]);
    assert_eq!(reader.clone().read(1), Some([4, 5, 6]));
    assert_eq!(reader.read(0), None, "no attempt, no words");
}

#[test]
fn words_of_different_writes_are_never_mixed() {
    const READS: usize = 20_000;
    let (mut publisher, reader) = published::<8>();
    let enough = AtomicBool::new(false);
    let deadline = Instant::now() + Duration::from_secs(60);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            while !enough.load(Ordering::Relaxed) {
                publisher.write(&[n; 8]);
                n += 1;
                // Writes of many different distances, so that reads fall on them and between.
                (0..n % 512).for_each(|_| std::hint::spin_loop());
            }
        });
        let (mut newest, mut complete) = (0, 0);
        while complete < READS && Instant::now() < deadline {
            let Some(words) = reader.read(8) else {
                continue;
            };
            assert!(
                words.iter().all(|word| *word == words[0]),
                "mixed: {words:?}"
            );
            assert!(
                words[0] >= newest,
                "went back from {newest} to {}",
                words[0]
            );
            newest = words[0];
            complete += 1;
        }
        enough.store(true, Ordering::Relaxed);
        assert_eq!(complete, READS, "complete reads before the deadline");
    });
}

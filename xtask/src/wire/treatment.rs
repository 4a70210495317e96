//! What a wire does to packets, and in what order they leave it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// What happens to packets, as with netem. Chances are in ten thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Treatment {
    /// It is lost.
    pub loss: u32,
    /// It comes twice.
    pub duplicate: u32,
    /// A bit of it is another one.
    pub corrupt: u32,
    /// It overtakes all that are on their way: it is not delayed.
    pub reorder: u32,
    /// How long the others take.
    pub delay: Duration,
}

/// How many packets something has happened to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Treated {
    /// Packets that have come to the wire.
    pub all: u64,
    /// Lost ones.
    pub lost: u64,
    /// Ones that came twice.
    pub duplicated: u64,
    /// Ones with another bit.
    pub corrupted: u64,
    /// Ones that have overtaken others.
    pub reordered: u64,
}

/// The conditions that TCP is tried under, by name (netem's words).
const NAMED: [(&str, Treatment); 7] = {
    const NOTHING: Treatment = Treatment {
        loss: 0,
        duplicate: 0,
        corrupt: 0,
        reorder: 0,
        delay: Duration::ZERO,
    };
    const SHORT: Duration = Duration::from_millis(10);
    const LONG: Duration = Duration::from_millis(50);
    [
        ("none", NOTHING),
        (
            "loss",
            Treatment {
                loss: 500,
                ..NOTHING
            },
        ),
        (
            "reorder",
            Treatment {
                reorder: 2500,
                delay: SHORT,
                ..NOTHING
            },
        ),
        (
            "duplicate",
            Treatment {
                duplicate: 1000,
                ..NOTHING
            },
        ),
        (
            "corrupt",
            Treatment {
                corrupt: 100,
                ..NOTHING
            },
        ),
        (
            "delay",
            Treatment {
                delay: LONG,
                ..NOTHING
            },
        ),
        (
            "all",
            Treatment {
                loss: 500,
                duplicate: 1000,
                corrupt: 100,
                reorder: 2500,
                delay: LONG,
            },
        ),
    ]
};

impl Treatment {
    /// The names of [`Self::named`]: nothing, 5 % lost, 25 % reordered within 10 ms, 10 % duplicated,
    /// 1 % corrupted, 50 ms each way, and all of it at once.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, _)| *name)
    }

    /// The one of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self> {
        let found = NAMED.iter().find(|(other, _)| *other == name);
        let (_, treatment) = found.with_context(|| {
            let names: Vec<_> = Self::names().collect();
            format!("nothing is called `{name}`; there are {}", names.join(", "))
        })?;
        Ok(*treatment)
    }

    /// Checks that chances are such.
    pub(super) fn check(&self) -> Result<()> {
        let chances = [self.loss, self.duplicate, self.corrupt, self.reorder];
        let sound = chances.iter().all(|chance| *chance <= CERTAIN);
        ensure!(sound, "chances are in ten thousandths");
        Ok(())
    }
}

/// Always.
const CERTAIN: u32 = 10_000;

/// Packets on their way, in the order in which they arrive. Times are from any beginning.
pub(super) struct Way {
    random: fastrand::Rng,
    on_its_way: BinaryHeap<Reverse<(Duration, u64, Vec<u8>)>>,
    /// Those that arrive at the same time do so in their order.
    number: u64,
}

impl Way {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            on_its_way: BinaryHeap::new(),
            number: 0,
        }
    }

    fn happens(&mut self, chance: u32) -> bool {
        chance > 0 && self.random.u32(..CERTAIN) < chance
    }

    /// A packet comes to the wire and is treated like this.
    pub(super) fn enter(
        &mut self,
        now: Duration,
        packet: &[u8],
        treatment: Treatment,
        treated: &mut Treated,
    ) {
        let Treatment {
            loss,
            duplicate,
            corrupt,
            reorder,
            delay,
        } = treatment;
        treated.all += 1;
        if self.happens(loss) {
            treated.lost += 1;
            return;
        }
        let mut packet = packet.to_vec();
        if self.happens(corrupt) && !packet.is_empty() {
            let place = self.random.usize(..packet.len());
            packet[place] ^= 1 << self.random.u32(..8);
            treated.corrupted += 1;
        }
        if self.happens(duplicate) {
            self.put(now + delay, packet.clone());
            treated.duplicated += 1;
        }
        let overtakes = self.happens(reorder);
        treated.reordered += u64::from(overtakes);
        self.put(if overtakes { now } else { now + delay }, packet);
    }

    fn put(&mut self, due: Duration, packet: Vec<u8>) {
        self.number += 1;
        self.on_its_way.push(Reverse((due, self.number, packet)));
    }

    /// When the next one arrives.
    pub(super) fn due(&self) -> Option<Duration> {
        self.on_its_way.peek().map(|Reverse((due, ..))| *due)
    }

    /// The next one that has arrived.
    pub(super) fn leave(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.due()? > now {
            return None;
        }
        self.on_its_way.pop().map(|Reverse((_, _, packet))| packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKETS: u32 = 20_000;
    const STEP: Duration = Duration::from_millis(1);

    /// What leaves the wire when a packet comes each millisecond, with its number in it.
    fn run(treatment: Treatment, seed: u64) -> (Vec<Vec<u8>>, Treated) {
        let (mut way, mut treated) = (Way::new(seed), Treated::default());
        let mut left = Vec::new();
        for number in 0..PACKETS {
            let now = STEP * number;
            left.extend(std::iter::from_fn(|| way.leave(now)));
            way.enter(now, &number.to_le_bytes(), treatment, &mut treated);
        }
        left.extend(std::iter::from_fn(|| way.leave(Duration::MAX)));
        (left, treated)
    }

    fn numbers(packets: &[Vec<u8>]) -> Vec<u32> {
        let number = |packet: &Vec<u8>| u32::from_le_bytes(packet.as_slice().try_into().unwrap());
        packets.iter().map(number).collect()
    }

    #[track_caller]
    fn is_about(count: u64, chance: u32) {
        let expected = u64::from(PACKETS * chance / CERTAIN);
        assert!(
            count.abs_diff(expected) < expected / 4,
            "{count} of {expected}"
        );
    }

    #[test]
    fn nothing_happens_on_a_good_wire() {
        for name in ["none", "delay"] {
            let (left, treated) = run(Treatment::named(name).unwrap(), 1);
            assert_eq!(numbers(&left), (0..PACKETS).collect::<Vec<_>>(), "{name}");
            let all = u64::from(PACKETS);
            assert_eq!(
                treated,
                Treated {
                    all,
                    ..Treated::default()
                }
            );
        }
    }

    #[test]
    fn each_treatment_happens_as_often_as_it_says() {
        let (left, treated) = run(Treatment::named("loss").unwrap(), 2);
        is_about(treated.lost, 500);
        assert_eq!(left.len() as u64, u64::from(PACKETS) - treated.lost);
        let (left, treated) = run(Treatment::named("duplicate").unwrap(), 3);
        is_about(treated.duplicated, 1000);
        assert_eq!(left.len() as u64, u64::from(PACKETS) + treated.duplicated);
        let (left, treated) = run(Treatment::named("corrupt").unwrap(), 4);
        is_about(treated.corrupted, 100);
        let wrong = numbers(&left).into_iter().zip(0..).filter(|(a, b)| a != b);
        assert_eq!(wrong.count() as u64, treated.corrupted);
        let (left, treated) = run(Treatment::named("reorder").unwrap(), 5);
        is_about(treated.reordered, 2500);
        let mut numbers = numbers(&left);
        let overtaken = numbers.windows(2).filter(|pair| pair[0] > pair[1]).count();
        assert!(overtaken > 1000, "{overtaken}");
        numbers.sort_unstable();
        assert_eq!(numbers, (0..PACKETS).collect::<Vec<_>>());
    }

    #[test]
    fn the_seed_decides() {
        let all = Treatment::named("all").unwrap();
        assert_eq!(run(all, 6), run(all, 6));
        assert_ne!(run(all, 6), run(all, 7));
    }

    #[test]
    fn delayed_packets_wait_for_so_long() {
        let delay = Duration::from_millis(50);
        let treatment = Treatment {
            delay,
            ..Treatment::default()
        };
        let mut way = Way::new(1);
        way.enter(STEP, &[1], treatment, &mut Treated::default());
        assert_eq!(way.due(), Some(STEP + delay));
        assert_eq!(way.leave(delay), None);
        assert_eq!(way.leave(STEP + delay), Some(vec![1]));
        assert_eq!(way.due(), None);
    }

    #[test]
    fn names_and_chances_are_checked() {
        assert!(Treatment::names().all(|name| Treatment::named(name).unwrap().check().is_ok()));
        assert!(Treatment::named("thunder").is_err());
        let impossible = Treatment {
            loss: CERTAIN + 1,
            ..Treatment::default()
        };
        assert!(impossible.check().is_err());
    }
}

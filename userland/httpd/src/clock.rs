//! The time, read once for each round of the event loop: a round is short, and reading it is a system
//! call where there is no vDSO.
//!
//! Key type: [`Clock`].

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often the wall clock is looked at, at most: dates in heads are late by no more than this.
const WALL: Duration = Duration::from_millis(100);

/// The time of a round.
#[derive(Debug)]
pub(crate) struct Clock {
    now: Instant,
    /// When the wall clock was looked at, and the second that it said.
    looked: Instant,
    second: u64,
    /// That second, as heads have it (RFC 9110, section 5.6.7).
    date: String,
}

impl Clock {
    /// The time now.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let mut clock = Self {
            now,
            looked: now,
            second: 0,
            date: String::new(),
        };
        clock.look_at_the_wall();
        clock
    }

    /// A round begins.
    pub(crate) fn tick(&mut self) {
        self.now = Instant::now();
        if self.now.duration_since(self.looked) >= WALL {
            self.look_at_the_wall();
        }
    }

    fn look_at_the_wall(&mut self) {
        self.looked = self.now;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let second = since.unwrap_or_default().as_secs();
        if second != self.second || self.date.is_empty() {
            self.second = second;
            self.date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        }
    }

    /// When the round began.
    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// The date, as heads have it.
    pub(crate) fn date(&self) -> &str {
        &self.date
    }

    /// The second, since 1970.
    pub(crate) const fn second(&self) -> u64 {
        self.second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_that_of_the_second() {
        let mut clock = Clock::new();
        let before = clock.now();
        clock.looked = before.checked_sub(2 * WALL).unwrap();
        clock.second = 0;
        clock.tick();
        assert!(clock.now() >= before);
        let said = httpdate::parse_http_date(clock.date()).unwrap();
        let said = said.duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(said, clock.second());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!(now.as_secs().abs_diff(said) <= 1, "{said}");
    }
}

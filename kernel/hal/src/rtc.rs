//! The real-time clock of the PC (Motorola MC146818A): the time of day when the kernel starts.
//!
//! Key functions: [`seconds_since_1970`].

use crate::io::Ports;

/// Selects a register; bit 7 would mask non-maskable interrupts.
const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
/// In status A: the registers are about to change.
const UPDATING: u8 = 1 << 7;
/// In status B: numbers are binary, not two decimal digits.
const BINARY: u8 = 1 << 2;
/// In status B: hours are 0 to 23.
const HOURS_24: u8 = 1 << 1;
/// In the hours of a 12-hour clock: afternoon.
const AFTERNOON: u8 = 1 << 7;
/// How often the clock is asked whether it is about to change; an update takes 2 ms at most.
const ATTEMPTS: u32 = 100_000;

/// Seconds, minutes, hours, day, month, year: the registers they are in.
const REGISTERS: [u8; 6] = [0, 2, 4, 7, 8, 9];

/// The time of day, in UTC, if the clock keeps that, as machines that run no other system do.
/// `None` without a clock, or if what it says is no time. Years are those of this century.
#[must_use]
pub fn seconds_since_1970() -> Option<u64> {
    // SAFETY: the clock's ports are used nowhere else.
    read(&mut unsafe { crate::io::CpuPorts::new() })
}

fn register(ports: &mut impl Ports, number: u8) -> u8 {
    ports.write8(INDEX, number);
    ports.read8(DATA)
}

fn read(ports: &mut impl Ports) -> Option<u64> {
    let mut last = None;
    // Two readings that agree are of one time.
    for _ in 0..4 {
        (0..ATTEMPTS).find(|_| register(ports, STATUS_A) & UPDATING == 0)?;
        let now = REGISTERS.map(|number| register(ports, number));
        if last == Some(now) {
            return decode(now, register(ports, STATUS_B));
        }
        last = Some(now);
    }
    None
}

fn decode(registers: [u8; 6], format: u8) -> Option<u64> {
    let number = |value: u8| match format & BINARY {
        0 => (value >> 4) * 10 + (value & 0xf),
        _ => value,
    };
    let [seconds, minutes, hours, day, month, year] = registers;
    let hours = match format & HOURS_24 {
        0 => number(hours & !AFTERNOON) % 12 + if hours & AFTERNOON == 0 { 0 } else { 12 },
        _ => number(hours),
    };
    let [seconds, minutes, day, month, year] = [seconds, minutes, day, month, year].map(number);
    let fits = seconds < 60 && minutes < 60 && hours < 24 && year < 100;
    if !fits || !(1..=31).contains(&day) || !(1..=12).contains(&month) {
        return None;
    }
    let days = days_since_1970(2000 + u64::from(year), month.into(), day.into());
    let minutes = (days * 24 + u64::from(hours)) * 60 + u64::from(minutes);
    Some(minutes * 60 + u64::from(seconds))
}

/// Days from 1970 to a day of the Gregorian calendar, counting years from March on, so that the
/// leap day is a year's last.
const fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    /// From March of year 0 to January 1970.
    const TO_1970: u64 = 719_468;
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - TO_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(days_since_1970(1970, 1, 1), 0);
        assert_eq!(days_since_1970(2000, 2, 29), 11_016);
        assert_eq!(days_since_1970(2000, 3, 1), 11_017);
        assert_eq!(days_since_1970(2026, 11, 20), 20_777);
    }

    #[test]
    fn both_number_formats_and_both_clocks_are_read() {
        let expected = Some(20_777 * 86_400 + 19 * 3600 + 30 * 60 + 48);
        assert_eq!(
            decode([48, 30, 19, 20, 11, 26], BINARY | HOURS_24),
            expected
        );
        assert_eq!(
            decode([0x48, 0x30, 0x19, 0x20, 0x11, 0x26], HOURS_24),
            expected
        );
        assert_eq!(decode([0x48, 0x30, 0x87, 0x20, 0x11, 0x26], 0), expected);
        assert_eq!(
            decode([0, 0, 12, 20, 11, 26], BINARY),
            Some(20_777 * 86_400)
        );
    }

    #[test]
    fn nonsense_is_no_time() {
        assert_eq!(decode([0xff; 6], BINARY | HOURS_24), None);
        assert_eq!(decode([0; 6], BINARY | HOURS_24), None);
    }
}

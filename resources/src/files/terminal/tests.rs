//! The line discipline, byte by byte; and that no input breaks it.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use linux_raw_sys::general::{
    ECHO, ECHOE, ECHOK, ICANON, ICRNL, IGNCR, INLCR, ISIG, NOFLSH, OPOST, VEOF, VINTR, VMIN, VTIME,
};
use proptest::prelude::*;

use super::{Discipline, ROOM, Settings, TERMIOS, Terminal, Typed};
use crate::signals::Signal;

/// What is shown when these bytes are typed.
fn type_in(discipline: &mut Discipline, bytes: &[u8]) -> Typed {
    let mut typed = Typed::default();
    for &byte in bytes {
        discipline.typed(byte, &mut typed);
    }
    typed
}

/// What the reads get that need not wait, each for up to `most` bytes.
fn read_all(discipline: &mut Discipline, most: usize) -> Vec<String> {
    let mut all = Vec::new();
    while discipline.is_readable(most) && all.len() < 100 {
        let mut bytes = vec![0; discipline.next(most)];
        discipline.peek(&mut bytes);
        discipline.take(bytes.len());
        all.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    all
}

fn shown(typed: &Typed) -> String {
    String::from_utf8_lossy(&typed.echo).into_owned()
}

/// What is on the last line of a screen that has been sent this.
fn line(sent: &[u8]) -> String {
    let (mut line, mut at) = (Vec::new(), 0_usize);
    for character in String::from_utf8_lossy(sent).chars() {
        match character {
            '\x08' => at = at.checked_sub(1).expect("the cursor is at the left"),
            '\r' => at = 0,
            '\n' => line.clear(),
            '\t' => at += 8 - at % 8,
            character => {
                line.resize(line.len().max(at + 1), ' ');
                line[at] = character;
                at += 1;
            }
        }
    }
    line.truncate(at);
    line.into_iter().collect()
}

fn with(change: impl FnOnce(&mut Settings)) -> Discipline {
    let mut settings = Settings::default();
    change(&mut settings);
    let mut discipline = Discipline::default();
    discipline.set(settings);
    discipline
}

#[test]
fn a_line_can_be_read_when_it_is_complete() {
    let mut discipline = Discipline::default();
    let typed = type_in(&mut discipline, b"ls -l");
    assert_eq!(shown(&typed), "ls -l");
    assert!(!discipline.is_readable(100));
    let typed = type_in(&mut discipline, b"\rpwd\r");
    assert_eq!(shown(&typed), "\r\npwd\r\n");
    assert_eq!(discipline.waiting(), 10);
    assert_eq!(read_all(&mut discipline, 100), ["ls -l\n", "pwd\n"]);
}

#[test]
fn a_short_read_gets_a_part_of_the_line() {
    let mut discipline = Discipline::default();
    type_in(&mut discipline, b"abcde\nf\n");
    assert_eq!(read_all(&mut discipline, 4), ["abcd", "e\n", "f\n"]);
}

#[test]
fn characters_words_and_lines_are_erased() {
    for (typed, left, on_screen) in [
        (&b"lss\x7f"[..], "ls", "ls"),
        (b"\x7f\x7fa", "a", "a"),
        (b"one two \x17", "one ", "one "),
        (b"one two\x15three", "three", "three"),
        (b"gr\xc3\xbc\xc3\x9f\x7fn", "grün", "grün"),
        (b"a\tb\x7f\x7f", "a", "a"),
        (b"a\x16\x03b\x7f\x7fc", "ac", "ac"),
    ] {
        let mut discipline = Discipline::default();
        let shown = type_in(&mut discipline, typed);
        assert_eq!(line(&shown.echo), on_screen, "{typed:?}");
        type_in(&mut discipline, b"\n");
        assert_eq!(read_all(&mut discipline, 100), [format!("{left}\n")]);
    }
}

#[test]
fn a_tabulator_is_erased_from_where_it_began() {
    let mut discipline = Discipline::default();
    let mut sent = Vec::new();
    discipline.written(b"prompt> ", &mut sent);
    sent.extend(type_in(&mut discipline, b"ab\tc\x7f\x7f").echo);
    assert_eq!(line(&sent), "prompt> ab");
}

#[test]
fn the_end_is_read_as_nothing_and_ends_a_line_without_being_in_it() {
    let mut discipline = Discipline::default();
    type_in(&mut discipline, b"ab\x04\x04");
    assert_eq!(read_all(&mut discipline, 100), ["ab", ""]);
    // One that has been read to its last byte is not the end.
    type_in(&mut discipline, b"ab\x04cd\n");
    assert_eq!(read_all(&mut discipline, 2), ["ab", "cd", "\n"]);
}

#[test]
fn keys_send_signals_and_forget_what_has_been_typed() {
    let mut discipline = Discipline::default();
    let typed = type_in(&mut discipline, b"one\ntwo\x03");
    assert_eq!(shown(&typed), "one\r\ntwo^C");
    assert_eq!(typed.signals[..], [Signal::INT]);
    assert_eq!(read_all(&mut discipline, 100), [""; 0]);
    let typed = type_in(&mut discipline, b"\x1c\x1a\x1a");
    assert_eq!(typed.signals[..], [Signal::QUIT, Signal::TSTP]);

    let mut discipline = with(|settings| settings.local |= NOFLSH);
    type_in(&mut discipline, b"one\n\x03");
    assert_eq!(read_all(&mut discipline, 100), ["one\n"]);
    let mut discipline = with(|settings| settings.local &= !ISIG);
    assert!(type_in(&mut discipline, b"\x03\n").signals.is_empty());
    assert_eq!(read_all(&mut discipline, 100), ["\x03\n"]);
}

#[test]
fn a_special_character_of_zero_is_none() {
    let mut discipline = with(|settings| settings.set_special(VINTR, 0));
    assert!(type_in(&mut discipline, b"\0\x03\n").signals.is_empty());
    assert_eq!(read_all(&mut discipline, 9), ["\0\x03\n"]);
}

#[test]
fn without_lines_bytes_are_read_as_they_come() {
    let raw = |settings: &mut Settings| settings.local &= !(ICANON | ECHO);
    let mut discipline = with(raw);
    assert!(!discipline.is_readable(10));
    let typed = type_in(&mut discipline, b"a\x7f\x04");
    assert_eq!(shown(&typed), "");
    assert_eq!(read_all(&mut discipline, 10), ["a\x7f\x04"]);
    let mut discipline = with(|settings| {
        raw(settings);
        settings.set_special(VMIN, 3);
    });
    type_in(&mut discipline, b"ab");
    assert!(!discipline.is_readable(10), "fewer than VMIN");
    assert!(discipline.is_readable(2), "no read wants more");
    let mut discipline = with(|settings| {
        raw(settings);
        settings.set_special(VMIN, 0);
    });
    assert!(discipline.is_readable(10), "with nothing");
    assert_eq!(discipline.next(10), 0);
    discipline.take(0);
}

#[test]
fn what_has_been_typed_stays_when_the_kind_of_input_changes() {
    let (lines, mut raw) = (Settings::default(), Settings::default());
    raw.local &= !(ICANON | ECHO);
    let mut discipline = Discipline::default();
    type_in(&mut discipline, b"one\ntw");
    discipline.set(raw);
    assert_eq!(discipline.waiting(), 6);
    type_in(&mut discipline, b"o");
    discipline.set(lines);
    assert_eq!(read_all(&mut discipline, 100), ["one\ntwo"]);
}

#[test]
fn carriage_returns_and_line_feeds_are_translated() {
    for (flags, read) in [
        (0, "a\rb\n"),
        (ICRNL, "a\n"),
        (IGNCR, "ab\n"),
        (INLCR | ICRNL, "a\n"),
    ] {
        let mut discipline = with(|settings| settings.input = flags);
        type_in(&mut discipline, b"a\rb\n");
        assert_eq!(read_all(&mut discipline, 100)[0], read, "{flags:#x}");
    }
    let mut sent = Vec::new();
    with(|_| {}).written(b"a\nb", &mut sent);
    with(|settings| settings.output &= !OPOST).written(b"c\nd", &mut sent);
    assert_eq!(sent, b"a\r\nbc\nd");
}

#[test]
fn without_pretty_echo_a_line_that_is_given_up_is_left() {
    let mut discipline = with(|settings| settings.local &= !ECHOE);
    let typed = type_in(&mut discipline, b"ab\x15c\n");
    assert_eq!(shown(&typed), "ab^U\r\nc\r\n");
    let mut discipline = with(|settings| settings.local &= !(ECHOE | ECHOK));
    assert_eq!(shown(&type_in(&mut discipline, b"ab\x15c")), "ab^Uc");
    assert_eq!(ECHO, 8);
}

#[test]
fn a_line_without_end_is_cut_and_can_be_ended() {
    let mut discipline = Discipline::default();
    type_in(&mut discipline, &[b'x'; ROOM + 10]);
    assert!(discipline.dropped() >= 10);
    assert!(discipline.room() > 0, "so that it can be ended");
    type_in(&mut discipline, b"\n");
    assert_eq!(discipline.room(), 0);
    let read = read_all(&mut discipline, 2 * ROOM);
    assert!(read[0].ends_with("x\n") && read[0].len() < ROOM);
    assert!(discipline.room() > ROOM / 2);
}

#[test]
fn what_finds_no_room_is_held_back_until_something_is_read() {
    let terminal = Terminal::new(80, 25);
    let mut line = vec![b'y'; ROOM - 10];
    line.push(b'\n');
    let mut sent = &line[..];
    while !sent.is_empty() {
        let room = terminal.announce(sent.len());
        assert!(room > 0);
        let _ = terminal.typed(&sent[..room]);
        sent = &sent[room..];
    }
    let room = terminal.announce(100);
    assert!(!terminal.typed(&vec![b'z'; room]).1);
    assert_eq!(terminal.announce(100), 0);
    assert!(!terminal.wants_input(), "nothing has been read");
    terminal.state.lock().discipline.take(ROOM);
    assert!(terminal.wants_input());
    assert!(!terminal.wants_input(), "it is said once");
    assert_eq!(terminal.dropped(), 0);
}

#[test]
fn settings_are_what_the_headers_say() {
    let bytes = Settings::default().to_bytes();
    assert_eq!(Settings::from_bytes(&bytes), Settings::default());
    // c_cc begins behind four words and c_line.
    assert_eq!(bytes[17 + VINTR as usize], 3);
    assert_eq!(bytes[17 + VEOF as usize], 4);
    assert_eq!(bytes[17 + VTIME as usize], 0);
}

proptest! {
    /// Any bytes, with any settings, changed in between: all stays within bounds, and in the end a
    /// line can be typed and read.
    #[test]
    fn any_input_under_any_settings_stays_within_bounds(
        steps in prop::collection::vec(
            (
                prop::collection::vec(prop_oneof![any::<u8>(), 0_u8..32, Just(0x7f)], 0..600),
                prop::option::of(any::<[u8; TERMIOS]>()),
                0_usize..300,
            ),
            1..12,
        ),
    ) {
        let mut discipline = Discipline::default();
        for (bytes, settings, wanted) in steps {
            let typed = type_in(&mut discipline, &bytes);
            prop_assert!(typed.echo.len() <= 3 * 8 * (bytes.len() + ROOM));
            if let Some(settings) = settings {
                let settings = Settings::from_bytes(&settings);
                prop_assert_eq!(Settings::from_bytes(&settings.to_bytes()), settings);
                discipline.set(settings);
            }
            prop_assert!(discipline.waiting() <= ROOM);
            prop_assert!(discipline.room() <= ROOM);
            if wanted > 0 && discipline.is_readable(wanted) {
                let length = discipline.next(wanted);
                prop_assert!(length <= wanted);
                let mut read = vec![0; length];
                discipline.peek(&mut read);
                discipline.take(length);
            }
        }
        discipline.flush();
        discipline.set(Settings::default());
        type_in(&mut discipline, b"\x15still\n");
        prop_assert_eq!(read_all(&mut discipline, 100), ["still\n"]);
    }

    /// However a line was edited, the screen shows what is read.
    #[test]
    fn the_screen_shows_the_line(
        keys in prop::collection::vec(
            prop_oneof![
                4 => (b'a'..=b'e').prop_map(|byte| vec![byte]),
                1 => Just(b" ".to_vec()),
                1 => Just(b"\t".to_vec()),
                1 => Just("ä".as_bytes().to_vec()),
                2 => Just(vec![0x7f]),
                1 => Just(vec![0x17]),
                1 => Just(vec![0x15]),
            ],
            0..60,
        ),
    ) {
        let mut discipline = Discipline::default();
        let typed = type_in(&mut discipline, &keys.concat());
        let on_screen = line(&typed.echo);
        type_in(&mut discipline, b"\n");
        let read = read_all(&mut discipline, ROOM).concat();
        prop_assert_eq!(on_screen, line(read.trim_end_matches('\n').as_bytes()));
    }
}

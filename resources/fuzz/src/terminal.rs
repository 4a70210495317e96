//! What is typed at a terminal, under any settings.

use vortex_resources::files::{Discipline, ROOM, Settings, TERMIOS, Typed};

/// The first bytes are settings, the second ones those that come in the middle of the rest.
pub(crate) fn typed(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first_chunk::<TERMIOS>() else {
        return;
    };
    let Some((second, typed)) = rest.split_first_chunk::<TERMIOS>() else {
        return;
    };
    let mut discipline = Discipline::default();
    let (before, after) = typed.split_at(typed.len() / 2);
    for (settings, part) in [(first, before), (second, after)] {
        discipline.set(Settings::from_bytes(settings));
        let mut came = Typed::default();
        for &byte in part {
            discipline.typed(byte, &mut came);
            assert!(discipline.waiting() <= ROOM && discipline.room() <= ROOM);
        }
        let wanted = part.len() % 100 + 1;
        if discipline.is_readable(wanted) {
            let length = discipline.next(wanted);
            assert!(length <= wanted);
            discipline.peek(&mut vec![0; length]);
            discipline.take(length);
        }
    }
    // Whatever came before, a line can be typed and read.
    discipline.flush();
    discipline.set(Settings::default());
    for &byte in b"ok\n" {
        discipline.typed(byte, &mut Typed::default());
    }
    assert_eq!(discipline.next(ROOM), 3);
}

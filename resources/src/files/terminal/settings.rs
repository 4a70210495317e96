//! The settings of a terminal, as termios(3) has them.
//!
//! Key type: [`Settings`]: the kernel's `struct termios`, read from programs and written to them.

use linux_raw_sys::general::{
    B38400, CREAD, CS8, ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, HUPCL, ICANON, ICRNL, IEXTEN, ISIG,
    IUTF8, ONLCR, OPOST, VEOF, VERASE, VINTR, VKILL, VLNEXT, VMIN, VQUIT, VSUSP, VTIME, VWERASE,
};

/// Special characters (`NCCS` of the kernel).
const CHARACTERS: usize = 19;
/// Bytes of the kernel's `struct termios`.
pub const TERMIOS: usize = 36;
/// A special character of this value is none (`_POSIX_VDISABLE`).
const NONE: u8 = 0;

/// What a terminal does with its input and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `c_iflag`.
    pub input: u32,
    /// `c_oflag`.
    pub output: u32,
    /// `c_cflag`: kept, without effect.
    pub control: u32,
    /// `c_lflag`.
    pub local: u32,
    /// `c_line`: kept, without effect.
    line: u8,
    characters: [u8; CHARACTERS],
}

impl Default for Settings {
    /// As `stty sane`, for UTF-8.
    fn default() -> Self {
        let mut characters = [NONE; CHARACTERS];
        let control = |letter: u8| letter & 0x1f;
        for (place, character) in [
            (VINTR, control(b'C')),
            (VQUIT, control(b'\\')),
            (VERASE, 0x7f),
            (VKILL, control(b'U')),
            (VEOF, control(b'D')),
            (VMIN, 1),
            (VSUSP, control(b'Z')),
            (VWERASE, control(b'W')),
            (VLNEXT, control(b'V')),
        ] {
            characters[place as usize] = character;
        }
        Self {
            input: ICRNL | IUTF8,
            output: OPOST | ONLCR,
            control: B38400 | CS8 | CREAD | HUPCL,
            local: ISIG | ICANON | IEXTEN | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE,
            line: 0,
            characters,
        }
    }
}

impl Settings {
    /// From the bytes of a `struct termios`: any are settings.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; TERMIOS]) -> Self {
        let word = |at: usize| {
            let word = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            u32::from_le_bytes(word)
        };
        let mut characters = [NONE; CHARACTERS];
        characters.copy_from_slice(&bytes[17..]);
        Self {
            input: word(0),
            output: word(4),
            control: word(8),
            local: word(12),
            line: bytes[16],
            characters,
        }
    }

    /// As a `struct termios`.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; TERMIOS] {
        let mut bytes = [0; TERMIOS];
        let words = [self.input, self.output, self.control, self.local];
        bytes[..16].copy_from_slice(words.map(u32::to_le_bytes).as_flattened());
        bytes[16] = self.line;
        bytes[17..].copy_from_slice(&self.characters);
        bytes
    }

    /// Whether this flag of `c_lflag` is set.
    #[must_use]
    pub const fn is_local(&self, flag: u32) -> bool {
        self.local & flag != 0
    }

    /// Whether this flag of `c_iflag` is set.
    #[must_use]
    pub const fn is_input(&self, flag: u32) -> bool {
        self.input & flag != 0
    }

    /// Whether output is processed, and this flag of `c_oflag` set.
    #[must_use]
    pub const fn is_output(&self, flag: u32) -> bool {
        self.output & OPOST != 0 && self.output & flag != 0
    }

    /// Whether `byte` is the special character at a place (`VINTR` and so on).
    #[must_use]
    pub const fn is_special(&self, place: u32, byte: u8) -> bool {
        byte != NONE && self.characters[place as usize] == byte
    }

    /// How many bytes a read waits for that is not of lines (`VMIN`).
    #[must_use]
    pub const fn least(&self) -> usize {
        self.characters[VMIN as usize] as usize
    }

    /// How long such a read waits, in tenths of a second; 0 for ever (`VTIME`).
    #[must_use]
    pub const fn tenths(&self) -> u8 {
        self.characters[VTIME as usize]
    }

    /// Sets a special character, for tests.
    #[cfg(test)]
    pub const fn set_special(&mut self, place: u32, byte: u8) {
        self.characters[place as usize] = byte;
    }
}

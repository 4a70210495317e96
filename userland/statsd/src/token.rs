//! The secret that whoever changes something has to know.
//!
//! Key type: [`Token`].

use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq;

/// A token: 16 to 256 characters of those that RFC 6750, section 2.1 allows.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why a text is no token. The text is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoToken;

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a token has 16 to 256 letters, digits or any of -._~+/, and perhaps = at its end",
        )
    }
}

impl std::error::Error for NoToken {}

impl Token {
    const LENGTHS: std::ops::RangeInclusive<usize> = 16..=256;

    /// Whether a client's token is this one. How long it takes depends on its length, and not on how
    /// much of it is right.
    #[must_use]
    pub fn is(&self, said: &str) -> bool {
        self.0.as_bytes().ct_eq(said.as_bytes()).into()
    }
}

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        let fits = Self::LENGTHS.contains(&text.len());
        let without_padding = text.trim_end_matches('=');
        if fits && !without_padding.is_empty() && without_padding.bytes().all(is_fine) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NoToken)
        }
    }
}

/// A secret is not shown.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{NoToken, Token};

    #[test]
    fn tokens_are_neither_short_nor_strange() {
        for text in [
            "",
            "short",
            "0123456789abcde",
            "================",
            "0123456789 abcdef",
            "0123456789=abcdef",
        ] {
            assert_eq!(text.parse::<Token>(), Err(NoToken), "{text:?}");
        }
        assert!("a".repeat(257).parse::<Token>().is_err());
        let token: Token = "0123456789abcdef-._~+/==".parse().unwrap();
        assert_eq!(format!("{token:?}"), "Token");
    }

    proptest! {
        #[test]
        fn only_the_token_is_the_token(text in "[a-zA-Z0-9]{16,40}", other: String, at: prop::sample::Index) {
            let token: Token = text.parse().unwrap();
            prop_assert!(token.is(&text));
            prop_assert_eq!(token.is(&other), other == text);
            let mut bytes = text.clone().into_bytes();
            bytes[at.index(text.len())] ^= 1;
            prop_assert!(!token.is(std::str::from_utf8(&bytes).unwrap()));
            prop_assert!(!token.is(&text[..text.len() - 1]));
            prop_assert!(!token.is(&(text + "a")));
        }
    }
}

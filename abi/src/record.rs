//! Structures of 64-bit little-endian words, and how they become bytes.

use core::fmt;

use crate::Name;

/// Fewer bytes than the structure has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooShort;

impl fmt::Display for TooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there are fewer bytes than the structure has")
    }
}

impl core::error::Error for TooShort {}

/// A structure with a fixed layout.
pub trait Record: Sized {
    /// Its bytes.
    const SIZE: usize;

    /// Writes it to the start of `bytes`, which are [`Self::SIZE`] or more.
    ///
    /// # Errors
    /// [`TooShort`], with nothing written.
    fn encode(&self, bytes: &mut [u8]) -> Result<(), TooShort>;

    /// Reads it from the start of `bytes`.
    ///
    /// # Errors
    /// [`TooShort`].
    fn decode(bytes: &[u8]) -> Result<Self, TooShort>;
}

impl Record for u64 {
    const SIZE: usize = 8;

    fn encode(&self, bytes: &mut [u8]) -> Result<(), TooShort> {
        let word = bytes.first_chunk_mut().ok_or(TooShort)?;
        *word = self.to_le_bytes();
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, TooShort> {
        bytes
            .first_chunk()
            .map(|word| Self::from_le_bytes(*word))
            .ok_or(TooShort)
    }
}

impl<const N: usize> Record for [u64; N] {
    const SIZE: usize = 8 * N;

    fn encode(&self, bytes: &mut [u8]) -> Result<(), TooShort> {
        let bytes = bytes.get_mut(..Self::SIZE).ok_or(TooShort)?;
        for (word, bytes) in self.iter().zip(bytes.chunks_exact_mut(8)) {
            word.encode(bytes)?;
        }
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, TooShort> {
        let bytes = bytes.get(..Self::SIZE).ok_or(TooShort)?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::decode(bytes)?;
        }
        Ok(words)
    }
}

impl Record for Name {
    const SIZE: usize = Self::LENGTH;

    fn encode(&self, bytes: &mut [u8]) -> Result<(), TooShort> {
        *bytes.first_chunk_mut().ok_or(TooShort)? = *self.bytes();
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, TooShort> {
        bytes
            .first_chunk()
            .map(|bytes| Self::from_bytes(*bytes))
            .ok_or(TooShort)
    }
}

/// Declares structures whose fields are records, one after the other.
macro_rules! record {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::Record for $name {
            const SIZE: usize = 0 $(+ <$type as $crate::Record>::SIZE)*;

            fn encode(&self, bytes: &mut [u8]) -> Result<(), $crate::TooShort> {
                let rest = bytes.get_mut(..Self::SIZE).ok_or($crate::TooShort)?;
                $(
                    let (own, rest) = rest.split_at_mut(<$type as $crate::Record>::SIZE);
                    $crate::Record::encode(&self.$field, own)?;
                )*
                debug_assert!(rest.is_empty(), "the size is the sum of the fields'");
                Ok(())
            }

            fn decode(bytes: &[u8]) -> Result<Self, $crate::TooShort> {
                let rest = bytes.get(..Self::SIZE).ok_or($crate::TooShort)?;
                $(
                    let (own, rest) = rest.split_at(<$type as $crate::Record>::SIZE);
                    let $field = $crate::Record::decode(own)?;
                )*
                debug_assert!(rest.is_empty(), "the size is the sum of the fields'");
                Ok(Self { $($field,)* })
            }
        }
    };
}
pub(crate) use record;

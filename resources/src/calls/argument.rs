//! Arguments of system calls: how they come out of registers, and what they are.
//!
//! Key types: [`Argument`] (the trait that the table decodes by), [`Kind`] (what the table says of
//! an argument to documentation and tests), [`In`], [`Out`], [`InOut`] and [`Path`] (pointers into
//! user memory: an address is a claim, and becomes data through [`Space`] only).

use alloc::vec::Vec;
use core::marker::PhantomData;

use super::Verdict;
use super::layout::Layout;
use crate::errno::Errno;
use crate::machine::Machine;
use crate::space::{Space, UserError};

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number, of so many bits.
    Integer(u8),
    /// Flags.
    Flags,
    /// A file descriptor.
    Descriptor,
    /// A signal's number.
    Signal,
    /// An address of the program's that the call does not read or write.
    Address,
    /// A pointer to a string that ends with a zero.
    Path,
    /// A pointer to what the call reads or writes.
    Pointer {
        /// Whether it is read, written, or both.
        direction: Direction,
        /// Bytes of one element.
        size: usize,
        /// How many elements.
        count: Count,
        /// Null is allowed and means "none".
        optional: bool,
    },
}

/// What happens to the memory behind a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It is read.
    In,
    /// It is written.
    Out,
    /// It is read and written.
    InOut,
}

/// How many elements are behind a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// One.
    One,
    /// As many as the argument at this position says, counted from 0.
    Argument(usize),
}

/// What can be an argument.
pub trait Argument: Sized {
    /// What it is.
    const KIND: Kind;
    /// Out of a register: as Linux does, whatever lies beyond the type's width is ignored.
    fn decode(register: u64) -> Self;
}

/// The plain value of an argument, for functions that are not told what it is.
pub(super) trait Plain {
    /// Its type.
    type Value;
    /// The value; of a pointer, the address.
    fn plain(self) -> Self::Value;
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Plain for $type {
            type Value = Self;
            #[inline]
            fn plain(self) -> Self {
                self
            }
        }

        impl Argument for $type {
            const KIND: Kind = Kind::Integer(<$type>::BITS as u8);
            #[inline]
            fn decode(register: u64) -> Self {
                register as $type
            }
        }
    )*};
}

integers! { i32 u32 i64 u64 }

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($type:ty) = $kind:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub $type);

        impl Plain for $name {
            type Value = $type;
            #[inline]
            fn plain(self) -> $type {
                self.0
            }
        }

        impl Argument for $name {
            const KIND: Kind = Kind::$kind;
            #[inline]
            fn decode(register: u64) -> Self {
                Self(register as $type)
            }
        }
    )*};
}

numbers! {
    /// A file descriptor, as the program gave it.
    Fd(i32) = Descriptor;
    /// Flags of 32 bits.
    Flags(u32) = Flags;
    /// Flags of 64 bits.
    LongFlags(u64) = Flags;
    /// A signal's number, as the program gave it.
    Signal(i32) = Signal;
    /// An address that the call does not follow.
    Address(u64) = Address;
}

/// The count of a pointer to one element.
pub const ONE: usize = usize::MAX;

const fn count(argument: usize) -> Count {
    if argument == ONE {
        Count::One
    } else {
        Count::Argument(argument)
    }
}

macro_rules! pointers {
    ($($(#[$doc:meta])* $name:ident = $direction:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<T, const COUNT: usize = ONE>(u64, PhantomData<fn(T) -> T>);

        impl<T, const COUNT: usize> Clone for $name<T, COUNT> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T, const COUNT: usize> Copy for $name<T, COUNT> {}

        impl<T, const COUNT: usize> $name<T, COUNT> {
            /// To an address that did not come as an argument (it was in a structure).
            #[must_use]
            pub const fn at(address: u64) -> Self {
                Self(address, PhantomData)
            }

            /// The address.
            #[must_use]
            #[inline]
            pub const fn address(self) -> u64 {
                self.0
            }
        }

        impl<T, const COUNT: usize> Plain for $name<T, COUNT> {
            type Value = u64;
            #[inline]
            fn plain(self) -> u64 {
                self.0
            }
        }

        impl<T, const COUNT: usize> Plain for Option<$name<T, COUNT>> {
            type Value = u64;
            #[inline]
            fn plain(self) -> u64 {
                self.map_or(0, $name::address)
            }
        }

        impl<T: Layout, const COUNT: usize> Argument for $name<T, COUNT> {
            const KIND: Kind = Kind::Pointer {
                direction: Direction::$direction,
                size: T::SIZE,
                count: count(COUNT),
                optional: false,
            };
            #[inline]
            fn decode(register: u64) -> Self {
                Self::at(register)
            }
        }

        impl<T: Layout, const COUNT: usize> Argument for Option<$name<T, COUNT>> {
            const KIND: Kind = Kind::Pointer {
                direction: Direction::$direction,
                size: T::SIZE,
                count: count(COUNT),
                optional: true,
            };
            #[inline]
            fn decode(register: u64) -> Self {
                (register != 0).then(|| $name::at(register))
            }
        }
    )*};
}

pointers! {
    /// To what the call reads: one `T`, or as many as argument `COUNT` says.
    In = In;
    /// To what the call writes.
    Out = Out;
    /// To what the call reads and writes.
    InOut = InOut;
}

fn read<M: Machine, T: Layout>(space: &Space<M>, address: u64) -> Result<T, UserError> {
    let mut bytes = T::ZERO;
    space.read(address, bytes.as_mut())?;
    Ok(T::decode(&bytes))
}

impl<T: Layout, const COUNT: usize> In<T, COUNT> {
    /// What is there.
    ///
    /// # Errors
    /// [`UserError`].
    pub fn read<M: Machine>(self, space: &Space<M>) -> Result<T, UserError> {
        read(space, self.0)
    }

    /// The element `index` of several.
    ///
    /// # Errors
    /// [`UserError`].
    pub fn read_at<M: Machine>(self, space: &Space<M>, index: u64) -> Result<T, UserError> {
        read(space, element::<T>(self.0, index)?)
    }
}

impl<T: Layout, const COUNT: usize> Out<T, COUNT> {
    /// Puts `value` there.
    ///
    /// # Errors
    /// [`UserError`].
    #[inline]
    pub fn write<M: Machine>(self, space: &Space<M>, value: &T) -> Result<(), UserError> {
        space.write(self.0, value.encode().as_ref())
    }
}

impl<T: Layout, const COUNT: usize> InOut<T, COUNT> {
    /// What is there.
    ///
    /// # Errors
    /// [`UserError`].
    pub fn read<M: Machine>(self, space: &Space<M>) -> Result<T, UserError> {
        read(space, self.0)
    }

    /// Puts `value` there.
    ///
    /// # Errors
    /// [`UserError`].
    pub fn write<M: Machine>(self, space: &Space<M>, value: &T) -> Result<(), UserError> {
        space.write(self.0, value.encode().as_ref())
    }

    /// The element `index` of several.
    ///
    /// # Errors
    /// [`UserError`].
    pub fn read_at<M: Machine>(self, space: &Space<M>, index: u64) -> Result<T, UserError> {
        read(space, element::<T>(self.0, index)?)
    }

    /// Puts `value` into the element `index` of several.
    ///
    /// # Errors
    /// [`UserError`].
    pub fn write_at<M: Machine>(
        self,
        space: &Space<M>,
        index: u64,
        value: &T,
    ) -> Result<(), UserError> {
        space.write(element::<T>(self.0, index)?, value.encode().as_ref())
    }
}

/// Where an element of an array is; beyond the address space's end is nobody's memory.
fn element<T: Layout>(base: u64, index: u64) -> Result<u64, UserError> {
    index
        .checked_mul(T::SIZE as u64)
        .and_then(|offset| base.checked_add(offset))
        .ok_or(UserError::Bad)
}

/// Bytes of a path with its zero, at most (`PATH_MAX`).
pub const PATH_MAX: usize = 4096;

/// A pointer to a file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path(u64);

impl Argument for Path {
    const KIND: Kind = Kind::Path;
    #[inline]
    fn decode(register: u64) -> Self {
        Self(register)
    }
}

impl Plain for Path {
    type Value = u64;
    #[inline]
    fn plain(self) -> u64 {
        self.0
    }
}

impl Path {
    /// To an address that did not come as an argument (it was in a structure).
    #[must_use]
    pub const fn at(address: u64) -> Self {
        Self(address)
    }

    /// The address.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.0
    }

    /// The name.
    ///
    /// # Errors
    /// The verdict: EFAULT, `ENAMETOOLONG`, or a page to bring in.
    pub fn read<M: Machine>(self, space: &Space<M>) -> Result<Vec<u8>, Verdict> {
        space
            .read_string(self.0, PATH_MAX - 1)?
            .ok_or(Verdict::Fail(Errno::ENAMETOOLONG))
    }
}

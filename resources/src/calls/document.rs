//! The table of calls as text: for people (`resources/system-calls.md`) and for tests in other programs.

use core::fmt::{self, Display, Formatter};

use super::argument::{Count, Direction, Kind};
use super::table::{Declaration, TABLE, Way};

/// The table for people, in Markdown.
#[derive(Clone, Copy, Debug)]
pub struct Markdown;

impl Display for Markdown {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(
            "# System calls\n\
             Made from the table in `src/calls/table.rs`; change it there.\n\n\
             Calls that are not here return ENOSYS and are counted by process and number (see \
             `vstat`).\n\n\
             - **direct**: at once, on the caller's core.\n\
             - **waits**: as direct, but the thread may have to wait.\n\
             - **request**: as a request to the resource named.\n\
             - **portions**: a bounded portion of the work at once, the rest as requests to the \
             resource named.\n\n\
             | number | call | how |\n\
             | ---: | --- | --- |\n",
        )?;
        TABLE.iter().try_for_each(|call| row(call, f))
    }
}

fn row(call: &Declaration, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "| {} | `{}(", call.number, call.name)?;
    for (index, parameter) in call.parameters.iter().enumerate() {
        let separator = if index > 0 { ", " } else { "" };
        write!(f, "{separator}{}", parameter.name)?;
    }
    writeln!(f, ")` | {} |", call.way)
}

impl Display for Way {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("direct"),
            Self::Waits => f.write_str("waits"),
            Self::Request(kind) => write!(f, "request to `{}`", kind.name()),
            Self::Portions(kind) => write!(f, "portions to `{}`", kind.name()),
        }
    }
}

/// The table for programs: a line for each call, fields separated by tabs. They are the number, the
/// name and the arguments, each as `name:kind`. Kinds are `integer`, `flags`, `descriptor`,
/// `signal`, `address`, `path`, and for pointers `in`, `out` or `inout`, the size of an element,
/// and if there are several the position of the argument that says how many, separated by colons; a
/// `?` at the end says that null means "none".
#[derive(Clone, Copy, Debug)]
pub struct Lines;

impl Display for Lines {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for call in TABLE {
            write!(f, "{}\t{}", call.number, call.name)?;
            for parameter in call.parameters {
                write!(f, "\t{}:{}", parameter.name, parameter.kind)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(_) => f.write_str("integer"),
            Self::Flags => f.write_str("flags"),
            Self::Descriptor => f.write_str("descriptor"),
            Self::Signal => f.write_str("signal"),
            Self::Address => f.write_str("address"),
            Self::Path => f.write_str("path"),
            Self::Pointer {
                direction,
                size,
                count,
                optional,
            } => {
                f.write_str(match direction {
                    Direction::In => "in",
                    Direction::Out => "out",
                    Direction::InOut => "inout",
                })?;
                write!(f, ":{size}")?;
                if let Count::Argument(position) = count {
                    write!(f, ":{position}")?;
                }
                f.write_str(if *optional { "?" } else { "" })
            }
        }
    }
}

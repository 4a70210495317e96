//! Linux's error numbers.
//!
//! Key types: [`Errno`]. The numbers are those of `linux-raw-sys`.

use linux_raw_sys::errno;

/// Why a system call failed: a number from 1 to 4095, which the program gets negated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Errno(u16);

macro_rules! errnos {
    ($($name:ident)*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`, as errno(3) describes it.")]
                pub const $name: Self = Self(errno::$name as u16);
            )*

            /// The name in errno.h, for messages; `None` for a number that is not used here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC
    ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP EOVERFLOW
    EOPNOTSUPP ENOTSOCK ETIMEDOUT ENOBUFS EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT
    EPROTONOSUPPORT ESOCKTNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETUNREACH EHOSTUNREACH
    ECONNABORTED ECONNRESET ECONNREFUSED EISCONN ENOTCONN EALREADY EINPROGRESS ELIBBAD ECANCELED
}

impl Errno {
    /// Of a number from 1 to 4095; EIO for any other.
    #[must_use]
    pub const fn of(number: i32) -> Self {
        match number {
            1..=4095 => Self(number as u16),
            _ => Self::EIO,
        }
    }

    /// The value in `rax` after a call that failed so.
    #[must_use]
    pub const fn result(self) -> u64 {
        (self.0 as u64).wrapping_neg()
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

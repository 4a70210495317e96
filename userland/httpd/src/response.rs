//! Answers: the head (RFC 9112) and what follows it.
//!
//! Key types: [`Status`], [`Response`], [`Body`].

use std::fmt::Write as _;
use std::rc::Rc;

use crate::request::Request;
use crate::store::Stored;

macro_rules! statuses {
    ($($name:ident $code:literal $reason:literal)*) => {
        /// How a request went (RFC 9110, section 15).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Status { $($name),* }

        impl Status {
            pub(crate) const fn code(self) -> u16 {
                match self { $(Self::$name => $code),* }
            }

            pub(crate) const fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason),* }
            }

            /// The first line of an answer.
            const fn line(self) -> &'static str {
                match self { $(Self::$name => concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n")),* }
            }
        }
    };
}

statuses! {
    Ok 200 "OK"
    PartialContent 206 "Partial Content"
    MovedPermanently 301 "Moved Permanently"
    NotModified 304 "Not Modified"
    BadRequest 400 "Bad Request"
    Forbidden 403 "Forbidden"
    NotFound 404 "Not Found"
    MethodNotAllowed 405 "Method Not Allowed"
    ContentTooLarge 413 "Content Too Large"
    UriTooLong 414 "URI Too Long"
    RangeNotSatisfiable 416 "Range Not Satisfiable"
    HeadersTooLarge 431 "Request Header Fields Too Large"
    InternalError 500 "Internal Server Error"
    NotImplemented 501 "Not Implemented"
    Unavailable 503 "Service Unavailable"
    VersionNotSupported 505 "HTTP Version Not Supported"
}

/// Bytes of a head besides those that are particular to what is served, about.
const FRAME: usize = 192;

/// What follows the head.
#[derive(Debug)]
pub(crate) enum Body {
    Text(String),
    /// A part of a file, in bytes: from the first up to and without the second.
    File(Rc<Stored>, u64, u64),
}

impl Body {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::File(_, start, end) => end - start,
        }
    }

    /// What it is, if it is in memory.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            Self::File(stored, start, end) => {
                stored.whole.as_ref()?.get(*start as usize..*end as usize)
            }
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: Status,
    /// Further lines of the head, each with its end.
    pub(crate) headers: String,
    pub(crate) body: Body,
}

impl Response {
    /// A page that says how the request went.
    pub(crate) fn page(status: Status) -> Self {
        let (code, reason) = (status.code(), status.reason());
        let mut headers = "Content-Type: text/html; charset=utf-8\r\n".to_owned();
        if status == Status::MethodNotAllowed {
            headers.push_str("Allow: GET, HEAD\r\n");
        }
        Self {
            status,
            headers,
            body: Body::Text(format!(
                "<!DOCTYPE html>\n<title>{code} {reason}</title>\n<h1>{code} {reason}</h1>\n"
            )),
        }
    }

    /// The head of the answer to a request; to something that is none without one. There is room
    /// behind it for a body that goes with it.
    pub(crate) fn head(&self, request: Option<&Request>, keep_alive: bool, date: &str) -> String {
        let body = self.body.bytes().map_or(0, <[u8]>::len);
        let mut head = String::with_capacity(FRAME + self.headers.len() + body);
        head.push_str(self.status.line());
        head.push_str("Server: httpd\r\nDate: ");
        head.push_str(date);
        head.push_str("\r\n");
        head.push_str(&self.headers);
        if self.status != Status::NotModified {
            // Writing to a string does not fail.
            let _ = write!(head, "Content-Length: {}\r\n", self.body.length());
        }
        let is_old = request.is_some_and(|request| request.minor == 0);
        head.push_str(match (keep_alive, is_old) {
            (true, true) => "Connection: keep-alive\r\n",
            (true, false) => "",
            (false, _) => "Connection: close\r\n",
        });
        head.push_str("\r\n");
        head
    }
}

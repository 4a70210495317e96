//! Requests and answers (RFC 9110, RFC 9112), as far as this server needs them.
//!
//! Key types: [`Request`], [`Status`], [`Answer`]. [`parse`] takes what a client has sent so far,
//! whatever it is.

use std::fmt::Write as _;

/// The longest head of a request, in bytes.
pub const MAX_HEAD: usize = 8 << 10;
const MAX_HEADERS: usize = 64;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The path, without a query.
    pub path: String,
    /// Whether it wants the head of the answer alone.
    pub head_only: bool,
    /// Whether it wants to ask again on this connection.
    pub keep_alive: bool,
}

macro_rules! statuses {
    ($($name:ident $code:literal $reason:literal)*) => {
        /// How a request went (RFC 9110, section 15).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Status { $(#[doc = $reason] $name),* }

        impl Status {
            /// Its number and its words.
            #[must_use]
            pub const fn line(self) -> &'static str {
                match self { $(Self::$name => concat!($code, " ", $reason)),* }
            }
        }
    };
}

statuses! {
    Ok 200 "OK"
    BadRequest 400 "Bad Request"
    NotFound 404 "Not Found"
    MethodNotAllowed 405 "Method Not Allowed"
    ContentTooLarge 413 "Content Too Large"
    HeadersTooLarge 431 "Request Header Fields Too Large"
    InternalError 500 "Internal Server Error"
    NotImplemented 501 "Not Implemented"
    Unavailable 503 "Service Unavailable"
    VersionNotSupported 505 "HTTP Version Not Supported"
}

/// The request that `bytes` begin with, and its length; `None` while it is not complete.
///
/// # Errors
/// It is none that this server answers; where it ends is unknown, so the connection ends with it.
pub fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Status> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(&bytes[..bytes.len().min(MAX_HEAD)]) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() >= MAX_HEAD => {
            return Err(Status::HeadersTooLarge);
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Status::HeadersTooLarge),
        Err(httparse::Error::Version) => return Err(Status::VersionNotSupported),
        Err(_) => return Err(Status::BadRequest),
    };
    let head_only = match head.method.unwrap_or_default() {
        "GET" => false,
        "HEAD" => true,
        "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS" | "TRACE" | "CONNECT" => {
            return Err(Status::MethodNotAllowed);
        }
        _ => return Err(Status::NotImplemented),
    };
    let value = |name: &str| {
        let is = |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
        head.headers.iter().find(is).map(|header| header.value)
    };
    let is_new = head.version == Some(1);
    if is_new && value("host").is_none() {
        return Err(Status::BadRequest);
    }
    let has_body = value("transfer-encoding").is_some()
        || value("content-length").is_some_and(|length| length != b"0");
    if has_body {
        return Err(Status::ContentTooLarge);
    }
    let connection = value("connection").unwrap_or_default();
    let says = |token: &[u8]| {
        let mut tokens = connection.split(|byte| *byte == b',');
        tokens.any(|one| one.trim_ascii().eq_ignore_ascii_case(token))
    };
    let target = head.path.unwrap_or_default();
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let request = Request {
        path: path.to_owned(),
        head_only,
        keep_alive: if is_new {
            !says(b"close")
        } else {
            says(b"keep-alive")
        },
    };
    Ok(Some((request, length)))
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How the request went.
    pub status: Status,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Answer {
    /// One that says in words how the request went.
    #[must_use]
    pub fn words(status: Status, words: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: format!("{words}\n"),
        }
    }

    /// What goes to the client.
    #[must_use]
    pub fn bytes(&self, head_only: bool, keep_alive: bool) -> Vec<u8> {
        let Self {
            status,
            content_type,
            body,
        } = self;
        let mut text = format!(
            "HTTP/1.1 {}\r\nServer: statsd\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
            status.line(),
            body.len(),
        );
        if *status == Status::MethodNotAllowed {
            text.push_str("Allow: GET, HEAD\r\n");
        }
        // Writing to a string does not fail. HTTP/1.0 has to be told of both.
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let _ = write!(text, "Connection: {connection}\r\n\r\n");
        if !head_only {
            text.push_str(body);
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests;

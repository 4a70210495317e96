//! Requests and answers (RFC 9110, RFC 9112), as far as this server needs them.
//!
//! Key types: [`Request`], [`Method`], [`Status`], [`Answer`]. [`parse`] takes what a client has sent so far,
//! whatever it is.

use std::fmt::Write as _;

/// The longest head of a request, in bytes.
pub const MAX_HEAD: usize = 8 << 10;
/// The longest body of a request, in bytes.
pub const MAX_BODY: usize = 4 << 10;
const MAX_HEADERS: usize = 64;

/// What is to be done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Show it.
    Get,
    /// Show the head of the answer alone.
    Head,
    /// Do what the body says.
    Post,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// The path, without a query.
    pub path: String,
    /// Whether it wants to ask again on this connection.
    pub keep_alive: bool,
    /// The token that it has sent (RFC 6750, section 2.1).
    pub token: Option<String>,
    /// What it has sent with it.
    pub body: Vec<u8>,
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
    Unauthorized 401 "Unauthorized"
    Forbidden 403 "Forbidden"
    NotFound 404 "Not Found"
    MethodNotAllowed 405 "Method Not Allowed"
    LengthRequired 411 "Length Required"
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
    let method = match head.method.unwrap_or_default() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" | "DELETE" | "PATCH" | "OPTIONS" | "TRACE" | "CONNECT" => {
            return Err(Status::MethodNotAllowed);
        }
        _ => return Err(Status::NotImplemented),
    };
    let is_new = head.version == Some(1);
    if is_new && value(head.headers, "host").is_none() {
        return Err(Status::BadRequest);
    }
    let end = length + body_length(method, head.headers)?;
    let Some(body) = bytes.get(length..end) else {
        return Ok(None);
    };
    let connection = value(head.headers, "connection").unwrap_or_default();
    let says = |token: &[u8]| {
        let mut tokens = connection.split(|byte| *byte == b',');
        tokens.any(|one| one.trim_ascii().eq_ignore_ascii_case(token))
    };
    let target = head.path.unwrap_or_default();
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let request = Request {
        method,
        path: path.to_owned(),
        keep_alive: if is_new {
            !says(b"close")
        } else {
            says(b"keep-alive")
        },
        token: value(head.headers, "authorization").and_then(token),
        body: body.to_vec(),
    };
    Ok(Some((request, end)))
}

/// The first value of a header.
fn value<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a [u8]> {
    let is = |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
    headers.iter().find(is).map(|header| header.value)
}

/// How long the body is, if it may have that length. What is sent in chunks has none.
fn body_length(method: Method, headers: &[httparse::Header<'_>]) -> Result<usize, Status> {
    let is_length =
        |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case("content-length");
    let mut lengths = headers.iter().filter(is_length).map(|header| header.value);
    let length = lengths.next();
    if lengths.any(|other| Some(other) != length) {
        return Err(Status::BadRequest);
    }
    let most = match method {
        Method::Post => MAX_BODY,
        Method::Get | Method::Head => 0,
    };
    let is_chunked = value(headers, "transfer-encoding").is_some();
    match (length, method) {
        (Some(_), _) if is_chunked => Err(Status::BadRequest),
        (None, Method::Post) => Err(Status::LengthRequired),
        (None, _) if is_chunked => Err(Status::ContentTooLarge),
        (None, _) => Ok(0),
        (Some(digits), _) if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) => {
            Err(Status::BadRequest)
        }
        // Digits that are no number are too many.
        (Some(digits), _) => str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .filter(|length| *length <= most)
            .ok_or(Status::ContentTooLarge),
    }
}

/// The token in the value of an `Authorization` header.
fn token(value: &[u8]) -> Option<String> {
    let (scheme, token) = str::from_utf8(value).ok()?.trim().split_once(' ')?;
    let token = token.trim_start();
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.to_owned())
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How the request went.
    pub status: Status,
    /// What the body is.
    pub content_type: &'static str,
    /// One more header, if the status asks for it.
    pub header: Option<&'static str>,
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
            header: match status {
                Status::MethodNotAllowed => Some("Allow: GET, HEAD"),
                Status::Unauthorized => Some("WWW-Authenticate: Bearer realm=\"control\""),
                _ => None,
            },
            body: format!("{words}\n"),
        }
    }

    /// One that shows something.
    #[must_use]
    pub const fn showing(content_type: &'static str, body: String) -> Self {
        Self {
            status: Status::Ok,
            content_type,
            header: None,
            body,
        }
    }

    /// What goes to the client.
    #[must_use]
    pub fn bytes(&self, head_only: bool, keep_alive: bool) -> Vec<u8> {
        let Self {
            status,
            content_type,
            header,
            body,
        } = self;
        let mut text = format!(
            "HTTP/1.1 {}\r\nServer: statsd\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
            status.line(),
            body.len(),
        );
        if let Some(line) = header {
            text.push_str(line);
            text.push_str("\r\n");
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

//! A request: the head of an HTTP message (RFC 9112), read from what a client has sent so far.
//!
//! Key types: [`Request`], [`Refusal`] (what is no request).

use std::mem::MaybeUninit;

use crate::response::Status;

/// The longest head, in bytes.
pub(crate) const MAX_HEAD: usize = 8 << 10;
const MAX_HEADERS: usize = 64;

/// How a request wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    /// The head alone.
    Head,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// What stands in the first line: a path, perhaps with a query behind it.
    pub(crate) target: String,
    /// Of HTTP 1.x.
    pub(crate) minor: u8,
    /// Whether the client wants to ask again on this connection.
    pub(crate) keep_alive: bool,
    pub(crate) range: Option<Vec<u8>>,
    pub(crate) if_modified_since: Option<String>,
    pub(crate) if_none_match: Option<String>,
    pub(crate) if_range: Option<String>,
}

/// A request that is not answered with a file; the connection is closed behind the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: Status,
    /// Whether the client reads no body: it has asked for the head alone.
    pub(crate) head_only: bool,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self {
            status,
            head_only: false,
        }
    }
}

/// The request that `bytes` begin with, and its length; `None` while its head is not complete.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Refusal> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut []);
    let bytes = &bytes[..bytes.len().min(MAX_HEAD)];
    let length = match head.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() >= MAX_HEAD => {
            return Err(match head.path {
                None => Status::UriTooLong,
                Some(_) => Status::HeadersTooLarge,
            }
            .into());
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Status::HeadersTooLarge.into()),
        Err(httparse::Error::Version) => return Err(Status::VersionNotSupported.into()),
        Err(_) => return Err(Status::BadRequest.into()),
    };
    Ok(Some((request(&head)?, length)))
}

fn request(head: &httparse::Request<'_, '_>) -> Result<Request, Refusal> {
    let method = match head.method.unwrap_or_default() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS" | "TRACE" | "CONNECT" => {
            return Err(Status::MethodNotAllowed.into());
        }
        _ => return Err(Status::NotImplemented.into()),
    };
    let refuse = |status| Refusal {
        status,
        head_only: method == Method::Head,
    };
    let value = |name: &str| {
        let is = |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
        head.headers.iter().find(is).map(|header| header.value)
    };
    let text = |name| value(name).and_then(|value| String::from_utf8(value.to_vec()).ok());
    let minor = head.version.unwrap_or(0);
    if minor > 0 && value("host").is_none() {
        return Err(refuse(Status::BadRequest));
    }
    // Nothing that is served takes a body; where one ends is not looked for.
    let has_body = value("transfer-encoding").is_some()
        || value("content-length").is_some_and(|length| length != b"0");
    if has_body {
        return Err(refuse(Status::ContentTooLarge));
    }
    let connection = |token: &str| {
        let tokens = text("connection").unwrap_or_default();
        tokens
            .split(',')
            .any(|one| one.trim().eq_ignore_ascii_case(token))
    };
    Ok(Request {
        method,
        target: head.path.unwrap_or_default().to_owned(),
        minor,
        keep_alive: match minor {
            0 => connection("keep-alive"),
            _ => !connection("close"),
        },
        range: value("range").map(<[u8]>::to_vec),
        if_modified_since: text("if-modified-since"),
        if_none_match: text("if-none-match"),
        if_range: text("if-range"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Result<Request, Status> {
        match parse(text.as_bytes()) {
            Ok(Some((request, length))) => {
                assert_eq!(length, text.len());
                Ok(request)
            }
            Ok(None) => panic!("{text:?} is not complete"),
            Err(refusal) => Err(refusal.status),
        }
    }

    #[test]
    fn connections_are_kept_as_the_versions_say() {
        for (text, kept) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                false,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n",
                false,
            ),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n", true),
        ] {
            assert_eq!(whole(text).unwrap().keep_alive, kept, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_request_for_a_file_is_refused() {
        for (text, status) in [
            ("GET / HTTP/1.1\r\n\r\n", Status::BadRequest),
            (
                "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
                Status::MethodNotAllowed,
            ),
            ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", Status::NotImplemented),
            (
                "GET / HTTP/3.1\r\nHost: a\r\n\r\n",
                Status::VersionNotSupported,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
                Status::ContentTooLarge,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                Status::ContentTooLarge,
            ),
            ("\u{1}\r\n\r\n", Status::BadRequest),
        ] {
            assert_eq!(whole(text).unwrap_err(), status, "{text:?}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(MAX_HEAD));
        assert_eq!(
            parse(long.as_bytes()).unwrap_err().status,
            Status::UriTooLong
        );
        let wide = format!("GET / HTTP/1.1\r\nA: {}\r\n", "a".repeat(MAX_HEAD));
        assert_eq!(
            parse(wide.as_bytes()).unwrap_err().status,
            Status::HeadersTooLarge
        );
        let many = format!(
            "GET / HTTP/1.1\r\n{}\r\n",
            "A: b\r\n".repeat(MAX_HEADERS + 1)
        );
        assert_eq!(
            parse(many.as_bytes()).unwrap_err().status,
            Status::HeadersTooLarge
        );
    }

    proptest! {
        #[test]
        fn anything_is_a_request_or_not(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_part_of_a_request_is_none_yet(end in 0_usize..60) {
            let text = b"GET /a/b?c HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\nA: bcdefg\r\n\r\n";
            prop_assert_eq!(parse(&text[..end]), Ok(None));
        }
    }
}

//! Requests that are fine, that are not, and whatever else a client sends.

use proptest::prelude::*;

use super::*;

#[test]
fn a_request_has_a_path_and_an_end() {
    for (text, path, method, keep_alive) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "/", Method::Get, true),
        (
            "GET /stats?a=b HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n",
            "/stats",
            Method::Get,
            false,
        ),
        (
            "HEAD /metrics HTTP/1.0\r\n\r\n",
            "/metrics",
            Method::Head,
            false,
        ),
        (
            "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
            "/",
            Method::Get,
            true,
        ),
    ] {
        let (request, length) = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(length, text.len());
        assert_eq!(
            (&*request.path, request.method, request.keep_alive),
            (path, method, keep_alive)
        );
    }
}

#[test]
fn a_body_belongs_to_its_request() {
    let head = "POST /control HTTP/1.1\r\nHost: a\r\nauthorization: bearer  abc\r\nContent-Length: 5\r\n\r\n";
    let text = format!("{head}helloGET / ");
    for end in 0..head.len() + 5 {
        assert_eq!(parse(&text.as_bytes()[..end]), Ok(None), "{end}");
    }
    let (request, length) = parse(text.as_bytes()).unwrap().unwrap();
    assert_eq!(length, head.len() + 5);
    assert_eq!(request.method, Method::Post);
    assert_eq!(request.body, b"hello");
    assert_eq!(request.token.as_deref(), Some("abc"));
}

#[test]
fn only_bearers_have_tokens() {
    for (value, expected) in [
        ("Bearer abc", Some("abc")),
        ("BEARER abc", Some("abc")),
        ("Bearer", None),
        ("Basic YTpi", None),
        ("abc", None),
        ("", None),
        ("\u{e4} abc", None),
    ] {
        assert_eq!(token(value.as_bytes()).as_deref(), expected, "{value}");
    }
    assert_eq!(token(b"Bearer \xff"), None);
}

#[test]
fn what_is_no_request_is_refused() {
    let long = format!("GET / HTTP/1.1\r\nA: {}\r\n", "a".repeat(MAX_HEAD));
    let many = format!(
        "GET / HTTP/1.1\r\n{}\r\n",
        "A: b\r\n".repeat(MAX_HEADERS + 1)
    );
    for (text, status) in [
        ("GET / HTTP/1.1\r\n\r\n", Status::BadRequest),
        (
            "PUT / HTTP/1.1\r\nHost: a\r\n\r\n",
            Status::MethodNotAllowed,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", Status::LengthRequired),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            Status::LengthRequired,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            Status::BadRequest,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            Status::BadRequest,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
            Status::BadRequest,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4097\r\n\r\n",
            Status::ContentTooLarge,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            Status::ContentTooLarge,
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
        (&long, Status::HeadersTooLarge),
        (&many, Status::HeadersTooLarge),
    ] {
        assert_eq!(parse(text.as_bytes()), Err(status), "{text:?}");
    }
}

#[test]
fn an_answer_says_how_long_it_is() {
    let answer = Answer::words(Status::NotFound, "no");
    let text = String::from_utf8(answer.bytes(false, false)).unwrap();
    assert!(text.starts_with("HTTP/1.1 404 Not Found\r\n"), "{text}");
    assert!(text.contains("\r\nContent-Length: 3\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nno\n"), "{text}");
    let head = String::from_utf8(answer.bytes(true, false)).unwrap();
    assert_eq!(text.strip_suffix("no\n"), Some(&*head));
}

proptest! {
    #[test]
    fn anything_is_a_request_or_not(bytes: Vec<u8>) {
        let _ = parse(&bytes);
    }

    #[test]
    fn what_is_a_request_lies_in_the_bytes(body in prop::collection::vec(any::<u8>(), 0..5000)) {
        let head = format!("POST / HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
        let bytes = [head.as_bytes(), &body].concat();
        match parse(&bytes) {
            Ok(Some((request, length))) => {
                prop_assert!(length == bytes.len() && request.body == body);
            }
            other => prop_assert!(other == Err(Status::ContentTooLarge) && body.len() > MAX_BODY),
        }
    }

    #[test]
    fn a_part_of_a_request_is_none_yet(end in 0_usize..47) {
        let text = b"GET /stats HTTP/1.1\r\nHost: x\r\nUser-Agent: a\r\n\r\n";
        prop_assert_eq!(parse(&text[..end]), Ok(None));
    }
}

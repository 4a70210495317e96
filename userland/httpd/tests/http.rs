//! The server as its clients see it, over the loop-back interface.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// For how long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that ends with the test.
struct Server {
    child: Child,
    address: SocketAddr,
    root: tempfile::TempDir,
}

impl Server {
    fn start(options: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_httpd"))
            .arg(root.path())
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        said.read_line(&mut line).unwrap();
        let address = line.rsplit_once("http://").unwrap().1;
        let address = address.trim_end().trim_end_matches('/').parse().unwrap();
        Self {
            child,
            address,
            root,
        }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The answer to one request, on a connection of its own.
    fn ask(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        Answer::read(&mut stream, request.starts_with("HEAD"))
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
    }

    fn get_with(&self, path: &str, header: &str) -> Answer {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n"
        ))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn read(stream: &mut TcpStream, head_only: bool) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Self {
            status,
            head,
            body: Vec::new(),
        };
        let length = answer.header("Content-Length");
        if !head_only && let Some(length) = length {
            answer.body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut answer.body).unwrap();
        }
        answer
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut pairs = lines.filter_map(|line| line.split_once(": "));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// Reads to the end; a connection that is reset has ended too.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    rest
}

#[test]
fn files_with_their_types_and_heads_alone() {
    let server = Server::start(&[]);
    server.file("index.html", "<p>first");
    server.file("a b/c.css", "body {}");
    let page = server.get("/");
    assert_eq!((page.status, page.body.as_slice()), (200, &b"<p>first"[..]));
    assert_eq!(
        page.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(server.get("/a%20b/c.css").body, b"body {}");
    let head = server.ask("HEAD /index.html HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (head.status, head.header("Content-Length")),
        (200, Some("8"))
    );
}

#[test]
fn what_is_not_there_and_what_is_no_request() {
    let server = Server::start(&["--no-listing"]);
    server.file("folder/file", "");
    assert_eq!(server.get("/nothing").status, 404);
    assert_eq!(server.get("/folder/file/").status, 404);
    assert_eq!(server.get("/folder/").status, 403);
    assert_eq!(server.get("/../etc/passwd").status, 400);
    assert_eq!(server.get("/folder/%2e%2e/%2e%2e/etc/passwd").status, 400);
    assert_eq!(server.get(&format!("/{}", "a".repeat(300))).status, 404);
    assert_eq!(server.ask("GET / HTTP/1.1\r\n\r\n").status, 400);
    let put = server.ask("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!((put.status, put.header("Allow")), (405, Some("GET, HEAD")));
    // And it is served on.
    assert_eq!(server.get("/folder/file").status, 200);
}

#[test]
fn folders_have_a_slash_and_a_list() {
    let server = Server::start(&[]);
    server.file("folder/one", "");
    let moved = server.get("/folder?x=1");
    assert_eq!(
        (moved.status, moved.header("Location")),
        (301, Some("/folder/?x=1"))
    );
    assert_eq!(server.get("//folder").header("Location"), Some("/folder/"));
    let list = String::from_utf8(server.get("/folder/").body).unwrap();
    assert!(list.contains("<a href=\"one\">one</a>"), "{list}");
}

#[test]
fn parts_of_a_file_and_files_that_one_has() {
    let server = Server::start(&[]);
    server.file("f", "0123456789");
    let part = server.get_with("/f", "Range: bytes=2-4");
    assert_eq!((part.status, part.body.as_slice()), (206, &b"234"[..]));
    assert_eq!(part.header("Content-Range"), Some("bytes 2-4/10"));
    let none = server.get_with("/f", "Range: bytes=10-");
    assert_eq!(
        (none.status, none.header("Content-Range")),
        (416, Some("bytes */10"))
    );
    let tag = part.header("ETag").unwrap();
    let date = part.header("Last-Modified").unwrap();
    for known in [
        format!("If-None-Match: \"x\", W/{tag}"),
        "If-None-Match: *".to_owned(),
        format!("If-Modified-Since: {date}"),
    ] {
        let answer = server.get_with("/f", &known);
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
        assert_eq!(answer.header("Content-Length"), None);
    }
    let changed = "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(server.get_with("/f", changed).status, 200);
    let other = "Range: bytes=2-4\r\nIf-Range: \"other\"";
    assert_eq!(server.get_with("/f", other).status, 200);
    let same = format!("Range: bytes=2-4\r\nIf-Range: {tag}");
    assert_eq!(server.get_with("/f", &same).status, 206);
}

#[test]
fn a_connection_has_many_requests_also_at_once() {
    let server = Server::start(&[]);
    for number in 0..10 {
        server.file(&number.to_string(), format!("file {number}"));
    }
    let mut stream = server.connect();
    for _ in 0..2 {
        let requests: String = (0..10)
            .map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .collect();
        stream.write_all(requests.as_bytes()).unwrap();
        for number in 0..10 {
            let answer = Answer::read(&mut stream, false);
            assert_eq!(answer.body, format!("file {number}").into_bytes());
        }
    }
    // As ApacheBench asks with -k.
    let old = b"GET /1 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    stream.write_all(old).unwrap();
    let answer = Answer::read(&mut stream, false);
    assert_eq!(answer.header("Connection"), Some("keep-alive"));
    stream.write_all(b"GET /2 HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(
        Answer::read(&mut stream, false).header("Connection"),
        Some("close")
    );
    assert_eq!(rest(&mut stream), b"");
}

#[test]
fn large_files_to_slow_readers_beside_others() {
    let server = Server::start(&[]);
    let content: Vec<u8> = (0_u32..2_000_000).flat_map(u32::to_le_bytes).collect();
    server.file("large", &content);
    server.file("small", "small");
    let ask = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut slow = server.connect();
    slow.write_all(ask).unwrap();
    // One goes away in the middle.
    let mut gone = server.connect();
    gone.write_all(ask).unwrap();
    gone.read_exact(&mut [0; 1000]).unwrap();
    drop(gone);
    assert_eq!(server.get("/small").body, b"small");
    let answer = Answer::read(&mut slow, false);
    assert!(answer.body == content);
}

#[test]
fn who_says_nothing_makes_room_for_who_waits() {
    let server = Server::start(&["--connections", "2", "--idle", "1"]);
    server.file("f", "here");
    let mut idle = [server.connect(), server.connect()];
    idle[0].write_all(b"GET /f HT").unwrap();
    // Let in when the first are closed.
    assert_eq!(server.get("/f").body, b"here");
    for stream in &mut idle {
        assert_eq!(rest(stream), b"");
    }
}

#[test]
fn nonsense_is_refused_and_harms_nobody() {
    let server = Server::start(&[]);
    server.file("f", "here");
    for nonsense in [
        &b"\0\0\0\0\r\n\r\n"[..],
        &[0xff; 20_000],
        b"GET /f HTTP/1.1\r\nHost: a\r\n: \r\n\r\n",
        b"GET  HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    ] {
        let mut stream = server.connect();
        // It may have been refused before all of it was sent.
        let _ = stream.write_all(nonsense);
        let said = rest(&mut stream);
        let status = String::from_utf8_lossy(&said[..said.len().min(12)]).into_owned();
        assert!(status.starts_with("HTTP/1.1 4"), "{status:?}");
    }
    assert_eq!(server.get("/f").body, b"here");
}

#[test]
fn requests_are_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let server = Server::start(&["--log", log.to_str().unwrap()]);
    server.file("f", "0123456789");
    server.get("/f?q");
    server.get_with("/f", "Range: bytes=0-2");
    server.ask("HEAD /none HTTP/1.0\r\n\r\n");
    let lines = wait_for_lines(&log, 3);
    for (line, end) in lines.iter().zip([
        "\"GET /f?q HTTP/1.1\" 200 10",
        "\"GET /f HTTP/1.1\" 206 3",
        "\"HEAD /none HTTP/1.0\" 404 0",
    ]) {
        assert!(
            line.starts_with("127.0.0.1 - - [") && line.ends_with(end),
            "{line}"
        );
    }
}

fn wait_for_lines(file: &Path, count: usize) -> Vec<String> {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text.lines().count() >= count {
            return text.lines().map(str::to_owned).collect();
        }
        assert!(std::time::Instant::now() < deadline, "only {text:?}");
        std::thread::yield_now();
    }
}

#[test]
fn what_cannot_be_served_is_said() {
    for (arguments, expected) in [
        (vec!["/nonexistent"], "httpd: cannot serve /nonexistent: "),
        (
            vec!["/", "--listen", "192.0.2.1:80"],
            "httpd: cannot listen on 192.0.2.1:80: ",
        ),
        (vec!["/", "--listen", "x"], "error: invalid value"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_httpd"))
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.starts_with(expected),
            "{said}"
        );
    }
}

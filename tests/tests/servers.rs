//! Web servers that are not ours, as `experiment web --server` has them: BusyBox's (Debian's package) and
//! ACME's mini_httpd (its source from Debian, compiled here). Where they cannot be fetched, that is said
//! and nothing tried.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use vortex_tests::monitored::{START, free_port};
use vortex_tests::slots::Slots;
use xtask::linux::Unpacked;
use xtask::nic::{self, Forward, Nic};
use xtask::packages::{self, Package};
use xtask::process;
use xtask::program::{self, Program};
use xtask::qemu::{Guest, Next};
use xtask::userland::GuestFile;
use xtask::workspace;

/// The first server's port in the guest; the others' follow.
const PORT: u16 = 8000;
/// How long an answer may take, on a busy host.
const ANSWER: Duration = Duration::from_secs(10);
/// Requests of ApacheBench's to each server, and how many at once.
const REQUESTS: u32 = 40;
const AT_ONCE: u32 = 8;

/// Debian's package of mini_httpd, and its source.
const MINI: &str = "mini-httpd";
const SOURCE: &str = "mini-httpd_1.30.orig.tar.gz";
const SHA256: &str = "9c4481802af8dde2e164062185c279e9274525c3af93d014fdc0b80cf30bca6e";
const FOLDER: &str = "mini_httpd-1.30";

/// A server: its program here, and its arguments.
struct Server {
    file: PathBuf,
    arguments: &'static [&'static str],
}

fn busybox() -> Result<Server> {
    const PACKAGE: &str = "busybox-static";
    let busybox = Unpacked::fetch(&[PACKAGE])?.file(PACKAGE, "/bin/busybox")?;
    Ok(Server {
        file: busybox.file,
        arguments: &["httpd", "-f", "-h", "/www", "-p"],
    })
}

/// It has no package that is linked statically, so its source is compiled, once.
fn mini_httpd() -> Result<Server> {
    let folder = workspace::target_subdir("linux/sources")?;
    let program = folder.join("mini_httpd");
    if !program.is_file() {
        let source = fetch(&folder)?;
        for (list, table) in [
            ("mime_types.txt", "mime_types.h"),
            ("mime_encodings.txt", "mime_encodings.h"),
        ] {
            let text = fs::read_to_string(source.join(list))?;
            fs::write(source.join(table), rows(&text))?;
        }
        let made = source.join("mini_httpd");
        let mut compiler = process::command("cc");
        compiler
            .args(["-static", "-O1", "-w", "-o"])
            .arg(&made)
            .args(["mini_httpd.c", "match.c", "tdate_parse.c", "-lcrypt"])
            .current_dir(&source);
        process::run_quietly("compiling mini_httpd", &mut compiler)?;
        fs::rename(made, &program)?;
    }
    Ok(Server {
        file: program,
        arguments: &["-D", "-u", "root", "-d", "/www", "-p"],
    })
}

/// Fetches the source from where the package comes from, and unpacks it.
fn fetch(folder: &Path) -> Result<PathBuf> {
    let mut apt = process::command("apt-get");
    let said = apt.args(["download", "--print-uris", MINI]).output()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let uri = said.split('\'').nth(1);
    let (place, _) = (uri.and_then(|uri| uri.rsplit_once('/')))
        .with_context(|| format!("apt does not know {MINI}"))?;
    let archive = folder.join(SOURCE);
    let mut curl = process::command("curl");
    curl.args(["--silent", "--show-error", "--fail", "--output"])
        .arg(&archive)
        .arg(format!("{place}/{SOURCE}"));
    process::run_quietly("fetching mini_httpd", &mut curl)?;
    let digest = process::command("sha256sum").arg(&archive).output()?;
    ensure!(
        String::from_utf8_lossy(&digest.stdout).starts_with(SHA256),
        "{} is another file",
        archive.display()
    );
    let mut tar = process::command("tar");
    tar.arg("xf").arg(&archive).current_dir(folder);
    process::run_quietly("unpacking mini_httpd", &mut tar)?;
    Ok(folder.join(FOLDER))
}

/// What its Makefile makes of a list of endings: rows of a table in C.
fn rows(list: &str) -> String {
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once(char::is_whitespace));
    let row =
        |(ending, what): (&str, &str)| format!("{{ {ending:?}, 0, {:?}, 0 }},\n", what.trim());
    pairs.map(row).collect()
}

/// For each server a process on a port of its own.
fn configuration(servers: &[Server]) -> String {
    let process = |(number, server): (usize, &Server)| {
        let port = (usize::from(PORT) + number).to_string();
        let arguments = server.arguments.iter().copied().chain([port.as_str()]);
        let arguments: String = arguments.map(|word| format!("<arg>{word}</arg>")).collect();
        format!(
            "<process name=\"server{number}\"><path>{}</path>{arguments}</process>\n",
            place(server)
        )
    };
    let processes: String = servers.iter().enumerate().map(process).collect();
    format!(
        "<schedulerconfig>\n\
         <cpumultiplexor tag=\"zero\"><core>0</core><algorithm>propshare.wfq</algorithm></cpumultiplexor>\n\
         <cpumultiplexor tag=\"one\"><core>1</core><algorithm>propshare.wfq</algorithm></cpumultiplexor>\n\
         <network interface=\"net0\"><address>dhcp</address></network>\n{processes}</schedulerconfig>\n"
    )
}

/// Where a server's program is in the guest; BusyBox looks at its name.
fn place(server: &Server) -> String {
    let name = server.file.file_name().unwrap_or_default();
    format!("/server/{}", name.to_string_lossy())
}

/// A page, by one connection.
fn get(port: u16) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(b"GET /page HTTP/1.0\r\nHost: guest\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1."), "no answer");
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    Ok(answer.split_off(end.context("no end of its head")? + 4))
}

/// Waits for the server's answer to a first request.
#[track_caller]
fn first(guest: &mut Guest, port: u16) -> Vec<u8> {
    let deadline = Instant::now() + START;
    let mut said = String::new();
    loop {
        match get(port) {
            Ok(page) => return page,
            Err(error) => assert!(Instant::now() < deadline, "{error:#}\n{said}"),
        }
        match guest.next(Instant::now() + Duration::from_millis(100)) {
            Next::Line(line) => said += &format!("{}\n", line.text),
            Next::Output(bytes) => said += &String::from_utf8_lossy(&bytes),
            Next::Over => panic!("the guest has ended:\n{said}"),
            Next::Deadline => {}
        }
    }
}

/// ApacheBench asks for the page again and again, several times at once; all answers are of its length.
#[track_caller]
fn asked_by_apache_bench(port: u16) {
    let asked = process::command("ab")
        .args([
            "-q",
            "-n",
            &REQUESTS.to_string(),
            "-c",
            &AT_ONCE.to_string(),
        ])
        .arg(format!("http://{}:{port}/page", Ipv4Addr::LOCALHOST))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    for line in [
        format!("Complete requests:      {REQUESTS}"),
        "Failed requests:        0".into(),
    ] {
        assert!(said.lines().any(|other| other == line), "{asked:?}");
    }
    assert!(!said.contains("Non-2xx"), "{said}");
}

#[test]
fn servers_that_are_not_ours_serve() {
    let fetched: Result<Vec<Server>> = [busybox, mini_httpd]
        .iter()
        .map(|server| server())
        .collect();
    let servers = match fetched {
        Ok(servers) => servers,
        Err(error) => return eprintln!("nothing is tried: {error:#}"),
    };
    packages::require(&[Package::ApacheBench]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let page: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut files: Vec<GuestFile> = servers
        .iter()
        .map(|server| GuestFile {
            path: place(server),
            file: server.file.clone(),
        })
        .collect();
    for (path, name, bytes) in [
        ("/www/page", "page", &page[..]),
        ("/etc/passwd", "passwd", b"root:x:0:0:root:/:/bin/sh\n"),
    ] {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        files.push(GuestFile {
            path: path.into(),
            file,
        });
    }
    let ports: Vec<Forward> = (0..servers.len())
        .map(|number| Forward {
            host: free_port(),
            guest: PORT + u16::try_from(number).unwrap(),
        })
        .collect();
    let _slot = Slots::one().unwrap();
    let mut guest = program::start(&Program {
        configuration: configuration(&servers),
        smp: 2,
        files,
        extra: nic::arguments(Nic::VirtioNet, 0, &ports),
        ..Program::default()
    })
    .unwrap();
    for forward in ports {
        assert!(first(&mut guest, forward.host) == page, "another page");
        asked_by_apache_bench(forward.host);
        assert!(
            get(forward.host).unwrap() == page,
            "another page afterwards"
        );
    }
}

//! Sockets over the loop-back interface, as a program sees them: what it writes must be the same on
//! Linux and on Vortex.
//!
//! Usage: `sockets`. It writes a line for each thing it tries.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{set_tcp_congestion, tcp_congestion};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Bytes of the long transfers.
const LONG: usize = 3_000_000;
/// Connections that are opened and closed one after another.
const MANY: usize = 300;
/// Connections that are open at the same time.
const AT_ONCE: usize = 100;

fn main() -> io::Result<()> {
    streams()?;
    long_transfers()?;
    congestion_control()?;
    refusals()?;
    ends_of_streams()?;
    time_limits()?;
    without_waiting()?;
    many()?;
    without_descriptors()?;
    datagrams()?;
    inside_the_machine()?;
    println!("sockets: done");
    Ok(())
}

fn localhost(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A listener, and where it is.
fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(localhost(0))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Two ends of a connection: the one that has opened it first.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let (listener, address) = listen()?;
    let client = TcpStream::connect(address)?;
    let (server, from) = listener.accept()?;
    assert_eq!(client.local_addr()?, from);
    assert_eq!(client.peer_addr()?, server.local_addr()?);
    Ok((client, server))
}

fn streams() -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.write_all(b"a question")?;
    let mut buffer = [0; 100];
    let length = server.peek(&mut buffer)?;
    println!("peeked: {:?}", String::from_utf8_lossy(&buffer[..length]));
    let length = server.read(&mut buffer)?;
    println!("read: {:?}", String::from_utf8_lossy(&buffer[..length]));
    server.write_all(b"an answer")?;
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    println!("answer: {answer:?}");
    client.set_nodelay(true)?;
    println!("nodelay: {}, ttl: {}", client.nodelay()?, client.ttl()?);
    println!("error: {:?}", client.take_error()?);
    let other = client.try_clone()?;
    println!("same peer: {}", other.peer_addr()? == client.peer_addr()?);
    Ok(())
}

/// A byte of a stream, by its place.
fn byte(place: usize) -> u8 {
    (place % 251) as u8 ^ (place / 65_536) as u8
}

fn check(mut stream: impl Read) -> io::Result<usize> {
    let mut buffer = vec![0; 70_000];
    let mut place = 0;
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(place);
        }
        for (index, found) in buffer[..length].iter().enumerate() {
            assert_eq!(*found, byte(place + index), "at {}", place + index);
        }
        place += length;
    }
}

/// Both ways at the same time, more than any buffer holds.
fn long_transfers() -> io::Result<()> {
    let (client, server) = pair()?;
    let data: Vec<u8> = (0..LONG).map(byte).collect();
    let totals = thread::scope(|scope| {
        let ends = [&client, &server].map(|mut stream| {
            let data = &data;
            scope.spawn(move || {
                stream.write_all(data)?;
                stream.shutdown(Shutdown::Write)
            });
            scope.spawn(move || check(stream))
        });
        ends.map(|end| end.join().expect("it does not panic"))
    });
    for total in totals {
        println!("a long transfer: {} bytes", total?);
    }
    Ok(())
}

fn kind(result: io::Result<impl Sized>) -> String {
    match result {
        Ok(_) => "it works".into(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// A listener's choice is its connections', and one can be made in the middle of a connection.
fn congestion_control() -> io::Result<()> {
    let (listener, address) = listen()?;
    set_tcp_congestion(&listener, "reno")?;
    let mut client = TcpStream::connect(address)?;
    let (mut server, _) = listener.accept()?;
    println!("the listener's: {}", tcp_congestion(&server)?);
    client.write_all(b"before")?;
    set_tcp_congestion(&client, "reno")?;
    println!("chosen: {}", tcp_congestion(&client)?);
    client.write_all(b", after")?;
    drop(client);
    let mut read = String::new();
    server.read_to_string(&mut read)?;
    println!("read: {read:?}");
    println!("unknown: {:?}", set_tcp_congestion(&server, "no-such"));
    Ok(())
}

fn refusals() -> io::Result<()> {
    let (listener, address) = listen()?;
    println!("bound twice: {}", kind(TcpListener::bind(address)));
    drop(listener);
    println!("nobody listens: {}", kind(TcpStream::connect(address)));
    let elsewhere = SocketAddr::from((Ipv4Addr::new(127, 9, 8, 7), 0));
    println!(
        "another loop-back address: {}",
        kind(TcpListener::bind(elsewhere))
    );
    let nowhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 0));
    println!(
        "somebody else's address: {}",
        kind(TcpListener::bind(nowhere))
    );
    let socket = UdpSocket::bind(localhost(0))?;
    println!("not connected: {}", kind(socket.peer_addr()));
    println!("no destination: {}", kind(socket.send(b"to whom?")));
    let (server, closed) = (
        UdpSocket::bind(localhost(0))?,
        UdpSocket::bind(localhost(0))?,
    );
    server.connect(closed.local_addr()?)?;
    drop(closed);
    server.send(b"anybody there?")?;
    println!("nobody reads: {}", kind(server.recv(&mut [0; 10])));
    let long = vec![0; 65_508];
    println!(
        "a datagram that is too long: {}",
        kind(socket.send_to(&long, localhost(9)))
    );
    Ok(())
}

fn ends_of_streams() -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.shutdown(Shutdown::Write)?;
    println!("after the end: {} bytes", server.read(&mut [0; 10])?);
    println!("written after the end: {}", kind(client.write(b"more")));
    server.write_all(b"the other way")?;
    drop(server);
    let mut rest = String::new();
    client.read_to_string(&mut rest)?;
    println!("the other way: {rest:?}");
    // One that is closed with data unread is reset.
    let (mut client, server) = pair()?;
    client.write_all(b"nobody reads this")?;
    let mut one = [0];
    while server.peek(&mut one)? == 0 {}
    drop(server);
    println!("reset: {}", kind(client.read(&mut [0; 10])));
    println!("and then: {}", kind(client.read(&mut [0; 10])));
    Ok(())
}

fn time_limits() -> io::Result<()> {
    let (mut client, _server) = pair()?;
    // A whole number of Linux's ticks, at whatever rate they come.
    let limit = Duration::from_millis(40);
    client.set_read_timeout(Some(limit))?;
    println!("limit: {:?}", client.read_timeout()?);
    let started = Instant::now();
    println!("in time: {}", kind(client.read(&mut [0; 10])));
    println!("waited: {}", started.elapsed() >= limit);
    let socket = UdpSocket::bind(localhost(0))?;
    socket.set_read_timeout(Some(limit))?;
    println!("no datagram: {}", kind(socket.recv(&mut [0; 10])));
    Ok(())
}

fn without_waiting() -> io::Result<()> {
    let (listener, address) = listen()?;
    listener.set_nonblocking(true)?;
    println!("nobody connects: {}", kind(listener.accept()));
    let mut client = TcpStream::connect(address)?;
    let mut server = loop {
        match listener.accept() {
            Ok((server, _)) => break server,
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => return Err(error),
        }
    };
    server.set_nonblocking(true)?;
    println!("nothing to read: {}", kind(server.read(&mut [0; 10])));
    // Until no more fits, and then all of it is read.
    let mut written = 0;
    let chunk = [7; 10_000];
    loop {
        match server.write(&chunk) {
            Ok(length) => written += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    println!("much fits: {}", written > 50_000);
    drop(server);
    let mut read = 0;
    let mut buffer = [0; 30_000];
    loop {
        match client.read(&mut buffer)? {
            0 => break,
            length => read += length,
        }
    }
    println!("all of it comes: {}", read == written);
    Ok(())
}

/// Who comes while there is no descriptor for it waits, and has lost nothing.
fn without_descriptors() -> io::Result<()> {
    let (listener, address) = listen()?;
    let mut client = TcpStream::connect(address)?;
    client.write_all(b"patience")?;
    let limit = getrlimit(Resource::Nofile);
    let next = File::open("/dev/null")?.as_raw_fd().unsigned_abs();
    let current = Some(next.into());
    setrlimit(Resource::Nofile, Rlimit { current, ..limit })?;
    let refused = listener.accept().map(|_| ());
    println!(
        "without a descriptor: {:?}",
        refused.map_err(|error| error.raw_os_error())
    );
    setrlimit(Resource::Nofile, limit)?;
    let (mut server, _) = listener.accept()?;
    let mut text = [0; 8];
    server.read_exact(&mut text)?;
    println!("with one: {:?}", String::from_utf8_lossy(&text));
    Ok(())
}

fn many() -> io::Result<()> {
    let (listener, address) = listen()?;
    let server = thread::spawn(move || -> io::Result<()> {
        for _ in 0..MANY {
            let (mut stream, _) = listener.accept()?;
            let mut buffer = [0; 16];
            let length = stream.read(&mut buffer)?;
            stream.write_all(&buffer[..length])?;
        }
        let all: io::Result<Vec<_>> = (0..AT_ONCE).map(|_| listener.accept()).collect();
        for (mut stream, _) in all? {
            stream.write_all(b"!")?;
        }
        Ok(())
    });
    let mut right = 0;
    for number in 0..MANY {
        let mut stream = TcpStream::connect(address)?;
        let text = format!("number {number}");
        stream.write_all(text.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        right += usize::from(answer == text);
    }
    println!("one after another: {right}");
    let all: io::Result<Vec<_>> = (0..AT_ONCE).map(|_| TcpStream::connect(address)).collect();
    let mut right = 0;
    for mut stream in all? {
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        right += usize::from(answer == "!");
    }
    println!("at once: {right}");
    server.join().expect("it does not panic")
}

fn datagrams() -> io::Result<()> {
    let one = UdpSocket::bind(localhost(0))?;
    let other = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = other.local_addr()?.port();
    for text in ["a datagram", "", "a longer datagram"] {
        one.send_to(text.as_bytes(), localhost(port))?;
        let mut buffer = [0; 12];
        let (length, from) = other.recv_from(&mut buffer)?;
        let right = from == one.local_addr()?;
        println!("{:?}, {right}", String::from_utf8_lossy(&buffer[..length]));
    }
    other.connect(one.local_addr()?)?;
    let long: Vec<u8> = (0..60_000).map(byte).collect();
    other.send(&long)?;
    let mut buffer = vec![0; 65_536];
    let length = one.recv(&mut buffer)?;
    println!("a long one: {}", buffer[..length] == long[..]);
    // Order is kept, and none is lost that fits.
    for number in 0..50_u32 {
        other.send(&number.to_le_bytes())?;
    }
    let mut in_order = 0;
    for number in 0..50_u32 {
        let mut bytes = [0; 4];
        one.recv(&mut bytes)?;
        in_order += u32::from(u32::from_le_bytes(bytes) == number);
    }
    println!("in order: {in_order}");
    Ok(())
}

fn inside_the_machine() -> io::Result<()> {
    let (mut one, other) = UnixStream::pair()?;
    let data: Vec<u8> = (0..LONG).map(byte).collect();
    let total = thread::scope(|scope| {
        let reader = scope.spawn(move || check(other));
        one.write_all(&data)?;
        one.shutdown(Shutdown::Write)?;
        println!("the other end is gone: {} bytes", one.read(&mut [0; 10])?);
        reader.join().expect("it does not panic")
    })?;
    println!("inside the machine: {total} bytes");
    println!("written to nobody: {}", kind(one.write(b"more")));
    Ok(())
}

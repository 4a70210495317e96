//! Guests whose statistics are served, and asked for from here by a forwarded port.
//!
//! Key types: [`Configuration`] (who runs there), [`Monitored`] (the guest).

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use vortex_statsd::Statistics;
use xtask::nic::{self, Forward, Nic};
use xtask::program::{self, Program};
use xtask::qemu::{self, Guest, Next};

/// Processors of such a guest.
pub const SMP: u64 = 2;
/// How long the guest may take to start serving, and a condition to come true there.
pub const START: Duration = Duration::from_secs(120);
/// In what time the server answers.
pub const ANSWER: Duration = Duration::from_secs(1);
/// The server's port in the guest.
const PORT: u16 = 9100;
/// What the server says when it listens.
const LISTENS: &str = "statsd: the statistics at http://";

/// Who runs in the guest.
#[derive(Clone, Copy, Debug)]
pub struct Configuration<'a> {
    /// Activities with their weights: a hog in each but the last, which is the server's.
    pub activities: &'a [(&'a str, u32)],
    /// Arguments and rights of the server, as elements of the configuration.
    pub server: &'a str,
    /// More processes.
    pub more: &'a str,
}

impl Configuration<'_> {
    fn xml(&self) -> String {
        let core = |core: u64| {
            format!(
                "<cpumultiplexor tag=\"cpumux{core}\"><core>{core}</core>\
                 <algorithm>propshare.wfq</algorithm></cpumultiplexor>\n"
            )
        };
        let parent = |core: u64| {
            format!("<cpumultiplexor><tag>cpumux{core}</tag><share>100</share></cpumultiplexor>")
        };
        let activity = |(name, weight): &(&str, u32)| {
            format!("<activity name=\"{name}\"><weight>{weight}</weight></activity>\n")
        };
        let hog = |(name, _): &(&str, u32)| {
            format!(
                "<process name=\"{name}\"><path>/bin/cpuhog</path><activity>{name}</activity>\
                 </process>\n"
            )
        };
        let (last, hogs) = (self.activities.split_last()).expect("the server has an activity");
        format!(
            "<schedulerconfig>\n\
             {}{}<resourcescheduler><resource>resource.thread</resource>\
             <algorithm>propshare.round-robin</algorithm><timeslice>5000</timeslice>\
             <loadsharing><policy>least-bound</policy><ttl>forever</ttl></loadsharing>{}\
             </resourcescheduler>\n\
             <network interface=\"net0\"><address>dhcp</address></network>\n\
             {}<process name=\"statsd\"><path>/bin/statsd</path><activity>{}</activity>\
             <arg>--listen</arg><arg>0.0.0.0:{PORT}</arg>{}</process>\n\
             {}</schedulerconfig>\n",
            self.activities.iter().map(activity).collect::<String>(),
            (0..SMP).map(core).collect::<String>(),
            (0..SMP).map(parent).collect::<String>(),
            hogs.iter().map(hog).collect::<String>(),
            last.0,
            self.server,
            self.more,
        )
    }
}

/// A running guest, until this is dropped.
pub struct Monitored {
    address: SocketAddr,
    _guest: Guest,
}

impl Monitored {
    /// Starts a guest, and waits until it has said all of these words and its server answers.
    ///
    /// # Panics
    /// When it does not within [`START`].
    #[must_use]
    pub fn start(configuration: &Configuration<'_>, words: &[&str]) -> Self {
        let forward = Forward {
            host: free_port(),
            guest: PORT,
        };
        let mut guest = program::start(&Program {
            configuration: configuration.xml(),
            smp: SMP as u32,
            extra: nic::arguments(Nic::VirtioNet, 0, &[forward]),
            ..Program::default()
        })
        .expect("the guest starts");
        wait_for(&mut guest, &[&[LISTENS], words].concat());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, forward.host));
        let monitored = Self {
            address,
            _guest: guest,
        };
        // Until the guest has its address, connections come to nothing.
        let deadline = Instant::now() + START;
        while let Err(error) = monitored.get("/stats") {
            assert!(Instant::now() < deadline, "no answer: {error}");
        }
        monitored
    }

    /// Where the server is asked.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What there is at this path.
    ///
    /// # Errors
    /// When the server does not answer, or with another status than 200.
    pub fn get(&self, path: &str) -> io::Result<String> {
        let answer = self.ask(&format!("GET {path} HTTP/1.0\r\n\r\n"))?;
        let body = answer.strip_prefix("HTTP/1.1 200 OK\r\n");
        let body = body.and_then(|rest| rest.split_once("\r\n\r\n"));
        let (_, body) = body.ok_or_else(|| io::Error::other(answer.clone()))?;
        Ok(body.to_owned())
    }

    /// The statistics as they are now.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let text = self.get("/stats").expect("there are statistics");
        serde_json::from_str(&text).expect("they can be read")
    }

    /// Sends a command; the status of the answer, and the answer.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn post(&self, token: &str, command: &str) -> (String, String) {
        let length = command.len();
        let request = format!(
            "POST /control HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {length}\r\n\r\n{command}"
        );
        let answer = self.ask(&request).expect("commands are answered");
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        (status, answer)
    }

    /// All that the server answers.
    fn ask(&self, request: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(10 * ANSWER))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// A port of the host's that nobody has.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.expect("a port is free").port()
}

fn wait_for(guest: &mut Guest, words: &[&str]) {
    let deadline = qemu::within(START);
    let mut said = String::new();
    while !words.iter().all(|words| said.contains(words)) {
        match guest.next(deadline) {
            Next::Line(line) => said += &format!("{}\n", line.text),
            Next::Output(bytes) => said += &String::from_utf8_lossy(&bytes),
            Next::Over | Next::Deadline => panic!("not {words:?}; the guest said:\n{said}"),
        }
    }
}

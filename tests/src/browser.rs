//! A Chromium without a screen, told what to do by its DevTools protocol over a pipe.
//!
//! Key type: [`Browser`]. The protocol is JSON with a zero byte behind each message
//! (<https://chromedevtools.github.io/devtools-protocol/>); of it, what opens a page and asks it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::process::{self, Running};

/// How long the browser may take for an answer, its start included.
const PATIENCE: Duration = Duration::from_secs(60);
/// Under what names it is installed.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// The browser reads and writes at descriptors 3 and 4; the shell puts its own pipes there.
const SCRIPT: &str = "exec 3<&0 4>&1 </dev/null >/dev/null; exec \"$0\" \"$@\"";
const ARGUMENTS: [&str; 8] = [
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-proxy-server",
    "--no-first-run",
    "--window-size=1280,1200",
];

/// A running browser with one page, until this is dropped.
pub struct Browser {
    requests: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    asked: u64,
    /// What the page has thrown.
    exceptions: Vec<String>,
    _running: Running,
    _profile: TempDir,
}

impl Browser {
    /// Where it is installed.
    #[must_use]
    pub fn find() -> Option<PathBuf> {
        NAMES.iter().find_map(|name| process::find_program(name))
    }

    /// Starts it with the page at `url`.
    ///
    /// # Panics
    /// When it does not start, or does not do as it is told.
    #[must_use]
    pub fn open(program: &std::path::Path, url: &str) -> Self {
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let mut command = process::command("sh");
        command.args(["-c", SCRIPT]).arg(program).args(ARGUMENTS);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        if rustix::process::geteuid().is_root() {
            // It refuses to run as root inside its sandbox. The page is one of our own.
            command.arg("--no-sandbox");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::null());
        let mut running = Running::start_with_input(&mut command).expect("the browser starts");
        let requests = running.child().stdin.take().expect("it has a pipe");
        let answers = running.child().stdout.take().expect("it has a pipe");
        let mut browser = Self {
            requests,
            messages: messages(BufReader::new(answers)),
            session: None,
            asked: 0,
            exceptions: Vec::new(),
            _running: running,
            _profile: profile,
        };
        let page = browser.ask("Target.createTarget", &json!({"url": "about:blank"}));
        let target = json!({"targetId": page["targetId"], "flatten": true});
        let attached = browser.ask("Target.attachToTarget", &target);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        browser.ask("Runtime.enable", &json!({}));
        browser.ask("Page.navigate", &json!({"url": url}));
        browser
    }

    /// What the page makes of an expression in JavaScript.
    ///
    /// # Panics
    /// When it throws something, or the browser does not answer.
    #[must_use]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let question = json!({"expression": expression, "returnByValue": true});
        let answer = self.ask("Runtime.evaluate", &question);
        let thrown = &answer["exceptionDetails"];
        assert!(thrown.is_null(), "{expression}: {thrown}");
        answer["result"]["value"].clone()
    }

    /// What the page has thrown since it was opened.
    #[must_use]
    pub fn exceptions(&self) -> &[String] {
        &self.exceptions
    }

    /// Has something done, and waits for the result.
    fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.asked += 1;
        let mut request = json!({"id": self.asked, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        let sent = self.requests.write_all(format!("{request}\0").as_bytes());
        sent.unwrap_or_else(|error| panic!("{method}: the browser does not listen: {error}"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left);
            let message = message
                .unwrap_or_else(|error| panic!("{method}: the browser says nothing: {error}"));
            if message["method"] == "Runtime.exceptionThrown" {
                let details = &message["params"]["exceptionDetails"];
                self.exceptions.push(details.to_string());
            }
            if message["id"] == self.asked {
                let error = &message["error"];
                assert!(error.is_null(), "{method}: {error}");
                return message["result"].clone();
            }
        }
    }
}

/// The browser's messages, as they come; ends with the browser.
fn messages(mut from: impl BufRead + Send + 'static) -> Receiver<Value> {
    let (sender, messages) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        while let Ok(1..) = from.read_until(0, &mut bytes) {
            let text = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
            let Ok(message) = serde_json::from_slice(text) else {
                return;
            };
            if sender.send(message).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    messages
}

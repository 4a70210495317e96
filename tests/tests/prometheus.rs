//! Prometheus, and its judge of metrics, at a running guest: Debian's package, unpacked beside the
//! kernel. Where it cannot be fetched, that is said and nothing tried.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use vortex_tests::monitored::{Configuration, Monitored, START, free_port};
use vortex_tests::slots::Slots;
use xtask::linux::Unpacked;
use xtask::process::{self, Running};

const PACKAGE: &str = "prometheus";
/// From one question to the next, where a condition is waited for.
const POLL: Duration = Duration::from_millis(100);
/// What rates are of, in the place of Grafana's variable: some scrapes.
const WINDOW: &str = "4s";

/// The package, if it can be had.
fn package() -> Option<Unpacked> {
    let fetched = Unpacked::fetch(&[PACKAGE]);
    fetched
        .inspect_err(|error| eprintln!("Prometheus cannot be had, so it is not tried: {error:#}"))
        .ok()
}

fn promtool(package: &Unpacked, arguments: &[&str], input: &str) -> Output {
    let program = package.file(PACKAGE, "usr/bin/promtool").unwrap().file;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input");
    std::fs::write(&file, input).unwrap();
    process::command(program)
        .args(arguments)
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap()
}

/// A Prometheus that asks the guest twice a second, until this is dropped.
struct Prometheus {
    url: String,
    instance: String,
    _running: Running,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(package: &Unpacked, guest: &Monitored) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let instance = guest.address().to_string();
        let configuration = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n\
             scrape_configs:\n- job_name: vortex\n  static_configs: [{{targets: ['{instance}']}}]\n"
        );
        std::fs::write(&configuration, text).unwrap();
        let listens = format!("127.0.0.1:{}", free_port());
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let flag = |name: &str, value: &Path| format!("--{name}={}", value.display());
        let program = package.file(PACKAGE, "usr/bin/prometheus").unwrap().file;
        let mut command = process::command(program);
        command
            .arg(flag("config.file", &configuration))
            .arg(flag("storage.tsdb.path", &folder.path().join("data")))
            .arg(format!("--web.listen-address={listens}"))
            .stdout(Stdio::null())
            .stderr(log);
        Self {
            url: format!("http://{listens}"),
            instance,
            _running: Running::start(&mut command).unwrap(),
            _folder: folder,
        }
    }

    /// The answers to an expression, a line each; why there are none, if it is wrong or nobody
    /// answers.
    fn ask(&self, package: &Unpacked, expression: &str) -> Result<Vec<String>, String> {
        let output = promtool(package, &["query", "instant", &self.url, expression], "");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let text = String::from_utf8(output.stdout).unwrap();
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Waits until there is an answer.
    #[track_caller]
    fn wait_for(&self, package: &Unpacked, expression: &str) -> Vec<String> {
        let deadline = Instant::now() + START;
        loop {
            let answer = self.ask(package, expression);
            if let Ok(lines) = &answer
                && !lines.is_empty()
            {
                return answer.unwrap_or_default();
            }
            assert!(Instant::now() < deadline, "{expression}: {answer:?}");
            std::thread::sleep(POLL);
        }
    }
}

/// What the dashboard for Grafana asks, of this machine.
fn questions(instance: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/grafana/vortex.json");
    let text = std::fs::read_to_string(path).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    let question = |target: &serde_json::Value| {
        let expression = target["expr"].as_str().unwrap();
        let expression = expression.replace("$__rate_interval", WINDOW);
        expression.replace("$instance", instance)
    };
    targets.map(question).collect()
}

/// It scrapes a guest whose processors are all taken, its judge finds nothing to say against the
/// metrics, and every panel of the dashboard has an answer.
#[test]
fn prometheus_scrapes_the_guest_and_fills_the_dashboard() {
    let Some(package) = package() else {
        return;
    };
    let _slot = Slots::one().unwrap();
    let configuration = Configuration {
        activities: &[("hog", 80), ("statistics", 20)],
        server: "<right>statistics</right>",
        more: "",
    };
    let guest = Monitored::start(&configuration, &[]);
    let text = guest.get("/metrics").unwrap();
    let judged = promtool(&package, &["check", "metrics"], &text);
    let words = [judged.stdout, judged.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    assert!(judged.status.success() && words.is_empty(), "{words}");

    let prometheus = Prometheus::start(&package, &guest);
    let hog = format!(
        "sum by (activity) (rate(vortex_cpu_cycles_total{{activity=\"hog\"}}[{WINDOW}])) > 0"
    );
    let answer = prometheus.wait_for(&package, &hog);
    assert!(
        answer[0].starts_with("{activity=\"hog\"} => "),
        "{answer:?}"
    );
    for question in questions(&prometheus.instance) {
        // Nothing is limited in this guest.
        if !question.starts_with("vortex_memory_budget_bytes") {
            prometheus.wait_for(&package, &question);
        }
    }
}

//! The page of the statistics server, in a browser without a screen. Where there is none, that is said
//! and nothing tried.

use std::time::{Duration, Instant};

use serde_json::Value;
use vortex_tests::browser::Browser;
use vortex_tests::monitored::{Configuration, Monitored, START};
use vortex_tests::slots::Slots;

const TOKEN: &str = "only-for-this-test-0123";
/// From one look at the page to the next; it asks for news once a second.
const POLL: Duration = Duration::from_millis(200);
/// How far a share may be from what is due: a second is short where the host is busy, too.
const OFF: f64 = 0.05;

/// The curve of an activity in the chart of CPU by activity: parts of all cores, as high as the
/// picture has them. Null until there is one.
const CURVE: &str = r##"
(name => {
  const legend = document.querySelector(`#activities .legend span[data-name="${name}"]`);
  if (!legend) return null;
  const fill = legend.querySelector("i").style.background;
  const areas = [...document.querySelectorAll("#activities polygon")];
  const area = areas.find(polygon => polygon.getAttribute("fill") === fill);
  const lines = [...document.querySelectorAll("#activities line.grid")].map(line => +line.getAttribute("y1"));
  const height = Math.max(...lines) - Math.min(...lines);
  const ys = area.getAttribute("points").split(" ").map(point => +point.split(",")[1]);
  return ys.slice(0, ys.length / 2).map((over, at) => (ys[ys.length - 1 - at] - over) / height);
})"##;

/// What the table says that an activity received of the processors; null until it is there.
const RECEIVED: &str = r##"
(name => {
  const row = document.querySelector(`#shares tr[data-name="${name}"]`);
  return row && +row.dataset.received;
})"##;

/// What is to be seen of all charts, and of where the page has loaded from.
const ALL: &str = r##"
({
  cores: document.querySelectorAll("#cores .core").length,
  charts: ["activities", "resources", "bytes", "queues"].filter(id => document.querySelector(`#${id} svg .grid`)).length,
  latency: document.querySelectorAll("#latency tr").length,
  memory: document.querySelectorAll("#memory tr").length,
  elsewhere: performance.getEntriesByType("resource").map(entry => entry.name).filter(name => !name.startsWith(location.origin + "/")),
})"##;

fn number(browser: &mut Browser, function: &str, name: &str) -> Option<f64> {
    browser
        .evaluate(&format!("{function}(\"{name}\")"))
        .as_f64()
}

/// What the first has received of what both together have.
fn share(browser: &mut Browser) -> Option<f64> {
    let one = number(browser, RECEIVED, "one")?;
    let other = number(browser, RECEIVED, "other")?;
    Some(one / (one + other))
}

#[track_caller]
fn wait_until_share_is(browser: &mut Browser, due: f64) {
    let deadline = Instant::now() + START;
    loop {
        let is = share(browser);
        if is.is_some_and(|is| (is - due).abs() < OFF) {
            return;
        }
        assert!(Instant::now() < deadline, "{is:?} of {due}");
        std::thread::sleep(POLL);
    }
}

fn curve(browser: &mut Browser, name: &str) -> Vec<f64> {
    let curve = browser.evaluate(&format!("{CURVE}(\"{name}\")"));
    let points = curve.as_array().cloned().unwrap_or_default();
    points.iter().filter_map(Value::as_f64).collect()
}

/// Its charts show the shares, and a weight that is changed from outside moves the curve.
#[test]
fn the_page_shows_the_shares_and_a_changed_weight() {
    let Some(program) = Browser::find() else {
        eprintln!("there is no Chromium here, so the page is not opened");
        return;
    };
    let _alone = Slots::all().unwrap();
    let configuration = Configuration {
        smp: 1,
        activities: &[("one", 50), ("other", 50), ("statistics", 10)],
        server: &format!(
            "<arg>--token</arg><arg>{TOKEN}</arg><right>statistics</right><right>weights</right>"
        ),
        more: "",
    };
    let guest = Monitored::start(&configuration, &[]);
    let mut browser = Browser::open(&program, &format!("http://{}/", guest.address()));
    wait_until_share_is(&mut browser, 0.5);
    let before = curve(&mut browser, "one");
    let [.., even] = before[..] else {
        panic!("there is no curve");
    };

    guest.set_weight(TOKEN, "other", 50);
    guest.set_weight(TOKEN, "one", 150);
    wait_until_share_is(&mut browser, 0.75);
    let after = curve(&mut browser, "one");
    let [.., more] = after[..] else {
        panic!("there is no curve");
    };
    println!("one: {even} of all cores, then {more}");
    assert!(after.len() > before.len(), "{after:?}");
    let kept = before
        .iter()
        .zip(&after)
        .all(|(before, after)| (before - after).abs() < 1e-6);
    assert!(
        kept,
        "what was is still on the chart: {before:?}, then {after:?}"
    );
    assert!(more > 1.2 * even, "{even} of all cores, then {more}");
    let received = number(&mut browser, RECEIVED, "one").unwrap();
    let weight = "+document.querySelector('#shares tr[data-name=\"one\"]').dataset.weight";
    assert_eq!(browser.evaluate(weight), 150_000);
    assert!(
        more <= received + OFF,
        "{more} of all, {received} of what was used"
    );

    let all = browser.evaluate(ALL);
    assert_eq!(all["cores"], 1, "{all}");
    assert_eq!(all["charts"], 4, "{all}");
    assert!(
        all["latency"].as_u64() > Some(1) && all["memory"].as_u64() > Some(1),
        "{all}"
    );
    assert_eq!(all["elsewhere"], Value::Array(Vec::new()), "{all}");
    assert!(
        browser.exceptions().is_empty(),
        "{:?}",
        browser.exceptions()
    );
}

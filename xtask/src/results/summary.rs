//! The table of the README: what came out of each experiment, in a line.

use std::fmt;

use anyhow::{Context, Result};

use super::page::{Page, header, row};
use crate::experiment::baseline::Comparison;
use crate::experiment::isolation::Of;

/// What the table lies between.
const BEGIN: &str = "<!-- The table, by `cargo xtask results`: not to be changed by hand. -->\n";
const END: &str = "<!-- The end of the table. -->\n";

/// Puts a table in place of the one that is there.
pub(super) fn put(text: &str, table: &Summary<'_>) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("it has no place for one")?;
    let (_, after) = rest.split_once(END).context("the table has no end")?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// The table.
pub(super) struct Summary<'a>(&'a Page);

impl Page {
    /// Of what is on it.
    pub(super) const fn summary(&self) -> Summary<'_> {
        Summary(self)
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Page {
            origin,
            compared,
            isolated,
        } = self.0;
        writeln!(f, "{origin}\n")?;
        let columns = ["`cargo xtask`", "of what", "Vortex", "Linux"];
        header(f, &columns.map(Into::into))?;
        for (run, comparison) in compared {
            row(f, &deviations(run, comparison))?;
        }
        for (run, systems) in isolated {
            row(f, &kept(run, systems))?;
        }
        writeln!(f)
    }
}

/// How far the shares are from what was promised.
fn deviations(run: &str, comparison: &Comparison) -> [String; 4] {
    let of_side = |number: usize| {
        let side = comparison.sides.get(number);
        side.map_or_else(String::new, |side| {
            format!("{:.3}", side.received.deviation)
        })
    };
    let what = format!("shares of {}: off by, points", comparison.counted);
    [format!("`{run}`"), what, of_side(0), of_side(1)]
}

/// What is left to the victim beside the worst of its neighbours.
fn kept(run: &str, systems: &[Of]) -> [String; 4] {
    let of_system = |number: usize| {
        systems.get(number).map_or_else(String::new, |of| {
            let kept = of.runs.iter().map(|run| run.kept);
            let slower = of.runs.iter().map(|run| run.p99_of_alone);
            format!(
                "{:.1} %, {:.2}",
                kept.fold(f64::INFINITY, f64::min) * 100.0,
                slower.fold(0.0, f64::max),
            )
        })
    };
    let what = "requests kept at least; p99 at most, times that alone".into();
    [format!("`{run}`"), what, of_system(0), of_system(1)]
}

#[cfg(test)]
mod tests {
    use super::super::page;
    use super::*;

    fn page() -> Page {
        let mut page = page::tests::page();
        let side = |system: &str, deviation: f64| {
            serde_json::json!({
                "system": system,
                "received": {
                    "processes": [], "deviation": deviation, "per_second": 1.0, "seconds": 60.0,
                },
                "figures": [],
            })
        };
        let cpu = serde_json::json!({ "comparison": {
            "experiment": "cpu", "counted": "processor time",
            "sides": [side("Vortex", 0.004), side("Linux 6.1", 2.0)],
        }});
        page.add("experiment cpu", &cpu.to_string()).unwrap();
        let served = serde_json::json!({
            "requests": 1, "failed": 0, "seconds": 1.0, "p50_us": 1.0, "p99_us": 1.0, "p999_us": 1.0,
            "max_us": 1.0,
        });
        let beside = |kept: f64, p99: f64| {
            serde_json::json!({
                "beside": "somebody", "kept": kept, "p99_of_alone": p99, "cycles": {},
                "alone": served, "served": served,
            })
        };
        let isolation = serde_json::json!({ "systems": [
            { "system": "Vortex", "runs": [beside(1.0, 1.25), beside(0.99, 1.0)] },
            { "system": "Linux 6.1", "runs": [beside(1.0, 7.0), beside(0.5, 2.0)] },
        ]});
        let isolation = isolation.to_string();
        page.add("experiment isolation", &isolation).unwrap();
        page
    }

    #[test]
    fn the_table_takes_the_place_of_the_one_before() {
        let page = page();
        let once = put(
            &format!("before\n{BEGIN}old\n{END}after\n"),
            &page.summary(),
        )
        .unwrap();
        for part in [
            "before\n<!--",
            "on 2026-01-02, from commit abc1234",
            "| `experiment cpu` | shares of processor time: off by, points | 0.004 | 2.000 |\n",
            "| 99.0 %, 1.25 | 50.0 %, 7.00 |\n",
            "-->\nafter\n",
        ] {
            assert!(once.contains(part), "{part}\nis not in\n{once}");
        }
        assert!(!once.contains("old"));
        assert_eq!(put(&once, &page.summary()).unwrap(), once);
    }

    #[test]
    fn without_a_place_there_is_no_table() {
        assert!(put("nothing", &page().summary()).is_err());
        assert!(put(BEGIN, &page().summary()).is_err());
    }
}

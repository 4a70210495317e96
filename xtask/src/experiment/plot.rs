//! Pictures of experiments, as SVG: one panel for each core or resource, time from left to right.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Color, DrawingArea, IntoDrawingArea, LineSeries, Palette, Palette99, PathElement,
    Rectangle, SVGBackend, WHITE,
};

use xtask::samples::{AtResource, Counted, ReceivedProcess, Report};

use super::baseline::Comparison;

const WIDTH: u32 = 960;
const PANEL_HEIGHT: u32 = 260;

/// A curve: its name, and a value in per cent for each interval of the run; a gap where there is
/// none.
struct Curve {
    label: String,
    values: Vec<Option<f64>>,
}

/// One set of axes.
struct Panel {
    title: String,
    curves: Vec<Curve>,
}

/// Values of one system, one for each place on the axis.
pub(super) struct Bars {
    pub(super) label: String,
    pub(super) values: Vec<f64>,
}

/// CPU utilisation by process, a panel for each core (the paper's figure 8).
pub(super) fn utilisation(report: &Report) -> Result<String> {
    let panel = |core: usize| Panel {
        title: format!("CPU utilisation on core {core}"),
        curves: (report.processes.iter())
            .map(|process| Curve {
                label: named(&process.activity, process.entitled),
                values: (process.utilisation.iter())
                    .map(|cores| cores.get(core).map(|part| part * 100.0))
                    .collect(),
            })
            .collect(),
    };
    let panels: Vec<_> = (0..report.cores.len()).map(panel).collect();
    picture(&panels, report.seconds)
}

/// CPU utilisation by resource, of all cores (figures 10 and 16).
pub(super) fn of_resources(resources: &[AtResource], seconds: f64) -> Result<String> {
    let curve = |resource: &AtResource| Curve {
        label: resource.resource.clone(),
        values: (resource.utilisation_of_samples.iter())
            .map(|part| Some(part * 100.0))
            .collect(),
    };
    let panel = Panel {
        title: "CPU utilisation by resource, of all cores".into(),
        curves: resources.iter().map(curve).collect(),
    };
    picture(&[panel], seconds)
}

/// The processes' shares, a panel for each resource (figures 11 and 15).
pub(super) fn shares(resources: &[AtResource], seconds: f64) -> Result<String> {
    let panel = |resource: &AtResource| Panel {
        title: match resource.counted {
            Counted::Cycles => format!("Shares of CPU time at {}", resource.resource),
            Counted::Bytes => format!("Shares of bytes at {}", resource.resource),
        },
        curves: resource
            .processes
            .iter()
            .map(|process| share(&process.share))
            .collect(),
    };
    let panels: Vec<_> = resources.iter().map(panel).collect();
    picture(&panels, seconds)
}

/// A process's share, in the course of the run.
fn share(process: &ReceivedProcess) -> Curve {
    let parts = process.of_samples.iter();
    Curve {
        label: named(&process.activity, process.entitled),
        values: parts.map(|part| part.map(|part| part * 100.0)).collect(),
    }
}

/// The processes' shares, a panel for each system.
pub(super) fn compared(comparison: &Comparison) -> Result<String> {
    let panels: Vec<_> = (comparison.sides.iter())
        .map(|side| Panel {
            title: format!("Shares of {} on {}", comparison.counted, side.system),
            curves: side.received.processes.iter().map(share).collect(),
        })
        .collect();
    let seconds = comparison.sides.iter().map(|side| side.received.seconds);
    picture(&panels, seconds.fold(0.0, f64::max))
}

fn named(activity: &str, entitled: f64) -> String {
    format!("{activity} ({:.0} %)", entitled * 100.0)
}

fn picture(panels: &[Panel], seconds: f64) -> Result<String> {
    let mut picture = String::new();
    draw(&mut picture, panels, seconds).map_err(|error| anyhow!("{error}"))?;
    Ok(picture)
}

/// Bars side by side at each of the named places, a panel for each sort of value.
pub(super) fn bars(names: &[String], panels: &[(&str, Vec<Bars>)]) -> Result<String> {
    let mut picture = String::new();
    draw_bars(&mut picture, names, panels).map_err(|error| anyhow!("{error}"))?;
    Ok(picture)
}

fn draw_bars(picture: &mut String, names: &[String], panels: &[(&str, Vec<Bars>)]) -> Outcome {
    let height = PANEL_HEIGHT * u32::try_from(panels.len().max(1))?;
    let area = SVGBackend::with_string(picture, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let places = area.split_evenly((panels.len().max(1), 1));
    for (place, (title, all)) in places.iter().zip(panels) {
        draw_bar_panel(place, names, title, all)?;
    }
    area.present()?;
    Ok(())
}

/// The axis has one unit for each name; bars have four fifths of it.
#[expect(clippy::cast_precision_loss, reason = "pixels need no 53 bits")]
fn draw_bar_panel(
    place: &DrawingArea<SVGBackend<'_>, Shift>,
    names: &[String],
    title: &str,
    all: &[Bars],
) -> Outcome {
    let values = all.iter().flat_map(|bars| bars.values.iter().copied());
    let top = values.fold(0.0, f64::max).max(f64::MIN_POSITIVE) * 1.2;
    let end = names.len() as f64 - 0.5;
    let mut chart = ChartBuilder::on(place)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(-0.5..end, 0.0..top)?;
    let name = |at: &f64| {
        let nearest = names.iter().enumerate();
        let mut named = nearest.filter(|(number, _)| (*number as f64 - at).abs() < 0.01);
        named
            .next()
            .map_or_else(String::new, |(_, name)| name.clone())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(names.len() + 1)
        .x_label_formatter(&name)
        .x_label_style(("sans-serif", 10))
        .draw()?;
    let width = 0.8 / all.len().max(1) as f64;
    for (number, bars) in all.iter().enumerate() {
        let color = Palette99::pick(number).filled();
        let rectangles = bars.values.iter().enumerate().map(|(at, value)| {
            let left = at as f64 - 0.4 + number as f64 * width;
            Rectangle::new([(left, 0.0), (left + width, *value)], color)
        });
        chart
            .draw_series(rectangles)?
            .label(&bars.label)
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 20, y + 4)], color));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn draw(picture: &mut String, panels: &[Panel], seconds: f64) -> Outcome {
    let count = panels.len().max(1);
    let height = PANEL_HEIGHT * u32::try_from(count)?;
    let area = SVGBackend::with_string(picture, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    for (place, panel) in area.split_evenly((count, 1)).iter().zip(panels) {
        draw_panel(place, panel, seconds)?;
    }
    area.present()?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "pixels need no 53 bits")]
fn draw_panel(place: &DrawingArea<SVGBackend<'_>, Shift>, panel: &Panel, seconds: f64) -> Outcome {
    let mut chart = ChartBuilder::on(place)
        .caption(&panel.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..seconds, 0.0..100.0)?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .y_desc("per cent")
        .draw()?;
    for (number, curve) in panel.curves.iter().enumerate() {
        let color = Palette99::pick(number).stroke_width(2);
        let step = seconds / curve.values.len().max(1) as f64;
        let points = curve.values.iter().enumerate();
        let points = points
            .filter_map(|(sample, value)| value.map(|value| ((sample + 1) as f64 * step, value)));
        chart
            .draw_series(LineSeries::new(points, color))?
            .label(&curve.label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}

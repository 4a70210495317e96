//! CPU utilisation by process and core over time: the paper's figure 8, one panel for each core.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Color, DrawingArea, IntoDrawingArea, LineSeries, Palette, Palette99, PathElement,
    SVGBackend, WHITE,
};

use xtask::samples::Report;

const WIDTH: u32 = 960;
const PANEL_HEIGHT: u32 = 260;

/// The picture, as SVG.
pub(crate) fn utilisation(report: &Report) -> Result<String> {
    let mut picture = String::new();
    draw(&mut picture, report).map_err(|error| anyhow!("{error}"))?;
    Ok(picture)
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn draw(picture: &mut String, report: &Report) -> Outcome {
    let cores = report.cores.len().max(1);
    let height = PANEL_HEIGHT * u32::try_from(cores)?;
    let area = SVGBackend::with_string(picture, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    for (core, panel) in area.split_evenly((cores, 1)).iter().enumerate() {
        draw_core(panel, report, core)?;
    }
    area.present()?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "pixels need no 53 bits")]
fn draw_core(panel: &DrawingArea<SVGBackend<'_>, Shift>, report: &Report, core: usize) -> Outcome {
    let mut chart = ChartBuilder::on(panel)
        .caption(
            format!("CPU utilisation on core {core}"),
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..report.seconds, 0.0..100.0)?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .y_desc("per cent")
        .draw()?;
    for (number, process) in report.processes.iter().enumerate() {
        let color = Palette99::pick(number).stroke_width(2);
        let step = report.seconds / process.utilisation.len().max(1) as f64;
        let points = process
            .utilisation
            .iter()
            .enumerate()
            .map(|(sample, cores)| {
                let part = cores.get(core).copied().unwrap_or(0.0);
                ((sample + 1) as f64 * step, part * 100.0)
            });
        let label = format!("{} ({:.0} %)", process.activity, process.entitled * 100.0);
        chart
            .draw_series(LineSeries::new(points, color))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}

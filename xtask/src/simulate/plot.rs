//! The shares over time, as a picture.

use anyhow::{Result, anyhow};
use plotters::prelude::{
    ChartBuilder, Color, IntoDrawingArea, LineSeries, Palette, Palette99, PathElement, SVGBackend,
    WHITE,
};
use vortex_sim::experiment::Results;

const SIZE: (u32, u32) = (960, 540);

/// An SVG picture of the share that each activity has of what all have received, in each part of
/// the time. `samples` are the cycles received up to equally distant times.
pub(super) fn shares(results: &Results, samples: &[Vec<u64>], seconds: u32) -> Result<String> {
    let mut picture = String::new();
    draw(&mut picture, results, samples, seconds).map_err(|error| anyhow!("{error}"))?;
    Ok(picture)
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn draw(picture: &mut String, results: &Results, samples: &[Vec<u64>], seconds: u32) -> Outcome {
    let area = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Share of the CPU time received", ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..f64::from(seconds), 0.0..100.0)?;
    chart
        .configure_mesh()
        .x_desc("simulated seconds")
        .y_desc("per cent")
        .draw()?;
    for (number, row) in results.activities.iter().enumerate() {
        let color = Palette99::pick(number).stroke_width(2);
        let points = points(samples, number, seconds);
        let label = format!("{} ({:.2} %)", row.activity, row.received * 100.0);
        chart
            .draw_series(LineSeries::new(points, color))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .draw()?;
    area.present()?;
    Ok(())
}

/// One activity's line: the end of each part of the time, and its share in that part.
#[expect(clippy::cast_precision_loss, reason = "pixels need no 53 bits")]
fn points(samples: &[Vec<u64>], activity: usize, seconds: u32) -> Vec<(f64, f64)> {
    let parts = samples.len().saturating_sub(1).max(1) as f64;
    let part = |(number, pair): (usize, &[Vec<u64>])| {
        let given = |activity: usize| pair[1][activity] - pair[0][activity];
        let total: u64 = (0..pair[0].len()).map(given).sum();
        let share = given(activity) as f64 / total.max(1) as f64;
        let time = f64::from(seconds) * (number + 1) as f64 / parts;
        (time, share * 100.0)
    };
    samples.windows(2).enumerate().map(part).collect()
}

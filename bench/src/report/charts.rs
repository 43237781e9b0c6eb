//! The charts, drawn by `plotters` as SVG that stands in the page itself.

use anyhow::{Context as _, Result};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// All charts have one width; the page scales them.
const WIDTH: u32 = 920;
const ROW: u32 = 28;
const LABELS: u32 = 190;
const AXIS: u32 = 46;

const INK: RGBColor = RGBColor(40, 40, 40);
const PALE: RGBColor = RGBColor(225, 225, 225);
/// What is right, and what is lost.
pub(super) const GOOD: RGBColor = RGBColor(0, 114, 178);
pub(super) const BAD: RGBColor = RGBColor(213, 94, 0);
pub(super) const OTHER: RGBColor = RGBColor(120, 120, 120);

/// Okabe and Ito's colours, which colour-blind readers can tell apart; the first two are xbeat's.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(117, 76, 36),
    RGBColor(120, 120, 120),
];

/// The colour of the series or system in that place.
pub(super) fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws on a white sheet and returns the SVG.
fn sheet(height: u32, draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present().context("drawing a chart")?;
    }
    Ok(svg)
}

/// A font of `size`, anchored there.
fn font(size: u32, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK).pos(Pos::new(horizontal, vertical))
}

/// A row of a [`strip`]: its name, its values, its colour.
pub(super) struct Strip {
    pub(super) name: String,
    pub(super) values: Vec<f64>,
    pub(super) colour: RGBColor,
}

/// Every value as a dot on a logarithmic scale, a row for each name, the median as a stroke.
pub(super) fn strip(axis: &str, rows: &[Strip]) -> Result<String> {
    let all = rows.iter().flat_map(|row| row.values.iter().copied());
    let (low, high) = log_range(all);
    let height = AXIS + 16 + ROW * rows.len().max(1) as u32;
    sheet(height, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(30)
            .x_label_area_size(AXIS)
            .y_label_area_size(LABELS)
            .build_cartesian_2d((low..high).log_scale(), -0.5..rows.len() as f64 - 0.5)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_y_mesh().disable_y_axis().x_desc(axis).x_label_formatter(&|x| number(*x));
        mesh.light_line_style(WHITE).bold_line_style(PALE).axis_style(INK).draw()?;
        for (index, row) in rows.iter().enumerate() {
            let y = (rows.len() - 1 - index) as f64;
            let (left, middle) = chart.plotting_area().map_coordinate(&(low, y));
            let label = font(14, HPos::Right, VPos::Center);
            area.draw(&Text::new(row.name.clone(), (left - 10, middle), label))?;
            let dots =
                row.values.iter().map(|&x| Circle::new((x.max(low), y), 4, row.colour.mix(0.45).filled()));
            chart.draw_series(dots)?;
            if let Some(median) = crate::figures::median(row.values.iter().copied()) {
                let stroke = vec![(median.max(low), y - 0.34), (median.max(low), y + 0.34)];
                chart.draw_series([PathElement::new(stroke, row.colour.stroke_width(3))])?;
            }
        }
        Ok(())
    })
}

/// A line of a [`curves`] chart.
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) colour: RGBColor,
}

/// How the vertical axis of a [`curves`] chart goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    Logarithmic,
}

/// Lines with a mark at each measured point; the horizontal axis is logarithmic.
pub(super) fn curves(x_axis: &str, y_axis: &str, scale: Scale, curves: &[Curve]) -> Result<String> {
    let all = || curves.iter().flat_map(|curve| curve.points.iter().copied());
    let (left, right) = log_range(all().map(|(x, _)| x));
    sheet(380, |area| match scale {
        Scale::Linear => {
            let top = all().map(|(_, y)| y).fold(0.0, f64::max).max(1.0) * 1.1;
            lines(area, (x_axis, y_axis), (left..right).log_scale(), 0.0..top, curves)
        }
        Scale::Logarithmic => {
            let (bottom, top) = log_range(all().map(|(_, y)| y));
            let y = (bottom..top).log_scale();
            lines(area, (x_axis, y_axis), (left..right).log_scale(), y, curves)
        }
    })
}

fn lines<X, Y>(area: &Area<'_>, (x_axis, y_axis): (&str, &str), x: X, y: Y, curves: &[Curve]) -> Result<()>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(30)
        .x_label_area_size(AXIS)
        .y_label_area_size(76)
        .build_cartesian_2d(x, y)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(x_axis).y_desc(y_axis).label_style(("sans-serif", 13));
    mesh.x_label_formatter(&|x| number(*x)).y_label_formatter(&|y| number(*y));
    mesh.light_line_style(WHITE).bold_line_style(PALE).axis_style(INK).draw()?;
    for curve in curves {
        let colour = curve.colour;
        chart
            .draw_series(LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2)))?
            .label(curve.name.clone())
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(3)));
        chart.draw_series(curve.points.iter().map(|&point| Circle::new(point, 4, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .border_style(PALE)
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}

/// A bar of [`bars`]: from where to where, and what is written behind it.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) label: String,
    pub(super) colour: RGBColor,
}

/// Bars on a linear scale, the first on top; a waterfall, if each begins where the one before it ends.
pub(super) fn bars(axis: &str, names: u32, bars: &[Bar]) -> Result<String> {
    let low = bars.iter().map(|bar| bar.from).fold(0.0, f64::min);
    let high = bars.iter().map(|bar| bar.to).fold(1.0, f64::max);
    // Room for what is written behind the longest.
    let high = high + (high - low) * 0.16;
    sheet(AXIS + 16 + ROW * bars.len().max(1) as u32, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(30)
            .x_label_area_size(AXIS)
            .y_label_area_size(names)
            .build_cartesian_2d(low..high, -0.5..bars.len() as f64 - 0.5)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_y_mesh().disable_y_axis().x_desc(axis).x_label_formatter(&|x| number(*x));
        mesh.light_line_style(WHITE).bold_line_style(PALE).axis_style(INK).draw()?;
        for (index, bar) in bars.iter().enumerate() {
            let y = (bars.len() - 1 - index) as f64;
            let (left, middle) = chart.plotting_area().map_coordinate(&(low, y));
            area.draw(&Text::new(
                bar.name.clone(),
                (left - 10, middle),
                font(13, HPos::Right, VPos::Center),
            ))?;
            // A step of no time is a line still.
            let to = bar.to.max(bar.from + (high - low) * 0.002);
            chart
                .draw_series([Rectangle::new([(bar.from, y - 0.32), (to, y + 0.32)], bar.colour.filled())])?;
            let (right, _) = chart.plotting_area().map_coordinate(&(to, y));
            area.draw(&Text::new(
                bar.label.clone(),
                (right + 6, middle),
                font(12, HPos::Left, VPos::Center),
            ))?;
        }
        Ok(())
    })
}

/// A lane of a [`timeline`]: its name, and when something was in it.
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) dots: Vec<(f64, RGBColor)>,
}

/// What happened when, a lane for each who did it.
pub(super) fn timeline(axis: &str, lanes: &[Lane]) -> Result<String> {
    let all = || lanes.iter().flat_map(|lane| lane.dots.iter().map(|dot| dot.0));
    let (low, high) = (all().fold(0.0, f64::min), all().fold(1.0, f64::max));
    sheet(AXIS + 16 + (ROW + 6) * lanes.len().max(1) as u32, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(30)
            .x_label_area_size(AXIS)
            .y_label_area_size(LABELS)
            .build_cartesian_2d(low..high * 1.02, -0.5..lanes.len() as f64 - 0.5)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_y_mesh().disable_y_axis().x_desc(axis).x_label_formatter(&|x| number(*x));
        mesh.light_line_style(WHITE).bold_line_style(PALE).axis_style(INK).draw()?;
        for (index, lane) in lanes.iter().enumerate() {
            let y = (lanes.len() - 1 - index) as f64;
            let (left, middle) = chart.plotting_area().map_coordinate(&(low, y));
            area.draw(&Text::new(
                lane.name.clone(),
                (left - 10, middle),
                font(13, HPos::Right, VPos::Center),
            ))?;
            let dots = lane.dots.iter().map(|&(x, colour)| Circle::new((x, y), 4, colour.filled()));
            chart.draw_series(dots)?;
        }
        Ok(())
    })
}

/// Whole decades around the values that are above nothing.
fn log_range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let positive = values.filter(|value| *value > 0.0 && value.is_finite());
    let (low, high) =
        positive.fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    if high == 0.0 {
        return (0.1, 1.0);
    }
    let (low, high) = (10_f64.powf(low.log10().floor()), 10_f64.powf(high.log10().ceil()));
    (low, if high > low { high } else { low * 10.0 })
}

/// A number on an axis.
fn number(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.01 {
        return format!("{value:.3}");
    }
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_whole_decades_and_never_empty() {
        assert_eq!(log_range([0.3, 0.0, 40.0].into_iter()), (0.1, 100.0));
        assert_eq!(log_range([1.0].into_iter()), (1.0, 10.0));
        assert_eq!(log_range([0.0].into_iter()), (0.1, 1.0));
    }

    #[test]
    fn a_chart_shows_its_names_and_a_dot_for_each_value() {
        let row =
            |name: &str, values: &[f64]| Strip { name: name.into(), values: values.into(), colour: GOOD };
        let svg = strip("outage, ms", &[row("xbeat", &[3.1, 3.3, 3.9]), row("nobody <here>", &[])]).unwrap();
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(
            svg.starts_with("<svg") && svg.contains("xbeat") && svg.contains("nobody &lt;here&gt;"),
            "{svg}"
        );
    }

    #[test]
    fn numbers_are_as_short_as_can_be() {
        assert_eq!([0.0, 0.005, 0.1, 1.5, 100.0].map(number), ["0", "0.005", "0.1", "1.5", "100"]);
    }
}

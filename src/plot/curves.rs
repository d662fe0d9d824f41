//! Curves with intervals over a budget that doubles.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::error::PlotError;
use super::style::{FAINT_INK, GRID, INK, PALETTE, anchored, check_size, ticks};

/// A point with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// Where: positive.
    pub x: f64,
    /// The estimate.
    pub y: f64,
    /// Lower end of its interval.
    pub lower: f64,
    /// Upper end of its interval.
    pub upper: f64,
}

/// A curve with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// What it is called in the picture.
    pub name: String,
    /// Points in order of x.
    pub points: Vec<CurvePoint>,
}

impl Curve {
    /// A curve of points (x, y, lower, upper).
    #[must_use]
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64, f64, f64)>) -> Self {
        let points = points.into_iter().map(|(x, y, lower, upper)| CurvePoint { x, y, lower, upper }).collect();
        Self { name: name.into(), points }
    }
}

/// A picture of curves with intervals, such as accuracy over the number of particles; the horizontal axis doubles from mark to mark.
///
/// The first curve is the one that the picture is about: it is drawn last and wider. Names stand at the curves' ends. Curves are drawn a few
/// pixels beside each other, so that intervals at the same place can be told apart.
///
/// ```
/// use posterity::plot::{Curve, CurvesPlot};
/// let curves = vec![
///     Curve::new("particles", [(1.0, 0.40, 0.36, 0.44), (4.0, 0.60, 0.56, 0.64), (16.0, 0.74, 0.70, 0.78)]),
///     Curve::new("best of N", [(1.0, 0.40, 0.36, 0.44), (4.0, 0.55, 0.51, 0.59), (16.0, 0.63, 0.59, 0.67)]),
/// ];
/// let svg = CurvesPlot::new(curves).labels("particles N", "accuracy").svg()?;
/// assert!(svg.contains("best of N"));
/// # Ok::<(), posterity::plot::PlotError>(())
/// ```
#[derive(Debug, Clone)]
pub struct CurvesPlot {
    curves: Vec<Curve>,
    title: String,
    x_label: String,
    y_label: String,
    y_range: Option<(f64, f64)>,
    size: (u32, u32),
}

const LEFT: i32 = 62;
const TOP: i32 = 60;
const BOTTOM: i32 = 54;

impl CurvesPlot {
    /// A picture of these curves.
    #[must_use]
    pub fn new(curves: Vec<Curve>) -> Self {
        let (x_label, y_label) = ("N".to_owned(), String::new());
        Self { curves, title: String::new(), x_label, y_label, y_range: None, size: (760, 460) }
    }

    /// A title.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Names of the axes.
    #[must_use]
    pub fn labels(mut self, x: impl Into<String>, y: impl Into<String>) -> Self {
        self.x_label = x.into();
        self.y_label = y.into();
        self
    }

    /// Range of the vertical axis; at first that of all intervals.
    #[must_use]
    pub fn y_range(mut self, low: f64, high: f64) -> Self {
        self.y_range = Some((low, high));
        self
    }

    /// Width and height in pixels; 760 x 460 at first.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = (width, height);
        self
    }

    /// The picture as the text of an SVG file.
    ///
    /// # Errors
    /// [`PlotError`]: there is nothing to draw, or a point has no place.
    pub fn svg(&self) -> Result<String, PlotError> {
        self.check()?;
        check_size(self.size)?;
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, self.size).into_drawing_area();
            self.draw(&area, &self.frame()).map_err(PlotError::drawing)?;
            area.present().map_err(PlotError::drawing)?;
        }
        Ok(svg)
    }

    fn check(&self) -> Result<(), PlotError> {
        if self.curves.iter().all(|curve| curve.points.is_empty()) {
            return Err(PlotError::Empty { what: "points" });
        }
        let of =
            |curve: &Curve, point, what, value, rule| PlotError::Point { curve: curve.name.clone(), point, what, value, rule };
        for curve in &self.curves {
            for (i, point) in curve.points.iter().enumerate() {
                if !(point.x > 0.0 && point.x.is_finite()) {
                    return Err(of(curve, i, "x", point.x, "positive and finite"));
                }
                if i > 0 && !(point.x > curve.points[i - 1].x) {
                    return Err(of(curve, i, "x", point.x, "above that of the point before"));
                }
                if !point.y.is_finite() {
                    return Err(of(curve, i, "y", point.y, "finite"));
                }
                if !(point.lower.is_finite() && point.lower <= point.y) {
                    return Err(of(curve, i, "lower", point.lower, "finite and not above y"));
                }
                if !(point.upper.is_finite() && point.upper >= point.y) {
                    return Err(of(curve, i, "upper", point.upper, "finite and not below y"));
                }
            }
        }
        if let Some((low, high)) = self.y_range
            && !(low < high && low.is_finite() && high.is_finite())
        {
            let (curve, rule) = ("(all)".to_owned(), "finite and above the other end");
            return Err(PlotError::Point { curve, point: 0, what: "y_range", value: high, rule });
        }
        Ok(())
    }

    fn points(&self) -> impl Iterator<Item = &CurvePoint> {
        self.curves.iter().flat_map(|curve| &curve.points)
    }

    fn frame(&self) -> Frame {
        let range = |low: f64, high: f64, margin: f64| {
            let (low, high) = if high > low { (low, high) } else { (low - 0.5, high + 0.5) };
            (low - margin * (high - low), high + margin * (high - low))
        };
        let fold = |f: fn(&CurvePoint) -> f64, of: fn(f64, f64) -> f64, start| self.points().map(f).fold(start, of);
        let x = range(
            fold(|point| point.x.log2(), f64::min, f64::INFINITY),
            fold(|point| point.x.log2(), f64::max, f64::NEG_INFINITY),
            0.04,
        );
        let y = self.y_range.unwrap_or_else(|| {
            range(
                fold(|point| point.lower, f64::min, f64::INFINITY),
                fold(|point| point.upper, f64::max, f64::NEG_INFINITY),
                0.06,
            )
        });
        // About the width of the names in pixels.
        let longest = self.curves.iter().map(|curve| curve.name.chars().count()).max().unwrap_or(0) as i32;
        let right = (longest * 15 / 2 + 30).min(self.size.0 as i32 / 3);
        Frame { x, y, width: self.size.0 as i32, height: self.size.1 as i32, right }
    }

    fn draw<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        frame: &Frame,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        area.fill(&WHITE)?;
        self.draw_axes(area, frame)?;
        for (i, curve) in self.curves.iter().enumerate().rev() {
            let colour = PALETTE[i % PALETTE.len()];
            let width = if i == 0 { 3 } else { 2 };
            let dodge = 4 * i as i32 - 2 * (self.curves.len() as i32 - 1);
            let line = curve.points.iter().map(|point| frame.at(point.x, point.y, dodge));
            area.draw(&PathElement::new(line.collect::<Vec<_>>(), colour.stroke_width(width)))?;
            for point in &curve.points {
                let ends = [frame.at(point.x, point.lower, dodge), frame.at(point.x, point.upper, dodge)];
                area.draw(&PathElement::new(ends, colour.mix(0.55).stroke_width(2)))?;
                let radius = if i == 0 { 5 } else { 4 };
                area.draw(&Circle::new(frame.at(point.x, point.y, dodge), radius + 1, WHITE.filled()))?;
                area.draw(&Circle::new(frame.at(point.x, point.y, dodge), radius, colour.filled()))?;
            }
        }
        self.draw_names(area, frame)
    }

    fn draw_axes<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        frame: &Frame,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        area.draw(&Text::new(self.title.as_str(), (LEFT - 46, 16), anchored(17, INK, HPos::Left, VPos::Top)))?;
        let (left, right, bottom) = (LEFT, frame.width - frame.right, frame.height - BOTTOM);
        let marks = ticks(frame.y.0, frame.y.1, 6.0);
        let n_decimals =
            marks.windows(2).next().map_or(2, |pair| (-(pair[1] - pair[0]).log10().floor()).clamp(0.0, 6.0) as usize);
        for mark in marks {
            let y = frame.y_at(mark);
            area.draw(&PathElement::new([(left, y), (right, y)], GRID.stroke_width(1)))?;
            let style = anchored(12, FAINT_INK, HPos::Right, VPos::Center);
            area.draw(&Text::new(format!("{mark:.n_decimals$}"), (left - 8, y), style))?;
        }
        let marks: Vec<i32> = (frame.x.0.ceil() as i32..=frame.x.1.floor() as i32).collect();
        let every = (marks.len() as i32 * 44 / (right - left).max(1) + 1) as usize;
        for power in marks.into_iter().step_by(every) {
            let x = frame.x_at(f64::from(power));
            area.draw(&PathElement::new([(x, bottom), (x, bottom + 5)], FAINT_INK.stroke_width(1)))?;
            let name = if (0..=20).contains(&power) { format!("{}", 1_u64 << power) } else { format!("2^{power}") };
            area.draw(&Text::new(name, (x, bottom + 10), anchored(12, FAINT_INK, HPos::Center, VPos::Top)))?;
        }
        area.draw(&PathElement::new([(left, bottom), (right, bottom)], FAINT_INK.stroke_width(1)))?;
        let middle = (left + right) / 2;
        area.draw(&Text::new(self.x_label.as_str(), (middle, bottom + 30), anchored(13, INK, HPos::Center, VPos::Top)))?;
        let above = anchored(13, INK, HPos::Left, VPos::Bottom);
        area.draw(&Text::new(self.y_label.as_str(), (LEFT - 46, TOP - 4), above))
    }

    /// Names at the ends of their curves, moved apart where they would lie on each other.
    fn draw_names<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        frame: &Frame,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let end = |(i, curve): (usize, &Curve)| curve.points.last().map(|point| (i, frame.at(point.x, point.y, 0).1));
        let mut ends: Vec<(usize, i32)> = self.curves.iter().enumerate().filter_map(end).collect();
        ends.sort_by_key(|&(i, y)| (y, i));
        let wanted: Vec<i32> = ends.iter().map(|&(_, y)| y).collect();
        let places = spread(&wanted, 17, TOP, frame.height - BOTTOM);
        for ((i, y), place) in ends.into_iter().zip(places) {
            let colour = PALETTE[i % PALETTE.len()];
            let x = frame.width - frame.right;
            area.draw(&PathElement::new([(x + 3, y), (x + 12, place)], colour.mix(0.5).stroke_width(1)))?;
            let size = if i == 0 { 14 } else { 13 };
            let style = anchored(size, colour, HPos::Left, VPos::Center);
            area.draw(&Text::new(self.curves[i].name.as_str(), (x + 16, place), style))?;
        }
        Ok(())
    }
}

/// Places near the wanted ones, in their order, at least `gap` apart, and between `low` and `high` as far as there is room.
fn spread(wanted: &[i32], gap: i32, low: i32, high: i32) -> Vec<i32> {
    // Groups that touch are laid out around the mean of what their members want.
    let mut groups: Vec<(f64, usize)> = Vec::new();
    for &y in wanted {
        let mut group = (f64::from(y), 1);
        while let Some(&(centre, n)) = groups.last() {
            let reach = f64::from(gap) * (n + group.1) as f64 / 2.0;
            if group.0 - centre >= reach {
                break;
            }
            groups.pop();
            let total = n + group.1;
            group = ((centre * n as f64 + group.0 * group.1 as f64) / total as f64, total);
        }
        groups.push(group);
    }
    let half = |n: usize| f64::from(gap) * (n as f64 - 1.0) / 2.0;
    let mut places = Vec::new();
    for (centre, n) in groups {
        let centre = centre.min(f64::from(high) - half(n)).max(f64::from(low) + half(n));
        places.extend((0..n).map(|i| (centre - half(n) + f64::from(gap) * i as f64).round() as i32));
    }
    places
}

/// Where values are.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// Range of log2 x.
    x: (f64, f64),
    y: (f64, f64),
    width: i32,
    height: i32,
    right: i32,
}

impl Frame {
    fn x_at(&self, log2_x: f64) -> i32 {
        let share = (log2_x - self.x.0) / (self.x.1 - self.x.0);
        LEFT + (share * f64::from(self.width - self.right - LEFT)).round() as i32
    }

    fn y_at(&self, y: f64) -> i32 {
        let share = ((y - self.y.0) / (self.y.1 - self.y.0)).clamp(0.0, 1.0);
        self.height - BOTTOM - (share * f64::from(self.height - BOTTOM - TOP)).round() as i32
    }

    fn at(&self, x: f64, y: f64, dodge: i32) -> (i32, i32) {
        (self.x_at(x.log2()) + dodge, self.y_at(y))
    }
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn names_are_moved_apart_and_stay_in_order_and_in_the_frame() {
        assert_eq!(spread(&[10, 100], 17, 0, 200), [10, 100]);
        assert_eq!(spread(&[100, 100, 101], 10, 0, 200), [90, 100, 110]);
        assert_eq!(spread(&[0, 1], 10, 0, 200), [0, 10]);
        assert_eq!(spread(&[199, 200], 10, 0, 200), [190, 200]);
        assert_eq!(spread(&[], 10, 0, 200), [0; 0]);
    }
}

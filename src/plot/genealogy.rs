//! The genealogy of a cloud of particles.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::error::PlotError;
use super::style::{FAINT_INK, INK, PALE, anchored, between, check_size};

/// One generation of particles.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// Particle `i` came from particle `ancestors[i]` of the generation before; of no meaning in the first one.
    pub ancestors: Vec<u32>,
    /// Weights, on any scale.
    pub weights: Vec<f64>,
    /// True for particles that go on no more.
    pub finished: Vec<bool>,
    /// True if ancestors were drawn before this generation.
    pub resampled: bool,
}

/// A picture of who came from whom: generations from left to right, particles from top to bottom.
///
/// Lines lead to ancestors. Lineages that reach a particle of the last generation with positive weight are drawn in colour, as wide and dark
/// as the share of the final weight that they lead to; all others are pale. A particle's area is its weight in its own generation. Squares
/// are finished. A dotted line stands where particles were resampled.
///
/// ```
/// use posterity::plot::{GenealogyPlot, Generation};
/// let generation = |ancestors: &[u32], weights: &[f64], resampled| Generation {
///     ancestors: ancestors.to_vec(),
///     weights: weights.to_vec(),
///     finished: vec![false; weights.len()],
///     resampled,
/// };
/// let generations = vec![generation(&[0, 1, 2], &[0.2, 0.5, 0.3], false), generation(&[1, 1, 2], &[0.4, 0.4, 0.2], true)];
/// let svg = GenealogyPlot::new(generations).title("Three particles").svg()?;
/// assert!(svg.starts_with("<svg"));
/// # Ok::<(), posterity::plot::PlotError>(())
/// ```
#[derive(Debug, Clone)]
pub struct GenealogyPlot {
    generations: Vec<Generation>,
    title: String,
    step_label: String,
    size: Option<(u32, u32)>,
}

const DARK: RGBColor = RGBColor(0, 68, 136);
const LIGHT: RGBColor = RGBColor(120, 180, 226);
const FINISHED: RGBColor = RGBColor(204, 85, 0);

const LEFT: i32 = 58;
const RIGHT: i32 = 24;
const TOP: i32 = 74;
const BOTTOM: i32 = 52;

impl GenealogyPlot {
    /// A picture of these generations, the first one on the left.
    #[must_use]
    pub fn new(generations: Vec<Generation>) -> Self {
        Self { generations, title: String::new(), step_label: "step".to_owned(), size: None }
    }

    /// A title.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// What a generation is called; "step" at first.
    #[must_use]
    pub fn step_label(mut self, label: impl Into<String>) -> Self {
        self.step_label = label.into();
        self
    }

    /// Width and height in pixels; at first as large as the number of generations and particles asks for.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = Some((width, height));
        self
    }

    /// The picture as the text of an SVG file.
    ///
    /// # Errors
    /// [`PlotError`]: there is nothing to draw, or lists do not fit together.
    pub fn svg(&self) -> Result<String, PlotError> {
        self.check()?;
        let size = self.size.unwrap_or_else(|| self.natural_size());
        check_size(size)?;
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            self.draw(&area, Frame::of(&self.generations, size)).map_err(PlotError::drawing)?;
            area.present().map_err(PlotError::drawing)?;
        }
        Ok(svg)
    }

    fn check(&self) -> Result<(), PlotError> {
        if self.generations.is_empty() || self.generations.iter().any(|generation| generation.weights.is_empty()) {
            return Err(PlotError::Empty { what: "particles" });
        }
        for (t, generation) in self.generations.iter().enumerate() {
            let n = generation.weights.len();
            for (what, found) in [("ancestors", generation.ancestors.len()), ("finished", generation.finished.len())] {
                if found != n {
                    return Err(PlotError::Length { generation: t, what, expected: n, found });
                }
            }
            if let Some(slot) = generation.weights.iter().position(|weight| !(*weight >= 0.0 && weight.is_finite())) {
                return Err(PlotError::Weight { generation: t, slot, weight: generation.weights[slot] });
            }
            let Some(before) = t.checked_sub(1).map(|t| &self.generations[t]) else { continue };
            let n_before = before.weights.len();
            if let Some(slot) = generation.ancestors.iter().position(|&ancestor| ancestor as usize >= n_before) {
                return Err(PlotError::Ancestor { generation: t, slot, ancestor: generation.ancestors[slot], n_before });
            }
        }
        Ok(())
    }

    fn natural_size(&self) -> (u32, u32) {
        let n = self.generations.iter().map(|generation| generation.weights.len()).max().unwrap_or(1) as u32;
        let t = self.generations.len() as u32;
        let (width, height) = (t.saturating_mul(84).clamp(380, 1400), n.saturating_mul(20).clamp(180, 1100));
        (width + (LEFT + RIGHT) as u32, height + (TOP + BOTTOM) as u32)
    }

    /// For each particle the share of the last generation's weight that its descendants have.
    fn destinies(&self) -> Vec<Vec<f64>> {
        let mut destinies: Vec<Vec<f64>> =
            self.generations.iter().map(|generation| vec![0.0; generation.weights.len()]).collect();
        if let (Some(last), Some(generation)) = (destinies.last_mut(), self.generations.last()) {
            *last = shares(&generation.weights);
        }
        for t in (1..self.generations.len()).rev() {
            for slot in 0..destinies[t].len() {
                let ancestor = self.generations[t].ancestors[slot] as usize;
                destinies[t - 1][ancestor] += destinies[t][slot];
            }
        }
        destinies
    }

    fn draw<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        frame: Frame,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        area.fill(&WHITE)?;
        let destinies = self.destinies();
        self.draw_axes(area, &frame)?;
        // Pale lines first, so that none crosses over a lineage that lives.
        for lives in [false, true] {
            for t in 1..self.generations.len() {
                for (slot, &ancestor) in self.generations[t].ancestors.iter().enumerate() {
                    let destiny = destinies[t][slot];
                    if (destiny > 0.0) == lives {
                        let (width, colour) = if lives { (1.4 + 4.6 * destiny, shade(destiny)) } else { (1.0, PALE) };
                        let style = colour.stroke_width(width.round() as u32);
                        area.draw(&PathElement::new([frame.at(t - 1, ancestor as usize), frame.at(t, slot)], style))?;
                    }
                }
            }
        }
        for (t, generation) in self.generations.iter().enumerate() {
            for (slot, share) in shares(&generation.weights).into_iter().enumerate() {
                let destiny = destinies[t][slot];
                let radius = frame.radius(share * generation.weights.len() as f64);
                self.draw_particle(area, frame.at(t, slot), radius, destiny, generation.finished[slot])?;
            }
        }
        self.draw_legend(area, &frame)
    }

    fn draw_particle<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        (x, y): (i32, i32),
        radius: i32,
        destiny: f64,
        is_finished: bool,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let colour = match (is_finished, destiny > 0.0) {
            (true, true) => FINISHED,
            (true, false) => between(FINISHED, WHITE, 0.65),
            (false, true) => shade(destiny),
            (false, false) => PALE,
        };
        if is_finished {
            let corners = |r: i32| [(x - r, y - r), (x + r, y + r)];
            area.draw(&Rectangle::new(corners(radius + 1), WHITE.filled()))?;
            area.draw(&Rectangle::new(corners(radius), colour.filled()))
        } else {
            area.draw(&Circle::new((x, y), radius + 1, WHITE.filled()))?;
            area.draw(&Circle::new((x, y), radius, colour.filled()))
        }
    }

    fn draw_axes<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        frame: &Frame,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        area.draw(&Text::new(self.title.as_str(), (LEFT - 12, 16), anchored(17, INK, HPos::Left, VPos::Top)))?;
        let bottom = frame.height - BOTTOM;
        for t in 0..self.generations.len() {
            let x = frame.at(t, 0).0;
            if t % frame.every_step() == 0 || t + 1 == self.generations.len() {
                let style = anchored(12, FAINT_INK, HPos::Center, VPos::Top);
                area.draw(&Text::new((t + 1).to_string(), (x, bottom + 12), style))?;
            }
            if t > 0 && self.generations[t].resampled {
                let x = f64::midpoint(f64::from(x), f64::from(frame.at(t - 1, 0).0)).round() as i32;
                for y in (TOP - 10..bottom + 6).step_by(7) {
                    area.draw(&PathElement::new([(x, y), (x, y + 2)], PALE.stroke_width(1)))?;
                }
            }
        }
        let label = anchored(13, INK, HPos::Center, VPos::Top);
        let middle = (LEFT + frame.width - RIGHT) / 2;
        area.draw(&Text::new(self.step_label.as_str(), (middle, bottom + 30), label))?;
        for slot in (0..frame.n).step_by(frame.every_slot()) {
            let y = frame.at(0, slot).1;
            area.draw(&Text::new(slot.to_string(), (LEFT - 14, y), anchored(12, FAINT_INK, HPos::Right, VPos::Center)))?;
        }
        let turned = anchored(13, INK, HPos::Center, VPos::Center).transform(FontTransform::Rotate270);
        area.draw(&Text::new("particle", (16, (TOP + bottom) / 2), turned))
    }

    fn draw_legend<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        frame: &Frame,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let style = anchored(12, FAINT_INK, HPos::Left, VPos::Center);
        let y = 48;
        let mut x = LEFT - 12;
        let any_finished = self.generations.iter().any(|generation| generation.finished.contains(&true));
        let any_resampled = self.generations.iter().skip(1).any(|generation| generation.resampled);
        for (name, width, wanted) in
            [("survives", 62, true), ("dies out", 58, true), ("finished", 58, any_finished), ("resampled", 70, any_resampled)]
        {
            if !wanted || x + 26 + width > frame.width {
                continue;
            }
            match name {
                "survives" => {
                    area.draw(&PathElement::new([(x, y), (x + 20, y)], shade(0.6).stroke_width(4)))?;
                    area.draw(&Circle::new((x + 10, y), 5, shade(0.6).filled()))?;
                }
                "dies out" => {
                    area.draw(&PathElement::new([(x, y), (x + 20, y)], PALE.stroke_width(1)))?;
                    area.draw(&Circle::new((x + 10, y), 4, PALE.filled()))?;
                }
                "finished" => area.draw(&Rectangle::new([(x + 6, y - 4), (x + 14, y + 4)], FINISHED.filled()))?,
                _ => {
                    for y in (y - 9..y + 9).step_by(7) {
                        area.draw(&PathElement::new([(x + 10, y), (x + 10, y + 2)], FAINT_INK.stroke_width(1)))?;
                    }
                }
            }
            area.draw(&Text::new(name, (x + 26, y), style.clone()))?;
            x += 26 + width;
        }
        Ok(())
    }
}

/// The colour of a lineage that leads to this share of the final weight.
fn shade(destiny: f64) -> RGBColor {
    between(LIGHT, DARK, destiny.sqrt())
}

/// Weights that sum to 1; all 0 if there is no weight at all.
fn shares(weights: &[f64]) -> Vec<f64> {
    let largest = weights.iter().copied().fold(0.0, f64::max);
    let total: f64 = weights.iter().map(|weight| weight / largest).sum();
    weights.iter().map(|weight| if largest > 0.0 { weight / largest / total } else { 0.0 }).collect()
}

/// Where particles are.
#[derive(Debug, Clone, Copy)]
struct Frame {
    width: i32,
    height: i32,
    /// Number of particles of the largest generation.
    n: usize,
    n_generations: usize,
}

impl Frame {
    fn of(generations: &[Generation], (width, height): (u32, u32)) -> Self {
        let n = generations.iter().map(|generation| generation.weights.len()).max().unwrap_or(1);
        Self { width: width as i32, height: height as i32, n, n_generations: generations.len() }
    }

    fn step(&self) -> f64 {
        f64::from(self.width - LEFT - RIGHT - 24) / self.n_generations.saturating_sub(1).max(1) as f64
    }

    fn gap(&self) -> f64 {
        f64::from(self.height - TOP - BOTTOM) / self.n as f64
    }

    fn at(&self, t: usize, slot: usize) -> (i32, i32) {
        let x = f64::from(LEFT + 12) + t as f64 * self.step();
        let y = f64::from(TOP) + (slot as f64 + 0.5) * self.gap();
        (x.round() as i32, y.round() as i32)
    }

    /// Area in proportion to the weight, relative to its mean.
    fn radius(&self, relative: f64) -> i32 {
        let most = (0.46 * self.gap()).clamp(1.5, 12.0);
        (0.5 * most * relative.sqrt()).clamp(1.0, most).round() as i32
    }

    fn every_step(&self) -> usize {
        (28.0 / self.step()).ceil().max(1.0) as usize
    }

    fn every_slot(&self) -> usize {
        let least = (16.0 / self.gap()).ceil().max(1.0) as usize;
        if least == 1 { 1 } else { least.next_power_of_two() }
    }
}

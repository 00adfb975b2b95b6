//! Images without a model: woven patterns with the prompt written on them.

mod font;
mod png;

use async_trait::async_trait;

use super::words::hash;
use crate::{
    Data, Error, ErrorKind, Estimator, GeneratedImage, ImageModel, ImageRequest, Images, ModelName, Result,
    TokenCounter, Usage, Warning,
};
use font::{GLYPH_HEIGHT, GLYPH_WIDTH, glyph};

/// Width and height where the request has none.
const DEFAULT_SIZE: (u32, u32) = (512, 512);

/// The shortest and the longest side, in pixels.
const SIDES: std::ops::RangeInclusive<u32> = 16..=4_096;

/// How many images one call makes.
const MAX_IMAGES: u32 = 10;

/// How wide a thread is, in pixels.
const THREAD: u32 = 8;

/// How many characters of the prompt are written at most.
const MAX_LABEL: usize = 200;

/// How many times its size a letter is drawn at most, and how many have to fit into a line of large ones.
const MAX_SCALE: u32 = 8;
const LEAST_ROOM: usize = 10;

type Colour = [u8; 3];

/// An image model that needs no network: it weaves a pattern and writes the prompt on it, as a PNG.
///
/// The same prompt, size and seed give the same image, to the byte. Without a seed, the images of one call
/// have the seeds 0, 1, 2, …, and with one they count from it. Letters beyond ASCII are drawn as boxes.
///
/// ```
/// use loomwork_models::{ImageModel, ImageRequest, OfflineImages};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> loomwork_models::Result<()> {
/// let request = ImageRequest { prompt: "a bird".into(), size: Some((320, 200)), ..ImageRequest::default() };
/// let images = OfflineImages::default().generate(request).await?.images;
/// assert_eq!(images[0].media_type.as_deref(), Some("image/png"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OfflineImages {
    name: ModelName,
}

impl Default for OfflineImages {
    fn default() -> Self {
        Self { name: ModelName::new("offline", "weaver") }
    }
}

#[async_trait]
impl ImageModel for OfflineImages {
    fn name(&self) -> &ModelName {
        &self.name
    }

    async fn generate(&self, request: ImageRequest) -> Result<Images> {
        let error =
            |text: String| Error::new(ErrorKind::BadRequest, &self.name.provider, &self.name.model, text);
        let (width, height) = request.size.unwrap_or(DEFAULT_SIZE);
        if !SIDES.contains(&width) || !SIDES.contains(&height) {
            let (least, most) = (SIDES.start(), SIDES.end());
            return Err(error(format!(
                "the sides of an image have {least} to {most} pixels, not {width} by {height}"
            )));
        }
        let count = request.count.max(1);
        if count > MAX_IMAGES {
            return Err(error(format!("one call makes at most {MAX_IMAGES} images, not {count}")));
        }
        let from = request.seed.unwrap_or(0);
        let images = (0..i64::from(count)).map(|index| {
            let seed = from.wrapping_add(index);
            let bytes = Canvas::woven(&request.prompt, seed, width, height)
                .labelled(&request.prompt, seed)
                .into_png();
            GeneratedImage {
                data: Data::from(bytes),
                media_type: Some("image/png".to_owned()),
                revised_prompt: None,
            }
        });
        let edits = !request.images.is_empty() || request.mask.is_some();
        let why = "the offline model cannot see images, so it made a new one".to_owned();
        let warnings = edits.then(|| Warning { what: "images".to_owned(), why });
        let usage = Usage {
            input_fresh: Estimator.count(&request.prompt),
            images: u64::from(count),
            ..Usage::default()
        };
        let (images, warnings) = (images.collect(), warnings.into_iter().collect());
        Ok(Images { images, usage, warnings, ..Images::default() })
    }
}

/// Pixels, row by row.
struct Canvas {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Canvas {
    /// Weaves threads of a few colours that follow from prompt and seed.
    fn woven(prompt: &str, seed: i64, width: u32, height: u32) -> Self {
        let draw = |what: &str, index: u32| {
            hash(&[prompt.as_bytes(), &seed.to_le_bytes(), what.as_bytes(), &index.to_le_bytes()])
        };
        let palette: Vec<Colour> = (0..4).map(|index| colour(draw("palette", index))).collect();
        let step = 1 + (draw("twill", 0) % 3) as u32;
        let repeat = 3 + (draw("repeat", 0) % 9) as u32;
        let thread = |what: &str, index: u32| palette[(draw(what, index % repeat) % 4) as usize];
        let mut canvas = Self { width, height, pixels: vec![0; (width * height * 3) as usize] };
        let warp: Vec<Colour> = (0..=width / THREAD).map(|column| thread("warp", column)).collect();
        for y in 0..height {
            let row = y / THREAD;
            let weft = thread("weft", row);
            for x in 0..width {
                let column = x / THREAD;
                let warp_is_up = (column + row * step) % 4 < 2;
                let (colour, across) = if warp_is_up { (warp[column as usize], x) } else { (weft, y) };
                // Threads are round: their middle catches the light.
                let from_edge = (across % THREAD).min(THREAD - 1 - across % THREAD);
                canvas.set(x, y, shade(colour, 150 + from_edge * 30));
            }
        }
        canvas
    }

    /// Writes the prompt on a band in the middle, as large as fits, and below it what the image is.
    fn labelled(mut self, prompt: &str, seed: i64) -> Self {
        let prompt: String = prompt.chars().take(MAX_LABEL).collect();
        let room = |scale: u32| (self.width / (scale * (GLYPH_WIDTH + 1))).saturating_sub(2) as usize;
        let line_height = |scale: u32| scale * (GLYPH_HEIGHT + 2);
        let fits = |scale: &u32| {
            let height = (wrap(&prompt, room(*scale)).len() as u32 + 2) * line_height(*scale);
            room(*scale) >= LEAST_ROOM && height <= self.height / 2
        };
        let scale = (1..=MAX_SCALE).rev().find(fits).unwrap_or(1);
        let small = scale.div_ceil(2);
        let note = wrap(&format!("OFFLINE IMAGE, SEED {seed}"), room(small));
        let lines: Vec<(String, u32)> = (wrap(&prompt, room(scale)).into_iter().map(|line| (line, scale)))
            .chain(note.into_iter().map(|line| (line, small)))
            .collect();
        let text: u32 = lines.iter().map(|(_, scale)| line_height(*scale)).sum();
        let band = (text + line_height(scale)).min(self.height);
        let top = (self.height - band) / 2;
        for y in top..top + band {
            for x in 0..self.width {
                self.set(x, y, [250, 247, 240]);
            }
        }
        let mut y = top + line_height(scale) / 2;
        for (line, scale) in lines {
            let width = line.chars().count() as u32 * scale * (GLYPH_WIDTH + 1);
            self.write(&line, self.width.saturating_sub(width) / 2, y, scale);
            y += line_height(scale);
        }
        self
    }

    fn write(&mut self, line: &str, x: u32, y: u32, scale: u32) {
        for (index, letter) in line.chars().enumerate() {
            let x = x + index as u32 * scale * (GLYPH_WIDTH + 1);
            for (row, bits) in (0..).zip(glyph(letter)) {
                for column in (0..GLYPH_WIDTH).filter(|column| bits >> (GLYPH_WIDTH - 1 - column) & 1 == 1) {
                    self.fill(x + column * scale, y + row * scale, scale);
                }
            }
        }
    }

    fn fill(&mut self, x: u32, y: u32, side: u32) {
        for y in y..y + side {
            for x in x..x + side {
                self.set(x, y, [35, 31, 32]);
            }
        }
    }

    /// Sets a pixel; one beyond the edge is left out.
    fn set(&mut self, x: u32, y: u32, colour: Colour) {
        if x < self.width && y < self.height {
            let at = ((y * self.width + x) * 3) as usize;
            self.pixels[at..at + 3].copy_from_slice(&colour);
        }
    }

    fn into_png(self) -> Vec<u8> {
        png::encode(self.width, self.height, &self.pixels)
    }
}

/// Returns a colour that is neither too dark nor too grey.
fn colour(hash: u64) -> Colour {
    let [hue, a, b, ..] = hash.to_le_bytes();
    let (strong, weak) = (170 + a % 80, 50 + b % 90);
    match hue % 6 {
        0 => [strong, weak, weak],
        1 => [strong, (strong / 2).max(weak), weak],
        2 => [weak, strong - 30, weak],
        3 => [weak, strong - 20, strong - 20],
        4 => [weak, weak, strong],
        _ => [strong - 20, weak, strong - 40],
    }
}

fn shade(colour: Colour, share: u32) -> Colour {
    colour.map(|value| u8::try_from(u32::from(value) * share / 240).unwrap_or(u8::MAX))
}

/// Breaks a text into lines of so many characters, between words where it can.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let room = room.max(1);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        for piece in word.chars().collect::<Vec<_>>().chunks(room) {
            let length = lines.last().map_or(0, |line| line.chars().count());
            if length > 0 && length + 1 + piece.len() > room {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.extend(piece);
            }
        }
    }
    lines
}

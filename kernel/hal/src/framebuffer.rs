//! Text on a pixel framebuffer: the log on the screen.
//!
//! Key types: [`TextScreen`], [`Geometry`].
//!
//! Pixels are only ever written: reading a framebuffer is slow, so there is no scrolling. At the
//! bottom the text goes on at the top; the row after the newest one is always empty, so that one
//! sees where it ends. Text is grey, which has the same bytes in every pixel format.

use core::ptr::NonNull;

use noto_sans_mono_bitmap::{
    FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width,
};

const WEIGHT: FontWeight = FontWeight::Regular;
const HEIGHT: RasterHeight = RasterHeight::Size16;
/// A character cell's size in pixels.
const CELL_WIDTH: usize = get_raster_width(WEIGHT, HEIGHT);
const CELL_HEIGHT: usize = HEIGHT.val();

/// How a framebuffer's pixels lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Pixels in a row that are shown.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Pixels from one row's start to the next one's.
    pub stride: usize,
    /// Bytes of a pixel, 1 to 4.
    pub bytes_per_pixel: usize,
}

impl Geometry {
    /// The framebuffer's size in bytes; `None` when no text fits or the numbers make no sense.
    #[must_use]
    pub fn bytes(&self) -> Option<usize> {
        let sound = (1..=4).contains(&self.bytes_per_pixel)
            && self.width >= CELL_WIDTH
            && self.height >= 2 * CELL_HEIGHT
            && self.width <= self.stride;
        let bytes = self
            .stride
            .checked_mul(self.height)?
            .checked_mul(self.bytes_per_pixel)?;
        sound.then_some(bytes)
    }
}

/// A framebuffer with text on it.
pub struct TextScreen {
    base: NonNull<u8>,
    geometry: Geometry,
    column: usize,
    row: usize,
}

// SAFETY: the framebuffer belongs to this value alone, and memory is the same on every core.
unsafe impl Send for TextScreen {}

impl TextScreen {
    /// A screen with room for text at its top, or `None` when the geometry is not one for text.
    ///
    /// # Safety
    /// From `base` on there are [`Geometry::bytes`] bytes that can be written, for as long as this
    /// lives, and nobody else uses them; `base` is a multiple of 4.
    #[must_use]
    pub unsafe fn new(base: NonNull<u8>, geometry: Geometry) -> Option<Self> {
        geometry.bytes()?;
        let mut screen = Self {
            base,
            geometry,
            column: 0,
            row: 0,
        };
        // What the firmware left below goes row by row: a whole screen takes long to write.
        screen.clear(0);
        screen.clear(1);
        Some(screen)
    }

    /// Writes text at the end of what is there.
    pub fn write(&mut self, text: &str) {
        for character in text.chars() {
            if character == '\n' || self.column == self.geometry.width / CELL_WIDTH {
                self.next_row();
            }
            if character != '\n' {
                self.draw(character);
                self.column += 1;
            }
        }
    }

    fn rows(&self) -> usize {
        self.geometry.height / CELL_HEIGHT
    }

    fn next_row(&mut self) {
        self.column = 0;
        self.row = (self.row + 1) % self.rows();
        self.clear((self.row + 1) % self.rows());
    }

    fn clear(&mut self, row: usize) {
        for y in row * CELL_HEIGHT..(row + 1) * CELL_HEIGHT {
            for x in 0..self.geometry.width {
                self.set(x, y, 0);
            }
        }
    }

    /// Draws a character at the end of the text; what the font lacks becomes a question mark.
    fn draw(&mut self, character: char) {
        let raster = get_raster(character, WEIGHT, HEIGHT).or(get_raster('?', WEIGHT, HEIGHT));
        let (left, top) = (self.column * CELL_WIDTH, self.row * CELL_HEIGHT);
        for (y, pixels) in raster.iter().flat_map(RasterizedChar::rows).enumerate() {
            for (x, &grey) in pixels.iter().enumerate() {
                self.set(left + x, top + y, grey);
            }
        }
    }

    /// Sets a pixel; one beyond the edges is left out.
    fn set(&mut self, x: usize, y: usize, grey: u8) {
        let Geometry {
            width,
            height,
            stride,
            bytes_per_pixel,
        } = self.geometry;
        if x >= width || y >= height {
            return;
        }
        let offset = (y * stride + x) * bytes_per_pixel;
        // SAFETY: the pixel is in the framebuffer, as checked above.
        let pixel = unsafe { self.base.add(offset) };
        if bytes_per_pixel == 4 {
            let all = u32::from_ne_bytes([grey, grey, grey, 0]);
            // SAFETY: the four bytes are the pixel's, at a multiple of 4.
            unsafe { pixel.cast::<u32>().write_volatile(all) };
            return;
        }
        for byte in 0..bytes_per_pixel {
            // SAFETY: stays in the pixel.
            let byte = unsafe { pixel.add(byte) };
            // SAFETY: the byte is the framebuffer's.
            unsafe { byte.write_volatile(grey) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws `text` on a small screen between guard bytes; returns the pixels' bytes.
    fn draw(text: &str, bytes_per_pixel: usize) -> Vec<u8> {
        let geometry = Geometry {
            width: CELL_WIDTH * 3,
            height: CELL_HEIGHT * 3 + 1,
            stride: CELL_WIDTH * 3 + 2,
            bytes_per_pixel,
        };
        let length = geometry.bytes().expect("a sound geometry");
        let guard = [0xaaaa_aaaa_u32];
        let mut buffer = [&guard[..], &vec![0; length.div_ceil(4)], &guard].concat();
        let base = NonNull::new(buffer[1..].as_mut_ptr().cast::<u8>()).expect("a vector");
        // SAFETY: the buffer is that long after its first word, and outlives the screen.
        let screen = unsafe { TextScreen::new(base, geometry) };
        screen.expect("a sound geometry").write(text);
        assert_eq!(
            buffer.first(),
            Some(&0xaaaa_aaaa),
            "written before the start"
        );
        assert_eq!(buffer.last(), Some(&0xaaaa_aaaa), "written past the end");
        let bytes = buffer[1..].iter().flat_map(|word| word.to_ne_bytes());
        bytes.take(length).collect()
    }

    /// Whether anything is drawn in that row of text.
    fn is_inked(pixels: &[u8], row: usize, bytes_per_pixel: usize) -> bool {
        let stride = (CELL_WIDTH * 3 + 2) * bytes_per_pixel;
        (row * CELL_HEIGHT..(row + 1) * CELL_HEIGHT).any(|y| {
            let line = &pixels[y * stride..][..CELL_WIDTH * 3 * bytes_per_pixel];
            line.iter().any(|&byte| byte != 0)
        })
    }

    #[test]
    fn text_wraps_at_the_right_edge_and_at_the_bottom() {
        for bytes_per_pixel in 1..=4 {
            let inked = |text| {
                let pixels = draw(text, bytes_per_pixel);
                [0, 1, 2].map(|row| is_inked(&pixels, row, bytes_per_pixel))
            };
            assert_eq!(inked("abc"), [true, false, false]);
            assert_eq!(inked("abcd"), [true, true, false]);
            // The row after the newest is always empty.
            assert_eq!(inked("a\nb\nc"), [false, true, true]);
            assert_eq!(inked("a\nb\nc\nd"), [true, false, true]);
        }
    }

    #[test]
    fn a_character_the_font_lacks_is_shown() {
        assert_eq!(draw("\u{1f980}", 4), draw("?", 4));
    }

    #[test]
    fn a_geometry_without_room_is_refused() {
        let good = Geometry {
            width: 640,
            height: 480,
            stride: 640,
            bytes_per_pixel: 4,
        };
        assert_eq!(good.bytes(), Some(640 * 480 * 4));
        let bad = [
            Geometry { width: 1, ..good },
            Geometry {
                height: CELL_HEIGHT,
                ..good
            },
            Geometry {
                stride: 639,
                ..good
            },
            Geometry {
                bytes_per_pixel: 0,
                ..good
            },
            Geometry {
                bytes_per_pixel: 8,
                ..good
            },
            Geometry {
                stride: usize::MAX,
                ..good
            },
        ];
        for geometry in bad {
            assert_eq!(geometry.bytes(), None, "{geometry:?}");
        }
    }
}

//! Reading files again and again, in turn or many at once.
//!
//! Key types: [`Files`] (which ones, and how), [`Streams`] (many at once, by asynchronous I/O),
//! [`Pattern`] (what is in them, so that a wrong byte is found).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use rustix::fs::{Advice, fadvise};
use vortex::aio::Queue;

/// Bytes that are written to each file before it is another one's turn.
const PIECE: u64 = 64 * 1024;

/// Completions that are taken at once.
const BATCH: usize = 64;

/// What is in a file: each aligned word of eight bytes is its own offset.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// The file's length in bytes.
    pub size: u64,
}

impl Pattern {
    fn fill(self, offset: u64, length: usize) -> Vec<u8> {
        let words = (offset / 8..).map(|word| (word * 8).to_le_bytes());
        words.flatten().take(length).collect()
    }

    /// Whether the first whole word of what was read at `offset` is right.
    fn is_right(self, offset: u64, bytes: &[u8]) -> bool {
        let word = offset.next_multiple_of(8);
        let skip = usize::try_from(word - offset).unwrap_or(usize::MAX);
        match bytes.get(skip..).and_then(<[u8]>::first_chunk) {
            Some(first) => u64::from_le_bytes(*first) == word,
            None => true,
        }
    }
}

/// The files of one thread, and how they are read.
#[derive(Clone, Debug)]
pub struct Files {
    /// Where they are.
    pub folder: PathBuf,
    /// The thread.
    pub thread: usize,
    /// How many.
    pub count: u32,
    /// What is in them.
    pub pattern: Pattern,
    /// Bytes of each read.
    pub request: usize,
    /// Have what was read forgotten.
    pub evict: bool,
    /// Have nothing read ahead.
    pub random: bool,
}

impl Files {
    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{}.{number}", self.thread))
    }

    /// Makes the files of several threads, a piece of each in turn.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(all: &[Self]) -> io::Result<()> {
        let mut open = Vec::new();
        for files in all {
            fs::create_dir_all(&files.folder)?;
            for number in 0..files.count {
                let path = files.path(number);
                let mut options = OpenOptions::new();
                open.push((
                    options.write(true).create(true).truncate(true).open(path)?,
                    files.pattern,
                ));
            }
        }
        let longest = open.iter().map(|(_, pattern)| pattern.size).max();
        for offset in (0..longest.unwrap_or(0)).step_by(usize::try_from(PIECE).unwrap_or(1)) {
            for (file, pattern) in &mut open {
                let length = PIECE.min(pattern.size.saturating_sub(offset));
                let length = usize::try_from(length).map_err(io::Error::other)?;
                file.write_all(&pattern.fill(offset, length))?;
            }
        }
        for (file, _) in &open {
            file.sync_all()?;
            fadvise(file, 0, None, Advice::DontNeed)?;
        }
        Ok(())
    }

    fn open(&self, number: u32) -> io::Result<File> {
        let file = File::open(self.path(number))?;
        if self.random {
            fadvise(&file, 0, None, Advice::Random)?;
        }
        Ok(file)
    }

    fn close(&self, file: &File) -> io::Result<()> {
        if self.evict {
            fadvise(file, 0, None, Advice::DontNeed)?;
        }
        Ok(())
    }

    fn check(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            let text = format!("a file of thread {} ends at {offset}", self.thread);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        if self.pattern.is_right(offset, bytes) {
            return Ok(());
        }
        let text = format!("wrong data at {offset} in a file of thread {}", self.thread);
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }

    /// One file after another, from its beginning to its end, until `go_on`, which is told after
    /// each file how many bytes were read, says no.
    ///
    /// # Errors
    /// What the system says, or that something else is in a file than was written.
    pub fn read_in_turn(&self, mut go_on: impl FnMut(u64) -> bool) -> io::Result<()> {
        let mut buffer = vec![0; self.request];
        for number in (0..self.count).cycle() {
            let mut file = self.open(number)?;
            let mut offset = 0;
            while offset < self.pattern.size {
                let left = usize::try_from(self.pattern.size - offset).unwrap_or(usize::MAX);
                let room = buffer.len().min(left);
                let read = file.read(&mut buffer[..room])?;
                self.check(offset, &buffer[..read])?;
                offset += read as u64;
            }
            self.close(&file)?;
            drop(file);
            if !go_on(offset) {
                break;
            }
        }
        Ok(())
    }
}

/// A region of a file that is read from its beginning to its end.
#[derive(Clone, Copy)]
struct Region {
    file: usize,
    next: u64,
    end: u64,
}

struct Opened {
    file: File,
    /// Streams that have not reached their end.
    streams: u32,
}

/// All files of a thread at once, each by several streams.
pub struct Streams {
    files: Files,
    per_file: u32,
    queue: Queue<Region>,
    opened: Vec<Opened>,
}

impl Streams {
    /// Opens the files; `per_file` streams read each of them.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(files: Files, per_file: u32) -> io::Result<Self> {
        let depth = files.count * per_file;
        Ok(Self {
            per_file,
            queue: Queue::new(depth)?,
            opened: Vec::new(),
            files,
        })
    }

    /// Reads until `go_on`, which is told after each read how many bytes it gave, says no.
    ///
    /// # Errors
    /// As [`Files::read_in_turn`].
    pub fn read_at_once(mut self, mut go_on: impl FnMut(u64) -> bool) -> io::Result<()> {
        for number in 0..self.files.count {
            let file = self.files.open(number)?;
            self.opened.push(Opened { file, streams: 0 });
            self.begin(number as usize)?;
        }
        loop {
            for done in self.queue.wait(BATCH)? {
                let region = done.token;
                let read = done.result?;
                self.files.check(region.next, &done.buffer[..read])?;
                if !go_on(read as u64) {
                    return Ok(());
                }
                let next = region.next + read as u64;
                self.advance(Region { next, ..region }, done.buffer)?;
            }
        }
    }

    /// Starts the streams of a file that has been opened.
    fn begin(&mut self, file: usize) -> io::Result<()> {
        let (size, streams) = (self.files.pattern.size, u64::from(self.per_file));
        for stream in 0..streams {
            let (next, end) = (size * stream / streams, size * (stream + 1) / streams);
            if next < end {
                self.opened[file].streams += 1;
                let buffer = vec![0; self.files.request];
                self.read(Region { file, next, end }, buffer)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, region: Region, mut buffer: Vec<u8>) -> io::Result<()> {
        let left = usize::try_from(region.end - region.next).unwrap_or(usize::MAX);
        buffer.resize(self.files.request.min(left), 0);
        let file = &self.opened[region.file].file;
        self.queue.read(file, region.next, buffer, region)
    }

    /// Goes on with a stream; at the end of the file's last one, with the file from its beginning.
    fn advance(&mut self, region: Region, buffer: Vec<u8>) -> io::Result<()> {
        if region.next < region.end {
            return self.read(region, buffer);
        }
        let opened = &mut self.opened[region.file];
        opened.streams -= 1;
        if opened.streams > 0 {
            return Ok(());
        }
        self.files.close(&opened.file)?;
        let number = u32::try_from(region.file).map_err(io::Error::other)?;
        self.opened[region.file].file = self.files.open(number)?;
        self.begin(region.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_knows_its_bytes() {
        let pattern = Pattern { size: 100 };
        assert!(pattern.is_right(0, &pattern.fill(0, 32)));
        assert!(pattern.is_right(3, &pattern.fill(0, 32)[3..]));
        assert!(!pattern.is_right(8, &pattern.fill(0, 32)));
        assert!(pattern.is_right(1, &[9; 5]), "no whole word");
    }
}

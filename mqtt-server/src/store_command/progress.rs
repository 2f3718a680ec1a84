//! How far a long copy is.

use std::io::{self, Read, Write};

use tracing::info;

/// It is told each time that so many more bytes have passed.
const STEP_BYTES: u64 = 256 << 20;

/// A reader or writer that tells how much has passed.
pub(super) struct Progress<T> {
    inner: T,
    bytes: u64,
}

impl<T> Progress<T> {
    pub(super) const fn new(inner: T) -> Self {
        Self { inner, bytes: 0 }
    }

    fn passed(&mut self, count: usize) {
        let steps = self.bytes / STEP_BYTES;
        self.bytes += count as u64;
        if self.bytes / STEP_BYTES > steps {
            info!("{} MiB so far", self.bytes >> 20);
        }
    }
}

impl<R: Read> Read for Progress<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.passed(count);
        Ok(count)
    }
}

impl<W: Write> Write for Progress<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.passed(count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

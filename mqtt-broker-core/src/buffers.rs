//! A pool of write buffers for each thread, so that an idle connection holds none and a busy one
//! does not allocate.

use std::cell::RefCell;

/// Buffers kept for one thread. More are freed.
const BUFFERS_MAX: usize = 64;
/// Bytes of the largest buffer kept. A larger one was an exception and is freed.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a new buffer: a batch of small packets.
const BUFFER_BYTES: usize = 4 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room.
pub(crate) fn take() -> Vec<u8> {
    let pooled = POOL.with_borrow_mut(Vec::pop);
    pooled.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
}

/// Gives a buffer back; what is in it is forgotten.
pub(crate) fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > BUFFER_BYTES_MAX {
        return;
    }
    buffer.clear();
    POOL.with_borrow_mut(|pool| {
        if pool.len() < BUFFERS_MAX {
            pool.push(buffer);
        }
    });
}

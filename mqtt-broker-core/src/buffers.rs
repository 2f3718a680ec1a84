//! A pool of write buffers for each thread, so that an idle connection holds none and a busy one
//! does not allocate.

use std::cell::RefCell;

/// Bytes of all buffers kept for one thread: those of a fan-out to a thousand. More are freed.
const POOL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of the largest buffer kept. A larger one was an exception and is freed.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a new buffer: a batch of small packets.
const BUFFER_BYTES: usize = 4 * 1024;

struct Pool {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { buffers: Vec::new(), bytes: 0 }) };
}

/// An empty buffer with room.
pub(crate) fn take() -> Vec<u8> {
    let pooled = POOL.with_borrow_mut(|pool| {
        let buffer = pool.buffers.pop()?;
        pool.bytes -= buffer.capacity();
        Some(buffer)
    });
    pooled.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
}

/// Gives a buffer back; what is in it is forgotten.
pub(crate) fn give(mut buffer: Vec<u8>) {
    let capacity = buffer.capacity();
    if capacity == 0 || capacity > BUFFER_BYTES_MAX {
        return;
    }
    buffer.clear();
    POOL.with_borrow_mut(|pool| {
        if pool.bytes + capacity <= POOL_BYTES_MAX {
            pool.bytes += capacity;
            pool.buffers.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_no_more_than_it_may() {
        let capacities = [BUFFER_BYTES, BUFFER_BYTES_MAX, 0, BUFFER_BYTES_MAX + 1];
        for at in 0..1000 {
            give(Vec::with_capacity(capacities[at % 4]));
        }
        let kept: usize = std::iter::repeat_with(take)
            .take(80)
            .map(|buffer| buffer.capacity())
            .sum();
        POOL.with_borrow(|pool| {
            assert_eq!(pool.bytes, pool.buffers.iter().map(Vec::capacity).sum())
        });
        assert!(kept <= POOL_BYTES_MAX, "{kept}");
    }
}

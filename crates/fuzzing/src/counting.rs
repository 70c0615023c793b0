//! A global allocator that counts per thread, so that targets can say how much memory reading may take.
#![allow(unsafe_code, reason = "a global allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    // Signed: a thread may free what another one allocated.
    static IN_USE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn add(size: usize) {
    // A thread that ends allocates without being counted.
    let counted = IN_USE.try_with(|in_use| {
        in_use.set(in_use.get().wrapping_add_unsigned(size));
        in_use.get()
    });
    if let Ok(in_use) = counted {
        PEAK.try_with(|peak| peak.set(peak.get().max(in_use))).ok();
    }
}

fn remove(size: usize) {
    IN_USE
        .try_with(|in_use| in_use.set(in_use.get().wrapping_sub_unsigned(size)))
        .ok();
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract; counting touches no
// memory but two cells of the thread, which need neither allocation nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        remove(layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new may exist at once.
        add(size);
        remove(layout.size());
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// How much memory reading may take at its peak.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// However short the input is.
    pub(crate) fixed: usize,
    /// For each byte of it, if that is more.
    pub(crate) per_byte: usize,
}

/// Runs `work` over `length` bytes of input.
///
/// # Panics
/// When this thread had more in use than `limit` allows, beyond what it had before.
pub(crate) fn within<T>(limit: Limit, length: usize, work: impl FnOnce() -> T) -> T {
    let before = IN_USE.with(Cell::get);
    PEAK.with(|peak| peak.set(before));
    let result = work();
    let extra = PEAK.with(Cell::get) - before;
    let allowed = limit.fixed.max(limit.per_byte * length);
    assert!(
        extra <= isize::try_from(allowed).unwrap_or(isize::MAX),
        "{extra} bytes of memory for {length} bytes of input, {allowed} are allowed"
    );
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        fixed: 1000,
        per_byte: 10,
    };

    #[test]
    fn what_stays_within_the_limit_passes() {
        assert_eq!(within(LIMIT, 5, || vec![0_u8; 900].len()), 900);
        assert_eq!(within(LIMIT, 500, || vec![0_u8; 4900].len()), 4900);
    }

    #[test]
    #[should_panic(expected = "2000 bytes of memory for 5 bytes of input")]
    fn what_exceeds_it_does_not_even_if_it_is_freed_again() {
        within(LIMIT, 5, || drop(vec![0_u8; 2000]));
    }
}

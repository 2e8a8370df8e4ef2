//! Memory for programs that need a few thousand small pieces, and are over.
//!
//! Each thread has a pool of its own, which nobody has to lock: pieces of one size class that were given back, and a block
//! whose rest is still whole. A piece belongs to whichever thread gives it back. What is larger than the largest class is
//! left to the C library.
//!
//! Blocks are not given back, and the pool of a thread that ends is lost. That suits programs that do everything in one
//! thread, as all of Fusebox's do, but for a name that is looked up and a progress bar. Where one thread took for good what
//! another gives back, memory would grow with every piece.

#![allow(unsafe_code)] // an allocator hands out memory that nobody owns yet

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a block. Only what is touched is taken.
const BLOCK: usize = 256 * 1024;

/// Bytes of the first block: more than most hooks need in all, with the embedded store, too.
const FIRST_BLOCK: usize = 1024 * 1024;

/// Bytes by which the small classes go, and at a multiple of which every piece begins.
const STEP: usize = 16;

/// The largest class that is a number of steps: of 512 bytes. After it, four classes are twice as large as the four before.
const STEPS: usize = 32;

/// By how much the first four classes after the steps go.
const FOURTH: usize = STEPS * STEP / 4;

/// Classes, the one for nothing included: the largest is of 64 KB, seven times twice as large.
const CLASSES: usize = STEPS + 1 + 7 * 4;

/// A program's memory.
pub struct Memory;

/// A piece that was given back.
struct Piece {
    next: *mut Piece,
}

/// What a thread has.
struct Pool {
    /// The rest of the block.
    rest: Cell<*mut u8>,
    left: Cell<usize>,
    /// Of each class, the piece that was given back last.
    free: [Cell<*mut Piece>; CLASSES],
}

/// The pool of the thread that comes first (most programs have one), and its first block.
#[repr(C)]
struct First {
    is_taken: AtomicBool,
    pool: Pool,
    block: UnsafeCell<Block>,
}

#[repr(C, align(16))]
struct Block([u8; FIRST_BLOCK]);

// SAFETY: one thread takes it, and no other touches it.
unsafe impl Sync for First {}

static FIRST: First = First {
    is_taken: AtomicBool::new(false),
    pool: Pool::empty(),
    block: UnsafeCell::new(Block([0; FIRST_BLOCK])),
};

thread_local! {
    static POOL: Cell<*const Pool> = const { Cell::new(null()) };
}

/// The class of pieces of so many bytes, which are not none.
#[inline]
const fn class(size: usize) -> usize {
    if size <= STEPS * STEP {
        return size.div_ceil(STEP);
    }
    // The highest bit says how often it was doubled, the next two which of the four it is.
    let last = size - 1;
    let doubled = (usize::BITS - 1 - last.leading_zeros() - (STEPS * STEP).ilog2()) as usize;
    let fourth = (last >> (doubled + FOURTH.ilog2() as usize)) & 3;
    STEPS + 1 + 4 * doubled + fourth
}

/// Bytes of a piece of this class.
#[inline]
const fn room(class: usize) -> usize {
    if class <= STEPS {
        return class * STEP;
    }
    let beyond = class - STEPS - 1;
    (FOURTH * (5 + beyond % 4)) << (beyond / 4)
}

impl Pool {
    const fn empty() -> Self {
        Self {
            rest: Cell::new(null_mut()),
            left: Cell::new(0),
            free: [const { Cell::new(null_mut()) }; CLASSES],
        }
    }

    /// This thread's; `None`: there is no memory left.
    #[inline(always)]
    fn here() -> Option<&'static Self> {
        POOL.with(|pool| {
            // SAFETY: pools are never given back.
            unsafe { pool.get().as_ref() }.or_else(|| {
                let new = Self::begin();
                pool.set(new);
                // SAFETY: as above.
                unsafe { new.as_ref() }
            })
        })
    }

    #[cold]
    fn begin() -> *const Self {
        if !FIRST.is_taken.swap(true, Ordering::Relaxed) {
            FIRST.pool.rest.set(FIRST.block.get().cast());
            FIRST.pool.left.set(FIRST_BLOCK);
            return &raw const FIRST.pool;
        }
        // SAFETY: a pool is not of no size; what was allocated for it may be written.
        unsafe {
            let new = System.alloc(Layout::new::<Self>()).cast::<Self>();
            if !new.is_null() {
                new.write(Self::empty());
            }
            new
        }
    }

    /// A piece of this class; null: there is no memory left.
    #[inline(always)]
    fn take(&self, class: usize) -> *mut u8 {
        let piece = self.free[class].get();
        if !piece.is_null() {
            // SAFETY: what was given back is nobody's, and says which piece was before it.
            self.free[class].set(unsafe { (*piece).next });
            return piece.cast();
        }
        let size = room(class);
        if self.left.get() < size && !self.begin_block() {
            return null_mut();
        }
        let piece = self.rest.get();
        self.left.set(self.left.get() - size);
        // SAFETY: the block is as long.
        self.rest.set(unsafe { piece.add(size) });
        piece
    }

    /// What is left of the old one stays unused: it is less than a piece.
    #[cold]
    fn begin_block(&self) -> bool {
        // SAFETY: a block is not of no size.
        let block = unsafe { System.alloc(Layout::from_size_align_unchecked(BLOCK, STEP)) };
        if !block.is_null() {
            self.rest.set(block);
            self.left.set(BLOCK);
        }
        !block.is_null()
    }

    /// # Safety
    /// The piece is of this class, and nobody uses it any longer.
    unsafe fn give_back(&self, piece: *mut u8, class: usize) {
        let piece = piece.cast::<Piece>();
        // SAFETY: every class has room for this, at a multiple of 16.
        unsafe { piece.write(Piece { next: self.free[class].get() }) };
        self.free[class].set(piece);
    }

    /// Lets a piece grow or shrink where it is, which the last one of a block can.
    fn resize(&self, piece: *mut u8, before: usize, after: usize) -> bool {
        let (before, after) = (room(before), room(after));
        // SAFETY: the end of a piece lies in its block, or right after it.
        let is_last = unsafe { piece.add(before) } == self.rest.get();
        let is_resized = is_last && after <= before + self.left.get();
        if is_resized {
            self.left.set(before + self.left.get() - after);
            // SAFETY: the block is as long.
            self.rest.set(unsafe { piece.add(after) });
        }
        is_resized
    }
}

/// The class of what is to lie like this; `None`: that is left to the C library.
#[inline(always)]
fn class_of(layout: Layout) -> Option<usize> {
    let class = class(layout.size());
    (class < CLASSES && layout.align() <= STEP).then_some(class)
}

// SAFETY: a piece is handed out once until it is given back, is as large as its class, and begins at a multiple of 16: blocks
// do, and all sizes are. The class of a piece is that of its layout, which comes along when it is given back.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match class_of(layout) {
            Some(class) => Pool::here().map_or(null_mut(), |pool| pool.take(class)),
            // SAFETY: as the caller says.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class_of(layout).is_none() {
            // SAFETY: as the caller says. The kernel's pages are empty already.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: as the caller says; a piece is as large.
        unsafe {
            let piece = self.alloc(layout);
            if !piece.is_null() {
                piece.write_bytes(0, layout.size());
            }
            piece
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match class_of(layout) {
            // Without a pool, there is nothing to be done with it.
            Some(class) => Pool::here().map_or((), |pool| {
                // SAFETY: as the caller says.
                unsafe { pool.give_back(piece, class) }
            }),
            // SAFETY: as the caller says.
            None => unsafe { System.dealloc(piece, layout) },
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller says.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class_of(layout), class_of(new)) {
            // SAFETY: as the caller says.
            (None, None) => return unsafe { System.realloc(piece, layout, size) },
            (Some(before), Some(after))
                if before == after || Pool::here().is_some_and(|pool| pool.resize(piece, before, after)) =>
            {
                return piece;
            }
            _ => {}
        }
        // SAFETY: as the caller says; both are as large as what is copied.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(piece, layout.size().min(size));
                self.dealloc(piece, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_class_is_as_large_as_what_it_is_for_and_a_quarter_more_at_most() {
        for size in 1..=80 * 1024 {
            let class = class(size);
            if class < CLASSES {
                assert!(room(class) >= size && room(class) < (size + size / 4).max(size + STEP), "{size}");
                assert!(room(class - 1) < size, "{size}: a smaller class would do");
            } else {
                assert!(size > room(CLASSES - 1), "{size}");
            }
        }
    }

    /// What somebody holds: the piece, its layout, and what is in every byte of it.
    struct Held(*mut u8, Layout, u8);

    // SAFETY: whoever holds it hands it over.
    unsafe impl Send for Held {}

    impl Held {
        fn take(size: usize, align: usize, mark: u8) -> Self {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: the size is not 0.
            let piece = unsafe { Memory.alloc(layout) };
            assert!(!piece.is_null() && piece.align_offset(align) == 0);
            let held = Self(piece, layout, mark);
            held.fill();
            held
        }

        fn fill(&self) {
            // SAFETY: it is as large.
            unsafe { self.0.write_bytes(self.2, self.1.size()) }
        }

        fn check(&self, up_to: usize) {
            // SAFETY: it is as large, and was filled.
            let bytes = unsafe { std::slice::from_raw_parts(self.0, up_to) };
            assert!(bytes.iter().all(|byte| *byte == self.2), "somebody else wrote here");
        }

        fn resize(&mut self, size: usize) {
            let before = self.1.size();
            // SAFETY: it was taken with this layout; the size is not 0.
            self.0 = unsafe { Memory.realloc(self.0, self.1, size) };
            assert!(!self.0.is_null());
            self.1 = Layout::from_size_align(size, self.1.align()).unwrap();
            self.check(before.min(size));
            self.fill();
        }

        fn give_back(self) {
            self.check(self.1.size());
            // SAFETY: it was taken with this layout.
            unsafe { Memory.dealloc(self.0, self.1) };
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Take(usize, usize),
        GiveBack(usize),
        Resize(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let size = prop_oneof![6 => 1..200usize, 3 => 1..5000usize, 1 => 1..200_000usize];
        let align = prop_oneof![8 => Just(8usize), 1 => Just(1), 1 => Just(16), 1 => Just(64)];
        prop_oneof![
            4 => (size.clone(), align).prop_map(|(size, align)| Step::Take(size, align)),
            3 => any::<usize>().prop_map(Step::GiveBack),
            3 => (any::<usize>(), size).prop_map(|(which, size)| Step::Resize(which, size)),
        ]
    }

    proptest! {
        #[test]
        fn nobody_writes_into_what_somebody_else_holds(steps in vec(step(), 1..400)) {
            let mut held: Vec<Held> = Vec::new();
            for (nr, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Take(size, align) => held.push(Held::take(size, align, nr as u8)),
                    Step::GiveBack(_) | Step::Resize(..) if held.is_empty() => {}
                    Step::GiveBack(which) => {
                        let which = which % held.len();
                        held.swap_remove(which).give_back();
                    }
                    Step::Resize(which, size) => {
                        let which = which % held.len();
                        held[which].resize(size);
                    }
                }
            }
            held.into_iter().for_each(Held::give_back);
        }
    }

    #[test]
    fn what_one_thread_took_another_can_give_back() {
        let (send, receive) = std::sync::mpsc::channel::<Held>();
        let other = std::thread::spawn(move || {
            let mut kept = VecDeque::new();
            for held in receive {
                kept.push_back(held);
                if kept.len() > 7
                    && let Some(first) = kept.pop_front()
                {
                    first.give_back();
                }
                Held::take(40, 8, 0xaa).give_back();
            }
            kept.into_iter().for_each(Held::give_back);
        });
        for nr in 0..20_000usize {
            send.send(Held::take(nr % 900 + 1, 8, nr as u8)).unwrap();
        }
        drop(send);
        other.join().unwrap();
    }

    #[test]
    fn zeroed_means_zeroed_where_something_else_was() {
        Held::take(300, 8, 0xff).give_back();
        let layout = Layout::from_size_align(300, 8).unwrap();
        // SAFETY: the size is not 0; it is given back as it was taken.
        unsafe {
            let piece = Memory.alloc_zeroed(layout);
            assert!(std::slice::from_raw_parts(piece, 300).iter().all(|byte| *byte == 0));
            Memory.dealloc(piece, layout);
        }
    }
}

//! SQLite's memory on musl: the program's own. What musl brings asks the kernel anew for almost every page of a database.
#![allow(unsafe_code)] // SQLite takes an allocator as C functions

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::ffi;

/// Bytes before each piece, which hold its size. SQLite wants pieces to begin at a multiple of 8.
const HEAD: usize = 16;

/// Whether this is a program that brings an allocator, and opens databases here alone.
static IS_SHARED: AtomicBool = AtomicBool::new(false);

/// From now on SQLite takes its memory from the program's allocator. For programs that bring one, before they open a database:
/// SQLite cannot be told while somebody uses it.
pub fn share_memory() {
    IS_SHARED.store(true, Ordering::Relaxed);
}

/// Tells SQLite so, once.
pub(super) fn share() {
    static ONCE: Once = Once::new();
    if !IS_SHARED.load(Ordering::Relaxed) {
        return;
    }
    ONCE.call_once(|| {
        let methods = ffi::sqlite3_mem_methods {
            xMalloc: Some(take),
            xFree: Some(give_back),
            xRealloc: Some(resize),
            xSize: Some(size),
            xRoundup: Some(rounded),
            xInit: Some(begin),
            xShutdown: Some(end),
            pAppData: null_mut(),
        };
        // SAFETY: the option wants a pointer to these methods, and copies them.
        unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const methods) };
    });
}

/// How a piece of so many bytes lies in memory, its head included; `None`: there is no room for that many anywhere.
fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(HEAD)?, HEAD).ok()
}

/// # Safety
/// `whole` is null, or points to so many bytes and a head.
unsafe fn headed(whole: *mut u8, bytes: usize) -> *mut c_void {
    if whole.is_null() {
        return null_mut();
    }
    // SAFETY: a head is as large as two of these, and aligned for them; what follows is in the same piece.
    unsafe {
        whole.cast::<usize>().write(bytes);
        whole.add(HEAD).cast()
    }
}

/// # Safety
/// `piece` came from [`headed`].
unsafe fn whole(piece: *mut c_void) -> (*mut u8, usize) {
    // SAFETY: before a piece is its head.
    unsafe {
        let whole = piece.cast::<u8>().sub(HEAD);
        (whole, whole.cast::<usize>().read())
    }
}

unsafe extern "C" fn take(bytes: c_int) -> *mut c_void {
    let bytes = usize::try_from(bytes).unwrap_or_default();
    let Some(layout) = layout(bytes) else { return null_mut() };
    // SAFETY: with its head it is never empty.
    unsafe { headed(alloc(layout), bytes) }
}

unsafe extern "C" fn give_back(piece: *mut c_void) {
    // SAFETY: SQLite gives back what it took, and nothing else.
    unsafe {
        let (whole, bytes) = whole(piece);
        if let Some(layout) = layout(bytes) {
            dealloc(whole, layout);
        }
    }
}

unsafe extern "C" fn resize(piece: *mut c_void, bytes: c_int) -> *mut c_void {
    let bytes = usize::try_from(bytes).unwrap_or_default();
    // SAFETY: SQLite resizes what it took, to more than nothing.
    unsafe {
        let (whole, before) = whole(piece);
        let Some((old, new)) = layout(before).zip(layout(bytes)) else { return null_mut() };
        headed(realloc(whole, old, new.size()), bytes)
    }
}

unsafe extern "C" fn size(piece: *mut c_void) -> c_int {
    if piece.is_null() {
        return 0;
    }
    // SAFETY: SQLite asks for the size of what it took.
    let (_, bytes) = unsafe { whole(piece) };
    c_int::try_from(bytes).unwrap_or(c_int::MAX)
}

unsafe extern "C" fn rounded(bytes: c_int) -> c_int {
    bytes.saturating_add(7) & !7
}

unsafe extern "C" fn begin(_: *mut c_void) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn end(_: *mut c_void) {}

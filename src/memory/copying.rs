//! Copying and comparing memory on musl, whose own copies most sizes by `rep movsq`, which takes a processor longer to begin
//! than copying a few dozen bytes takes, and compares byte by byte: that was a sixth of a hook's time of its own.
//!
//! In assembler: a compiler makes calls of `memcpy` from Rust that copies, which these are. No more than every x86-64
//! processor has (SSE2), so that none needs to be asked what it can do. They lie in few cache lines, for programs that run
//! once; what copies much at a time would want wider registers.

#![allow(unsafe_code)] // they take the places of functions in C

use std::arch::naked_asm;
use std::ffi::{c_int, c_void};

/// Copies `n` bytes; the two places may overlap.
///
/// # Safety
/// As the C standard has it: `from` can be read and `to` be written, `n` bytes each.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memmove(to: *mut c_void, from: *const c_void, n: usize) -> *mut c_void {
    // Up to 64 bytes, all is read before anything is written; of more, so are the last (or first) 32, which the steps of 32
    // need not meet exactly.
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 16",
        "jb 5f",
        "cmp rdx, 32",
        "ja 2f",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + rdx - 16]",
        "movups [rdi], xmm0",
        "movups [rdi + rdx - 16], xmm1",
        "ret",
        "2:",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + rdx - 32]",
        "movups xmm3, [rsi + rdx - 16]",
        "cmp rdx, 64",
        "ja 3f",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + rdx - 32], xmm2",
        "movups [rdi + rdx - 16], xmm3",
        "ret",
        // Where the target begins within the source, from its end.
        "3:",
        "mov rcx, rdi",
        "sub rcx, rsi",
        "cmp rcx, rdx",
        "jb 4f",
        "lea r8, [rdi + rdx - 32]",
        "30:",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "add rsi, 32",
        "add rdi, 32",
        "cmp rdi, r8",
        "jb 30b",
        "movups [r8], xmm2",
        "movups [r8 + 16], xmm3",
        "ret",
        "4:",
        "movups xmm2, [rsi + rdx - 32]",
        "movups xmm3, [rsi + rdx - 16]",
        "movups [rdi + rdx - 32], xmm2",
        "movups [rdi + rdx - 16], xmm3",
        "sub rdx, 32",
        "cmp rdx, 32",
        "ja 4b",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "ret",
        "5:",
        "cmp edx, 8",
        "jb 6f",
        "mov rcx, [rsi]",
        "mov r8, [rsi + rdx - 8]",
        "mov [rdi], rcx",
        "mov [rdi + rdx - 8], r8",
        "ret",
        "6:",
        "cmp edx, 4",
        "jb 7f",
        "mov ecx, [rsi]",
        "mov r8d, [rsi + rdx - 4]",
        "mov [rdi], ecx",
        "mov [rdi + rdx - 4], r8d",
        "ret",
        "7:",
        "cmp edx, 1",
        "jb 9f",
        "movzx ecx, byte ptr [rsi]",
        "je 8f",
        "movzx r8d, word ptr [rsi + rdx - 2]",
        "mov [rdi + rdx - 2], r8w",
        "8:",
        "mov [rdi], cl",
        "9:",
        "ret",
    )
}

/// Copies `n` bytes between two places that do not overlap.
///
/// # Safety
/// As the C standard has it: `from` can be read and `to` be written, `n` bytes each.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memcpy(to: *mut c_void, from: *const c_void, n: usize) -> *mut c_void {
    naked_asm!("jmp {}", sym memmove)
}

/// Compares `n` bytes: below zero where the first that differs is smaller at `a`, zero where none does, else above.
///
/// # Safety
/// As the C standard has it: both can be read, `n` bytes each.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memcmp(a: *const c_void, b: *const c_void, n: usize) -> c_int {
    // By 16; the last 16 may have been seen in part.
    naked_asm!(
        "cmp rdx, 16",
        "jb 5f",
        "xor ecx, ecx",
        "sub rdx, 16",
        "2:",
        "cmp rcx, rdx",
        "cmova rcx, rdx",
        "movups xmm0, [rdi + rcx]",
        "movups xmm1, [rsi + rcx]",
        "pcmpeqb xmm0, xmm1",
        "pmovmskb eax, xmm0",
        "xor eax, 0xffff",
        "jnz 3f",
        "lea r8, [rcx + 16]",
        "cmp rcx, rdx",
        "mov rcx, r8",
        "jb 2b",
        "ret",
        "3:",
        "bsf eax, eax",
        "add rcx, rax",
        "movzx eax, byte ptr [rdi + rcx]",
        "movzx edx, byte ptr [rsi + rcx]",
        "sub eax, edx",
        "ret",
        "5:",
        "cmp edx, 8",
        "jb 6f",
        "mov rax, [rdi]",
        "mov rcx, [rsi]",
        "cmp rax, rcx",
        "jne 8f",
        "mov rax, [rdi + rdx - 8]",
        "mov rcx, [rsi + rdx - 8]",
        "jmp 7f",
        "6:",
        "cmp edx, 4",
        "jb 9f",
        "mov eax, [rdi]",
        "mov ecx, [rsi]",
        "cmp eax, ecx",
        "jne 8f",
        "mov eax, [rdi + rdx - 4]",
        "mov ecx, [rsi + rdx - 4]",
        "7:",
        "cmp rax, rcx",
        "jne 8f",
        "xor eax, eax",
        "ret",
        // The first byte counts most.
        "8:",
        "bswap rax",
        "bswap rcx",
        "cmp rax, rcx",
        "sbb eax, eax",
        "or eax, 1",
        "ret",
        "9:",
        "xor eax, eax",
        "xor ecx, ecx",
        "90:",
        "cmp ecx, edx",
        "je 91f",
        "movzx eax, byte ptr [rdi + rcx]",
        "movzx r8d, byte ptr [rsi + rcx]",
        "inc ecx",
        "sub eax, r8d",
        "je 90b",
        "91:",
        "ret",
    )
}

/// Whether `n` bytes differ (not zero).
///
/// # Safety
/// As [`memcmp`].
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn bcmp(a: *const c_void, b: *const c_void, n: usize) -> c_int {
    naked_asm!("jmp {}", sym memcmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths up to which everything is tried: past the steps of 32 and of 16, with every remainder.
    const LONGEST: usize = 200;

    fn bytes(n: usize) -> Vec<u8> {
        (0..n).map(|at| (at * 31 % 251) as u8).collect()
    }

    #[test]
    fn every_length_is_copied_to_every_place_around_its_own() {
        for n in 0..=LONGEST {
            for from in [0, 1, 7, 80] {
                for to in 0..160 {
                    let mut room = bytes(LONGEST + 160);
                    let mut expected = room.clone();
                    expected.copy_within(from..from + n, to);
                    let start = room.as_mut_ptr();
                    // SAFETY: both ranges lie within `room`.
                    let answer = unsafe { memmove(start.add(to).cast(), start.add(from).cast(), n) };
                    assert_eq!(answer, start.wrapping_add(to).cast(), "{n} bytes from {from} to {to}");
                    assert!(room == expected, "{n} bytes from {from} to {to}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_overlap_is_copied_and_nothing_besides() {
        for n in 0..=LONGEST {
            let (from, mut to) = (bytes(n), vec![0xee; n + 2]);
            // SAFETY: `to` has room for `n` bytes after its first.
            unsafe { memcpy(to.as_mut_ptr().add(1).cast(), from.as_ptr().cast(), n) };
            assert!(to[1..=n] == from && to[0] == 0xee && to[n + 1] == 0xee, "{n} bytes");
        }
    }

    #[test]
    fn the_first_byte_that_differs_decides() {
        let compared = |a: &[u8], b: &[u8]| {
            // SAFETY: as many bytes as both have.
            let (order, differ) = unsafe {
                let n = a.len().min(b.len());
                (
                    memcmp(a.as_ptr().cast(), b.as_ptr().cast(), n),
                    bcmp(a.as_ptr().cast(), b.as_ptr().cast(), n),
                )
            };
            assert_eq!(order == 0, differ == 0);
            order.cmp(&0)
        };
        for n in 0..=LONGEST {
            let a = bytes(n);
            assert!(compared(&a, &a.clone()).is_eq(), "{n} bytes");
            for at in 0..n {
                // What comes after it says the opposite.
                let (mut less, mut more) = (a.clone(), a.clone());
                (less[at], more[at]) = (0x7f, 0x80);
                less[at + 1..].fill(0xff);
                more[at + 1..].fill(0);
                assert!(compared(&less, &more).is_lt(), "{n} bytes, the one at {at}");
                assert!(compared(&more, &less).is_gt(), "{n} bytes, the one at {at}");
            }
        }
    }
}

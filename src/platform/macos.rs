//! macOS. `tests/cross` links it; no test runs it.
#![allow(unsafe_code)]

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::System;
use super::process::Process;

/// This system.
pub const SYSTEM: System = System::MacOs;

/// No terminal: `NODEV` in the system headers.
const NO_DEVICE: u32 = u32::MAX;

/// `started` is microseconds since 1970; 0 for another user's process, for which the system returns less.
pub fn process(pid: u32) -> Option<Process> {
    let (parent, name, started) = match info(pid) {
        Some(info) => {
            let name = if info.pbi_name[0] == 0 { text(&info.pbi_comm) } else { text(&info.pbi_name) };
            (info.pbi_ppid, name, info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec)
        }
        None => {
            let info: libc::proc_bsdshortinfo = ask(pid, libc::PROC_PIDT_SHORTBSDINFO)?;
            (info.pbsi_ppid, text(&info.pbsi_comm), 0)
        }
    };
    Some(Process { pid, started, name, parent: Some(parent).filter(|parent| *parent > 0) })
}

fn info(pid: u32) -> Option<libc::proc_bsdinfo> {
    ask(pid, libc::PROC_PIDTBSDINFO)
}

/// Asks the system about a process; `flavor` must be the one for `T`.
fn ask<T>(pid: u32, flavor: c_int) -> Option<T> {
    let (pid, size) = (c_int::try_from(pid).ok()?, c_int::try_from(size_of::<T>()).ok()?);
    // SAFETY: both structures contain only numbers, for which all zeros is valid; the system writes at most `size`
    // bytes.
    unsafe {
        let mut info: T = std::mem::zeroed();
        let got = libc::proc_pidinfo(pid, flavor, 0, (&raw mut info).cast(), size);
        (got == size).then_some(info)
    }
}

/// The text of a field, up to its first zero byte.
fn text(letters: &[c_char]) -> String {
    let bytes: Vec<u8> =
        letters.iter().take_while(|letter| **letter != 0).map(|letter| *letter as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// If the program was replaced while running, returns the path it was started with.
pub fn program(pid: u32) -> Option<PathBuf> {
    let mut path = [0_u8; libc::PROC_PIDPATHINFO_MAXSIZE as usize];
    let id = c_int::try_from(pid).ok()?;
    // SAFETY: the system writes at most that many bytes.
    let length = unsafe { libc::proc_pidpath(id, path.as_mut_ptr().cast(), path.len() as u32) };
    match usize::try_from(length).ok().filter(|length| *length > 0) {
        Some(length) => Some(PathBuf::from(OsStr::from_bytes(path.get(..length)?))),
        None => started_with(pid).map(|found| found.program),
    }
}

/// How a process was started.
struct StartedWith {
    program: PathBuf,
    arguments: Vec<Vec<u8>>,
    variables: Vec<Vec<u8>>,
}

pub fn arguments(pid: u32) -> Vec<Vec<u8>> {
    started_with(pid).map(|found| found.arguments).unwrap_or_default()
}

pub fn variables(pid: u32) -> Vec<Vec<u8>> {
    started_with(pid).map(|found| found.variables).unwrap_or_default()
}

/// Format of `KERN_PROCARGS2`: the number of arguments, the program's path, zeros, then the words, each
/// zero-terminated. (An empty first argument cannot be told from the zeros before it.) Only for processes of the same
/// user.
fn started_with(pid: u32) -> Option<StartedWith> {
    let mut name = [libc::CTL_KERN, libc::KERN_PROCARGS2, c_int::try_from(pid).ok()?];
    let mut size = 0;
    let mut ask = |to: *mut c_void, size: &mut usize| {
        // SAFETY: the name has three numbers; the system writes at most `size` bytes, and nothing if `to` is null.
        let done = unsafe { libc::sysctl(name.as_mut_ptr(), 3, to, size, std::ptr::null_mut(), 0) };
        (done == 0).then_some(())
    };
    ask(std::ptr::null_mut(), &mut size)?;
    let mut bytes = vec![0_u8; size];
    ask(bytes.as_mut_ptr().cast(), &mut size)?;
    bytes.truncate(size);
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_ne_bytes(*count)).ok()?;
    let path_end = rest.iter().position(|byte| *byte == 0)?;
    let words_start = path_end + rest[path_end..].iter().position(|byte| *byte != 0)?;
    let mut words = rest[words_start..].split(|byte| *byte == 0).map(<[u8]>::to_vec);
    let program = PathBuf::from(OsStr::from_bytes(&rest[..path_end]));
    let arguments = words.by_ref().take(count).collect();
    Some(StartedWith { program, arguments, variables: words.take_while(|word| !word.is_empty()).collect() })
}

pub fn has_terminal(pid: u32) -> bool {
    info(pid).is_some_and(|info| info.e_tdev != NO_DEVICE && info.e_tdev != 0)
}

pub fn age_ms(started: u64) -> Option<i64> {
    let age = super::clock().0 - i64::try_from(Duration::from_micros(started).as_millis()).ok()?;
    Some(age.max(0))
}

/// Identifies this machine: the id assigned by the system, or, if there is none, the name, which changes with the
/// network.
pub fn machine() -> [String; 2] {
    let mut id = [0_u8; 16];
    let wait = libc::timespec { tv_sec: 1, tv_nsec: 0 };
    let mut name = [0_u8; 256];
    // SAFETY: an id has 16 bytes; the name gets at most one byte less than the buffer, so a zero follows.
    unsafe {
        if libc::gethostuuid(id.as_mut_ptr(), &raw const wait) == 0 {
            return [hex::encode(id), String::new()];
        }
        libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1);
    }
    let name = CStr::from_bytes_until_nul(&name).unwrap_or_default();
    [String::new(), name.to_string_lossy().into_owned()]
}

/// Name and home of a user from the directory service.
pub fn user(uid: u32) -> Option<(String, PathBuf)> {
    let mut room = vec![0_u8; 16 * 1024];
    // SAFETY: the entry may be all zeros; its strings point into `room`, which outlives them.
    unsafe {
        let mut entry: libc::passwd = std::mem::zeroed();
        let mut found = std::ptr::null_mut();
        libc::getpwuid_r(uid, &raw mut entry, room.as_mut_ptr().cast(), room.len(), &raw mut found);
        if found.is_null() {
            return None;
        }
        let (name, home) = (CStr::from_ptr(entry.pw_name), CStr::from_ptr(entry.pw_dir));
        Some((name.to_string_lossy().into_owned(), OsStr::from_bytes(home.to_bytes()).into()))
    }
}

/// Whether a path is canonical, including upper and lower case: file systems here ignore case.
pub fn has_no_symlinks(path: &Path) -> bool {
    path.canonicalize().is_ok_and(|real| real.as_os_str() == path.as_os_str())
}

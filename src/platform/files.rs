//! Opening and replacing files where somebody else may have put something in the way.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::system;

/// Options that do not follow a symbolic link at the path's end, and make a file that only its owner can read.
pub fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

/// Options that read, and do not wait for the writer of a pipe.
pub fn nonblocking() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    options
}

/// Whether a path is known to contain no symbolic link, neither itself nor a folder in it.
pub fn has_no_symlinks(path: &Path) -> bool {
    system::has_no_symlinks(path)
}

/// Puts `new` in the place of `old`, atomically; `old` may stand in the place of `new` then.
///
/// A plain rename over a file makes ext4 write the new one to disk there and then, which takes as long as starting a
/// process: a cache need not survive a power failure. Two files that change places are not held up.
///
/// # Errors
/// Neither could be done; both files are as they were.
pub fn replace(new: &Path, old: &Path) -> std::io::Result<()> {
    // Where there is no old one yet, or the file system cannot do it, a plain rename does.
    renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE).or_else(|_| std::fs::rename(new, old))
}

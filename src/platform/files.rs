//! Opens and replaces files safely where somebody else may have put something in their place.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, SeekFrom, renameat_with};
use rustix::io::Errno;

use super::system;

/// Options that do not follow a symbolic link at the end of the path, and create files only the owner can read.
pub fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

/// Options for reading that do not wait for the writer of a pipe.
pub fn nonblocking() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    options
}

/// Where the first data at or after `offset` is, which may be before the end of a hole; `None` if there is none.
pub fn next_data(file: &File, offset: u64) -> Option<u64> {
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(data) => Some(data),
        Err(Errno::NXIO) => None,
        // Not known for this file.
        Err(_) => Some(offset),
    }
}

/// Whether a path is known to contain no symbolic link, including its folders.
pub fn has_no_symlinks(path: &Path) -> bool {
    system::has_no_symlinks(path)
}

/// Replaces `old` by `new` atomically; afterwards `old` may be in the place of `new`.
///
/// A plain rename over a file makes ext4 flush the new one to disk, which takes as long as starting a process.
/// Exchanging the two files does not, and a cache need not survive a power failure.
///
/// # Errors
/// Neither worked; both files are unchanged.
pub fn replace(new: &Path, old: &Path) -> std::io::Result<()> {
    // Fall back to a rename if `old` does not exist, or the file system cannot exchange files.
    renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE).or_else(|_| std::fs::rename(new, old))
}

/// Writes a file atomically, so that only its owner can read it. If the process dies meanwhile, a file with the same stem
/// and the extension `new` may stay. The content need not survive a power failure, see [`replace`].
///
/// # Errors
/// It was not written; the old one is unchanged.
pub fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new().prefix(&format!("{stem}.")).suffix(".new").tempfile_in(dir)?;
    file.write_all(content)?;
    // Deletes what is in its place afterwards: the old file.
    let new = file.into_temp_path();
    replace(&new, path)
}

//! Reads folders with many files. What is in a folder is looked up by its name there: by whole paths it takes twice as long.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

/// A folder that was read.
pub struct Folder {
    dir: Dir,
    /// What is in it: names, and whether each is a folder itself; `None`: a link, or not known.
    pub entries: Vec<(OsString, Option<bool>)>,
    /// Why it was not read to its end.
    pub failure: Option<io::Error>,
}

/// How a regular file looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileLook {
    /// Its length.
    pub size: u64,
    /// When its inode changed, in nanoseconds: cannot be set back by a program.
    pub changed_ns: i64,
    /// Its inode.
    pub inode: u64,
}

impl Folder {
    /// Reads a folder.
    ///
    /// # Errors
    /// It does not exist, or cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut dir = Dir::new(rustix::fs::open(path, flags, Mode::empty())?)?;
        let (mut entries, mut failure) = (Vec::new(), None);
        while let Some(entry) = dir.read() {
            match entry {
                Ok(entry) => {
                    let name = OsStr::from_bytes(entry.file_name().to_bytes());
                    let is_dir = match entry.file_type() {
                        FileType::Symlink | FileType::Unknown => None,
                        kind => Some(kind == FileType::Directory),
                    };
                    if name != "." && name != ".." {
                        entries.push((name.to_owned(), is_dir));
                    }
                }
                Err(error) => {
                    failure = Some(error.into());
                    break;
                }
            }
        }
        Ok(Self { dir, entries, failure })
    }

    /// How a file in the folder looks, or what it links to. `None`: it is not a regular file.
    ///
    /// # Errors
    /// It does not exist, or the system does not say.
    pub fn look(&self, name: &OsStr) -> io::Result<Option<FileLook>> {
        let stat = rustix::fs::statat(self.dir.fd()?, name, AtFlags::empty())?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        // The types of these fields differ between systems.
        let [seconds, nanos] = [i128::from(stat.st_ctime), i128::from(stat.st_ctime_nsec)];
        let changed_ns = i64::try_from(seconds * 1_000_000_000 + nanos).unwrap_or(i64::MAX);
        Ok(Some(FileLook { size: u64::try_from(stat.st_size).unwrap_or(0), changed_ns, inode: stat.st_ino }))
    }
}

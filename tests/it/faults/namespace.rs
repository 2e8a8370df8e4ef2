//! Small file systems in a separate mount namespace, for disks that fill up and folders that turn read-only, even for
//! root.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Set in the process that is already in the namespace.
const MARKER: &str = "FUSEBOX_TEST_IN_MOUNT_NS";

/// Runs `body` where it can mount file systems that nobody else sees, by restarting the test of this path there.
pub fn with_mounts(path: &str, body: impl FnOnce()) {
    if std::env::var_os(MARKER).is_some() {
        return body();
    }
    let root = std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    let flags: &[&str] = if root { &["-m"] } else { &["-r", "-m"] };
    let tried = Command::new("unshare").args(flags).args(["mount", "-t", "tmpfs", "none", "/mnt"]).output();
    assert!(
        tried.is_ok_and(|output| output.status.success()),
        "no mount namespace can be made here: that needs unshare, mount, and root or user namespaces. To leave these tests \
         out: -- --skip faults::"
    );
    let status = Command::new("unshare")
        .args(flags)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", path, "--nocapture", "--test-threads=1"])
        .env(MARKER, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = [&status.stdout[..], &status.stderr[..]].map(String::from_utf8_lossy).concat();
    assert!(status.status.success(), "{path} failed in its namespace:\n{told}");
    // A wrong path would run no test at all and still succeed.
    assert!(told.contains("1 passed"), "no test is called {path}:\n{told}");
    let _ = std::io::stderr().write_all(&status.stderr);
}

/// Runs a command with this host name. Requires permission to create namespaces.
pub fn set_host_name(command: &mut Command, machine: &str) {
    let name = machine.as_bytes().to_vec();
    // SAFETY: two system calls between fork and exec, on bytes that were prepared before.
    unsafe {
        command.pre_exec(move || {
            let done = libc::unshare(libc::CLONE_NEWUTS) == 0
                && libc::sethostname(name.as_ptr().cast(), name.len()) == 0;
            if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
}

/// A small file system in memory, until dropped.
pub struct Disk {
    at: PathBuf,
}

/// Its size, in bytes.
const BYTES: usize = 24 * 1024 * 1024;

impl Disk {
    /// Mounts one at a folder, which is created.
    pub fn mount(at: &Path) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let disk = Self { at: at.to_owned() };
        disk.call(0, Some(&format!("size={BYTES},mode=0700"))).unwrap();
        disk
    }

    fn c_path(&self) -> CString {
        CString::new(self.at.as_os_str().as_bytes()).unwrap()
    }

    fn call(&self, flags: libc::c_ulong, options: Option<&str>) -> std::io::Result<()> {
        let (at, options) = (self.c_path(), CString::new(options.unwrap_or_default()).unwrap());
        // SAFETY: four C strings that outlive the call.
        let done = unsafe {
            libc::mount(c"none".as_ptr(), at.as_ptr(), c"tmpfs".as_ptr(), flags, options.as_ptr().cast())
        };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }

    /// Makes it read-only, or writable again.
    pub fn read_only(&self, on: bool) {
        let flags = libc::MS_REMOUNT | if on { libc::MS_RDONLY } else { 0 };
        self.call(flags, Some(&format!("size={BYTES},mode=0700"))).unwrap();
    }

    /// Fills it except for `but` bytes.
    pub fn fill(&self, but: usize) {
        let mut file = std::fs::File::create(self.ballast()).unwrap();
        let block = [b'x'; 64 * 1024];
        let mut filled = 0;
        let mut size = block.len();
        while size > 0 {
            match file.write(&block[..size]) {
                Ok(written) if written > 0 => filled += written,
                Ok(_) => break,
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::StorageFull), "{error}");
                    size /= 2;
                }
            }
        }
        file.set_len(filled.saturating_sub(but) as u64).unwrap();
    }

    /// Removes the fill.
    pub fn free(&self) {
        let _ = std::fs::remove_file(self.ballast());
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let at = self.c_path();
        // SAFETY: a C string that outlives the call.
        unsafe {
            libc::umount2(at.as_ptr(), libc::MNT_DETACH);
        }
    }
}

//! Files that other tools read: ArviZ's JSON, CmdStan's CSV and, with feature `npz`, NumPy's archive.
//!
//! Every file is written beside its place and renamed into it, so that a reader sees the old file or the whole new one.

mod csv;
mod json;
#[cfg(feature = "npz")]
mod npz;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Creates or replaces a file with what `write` writes, or leaves everything as it was.
pub(crate) fn write_atomically(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<()> {
    let fail = |source| Error::Io { path: path.to_owned(), source };
    let temporary = temporary_path(path).map_err(fail)?;
    let result = File::create(&temporary).and_then(|file| {
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.flush()?;
        out.get_ref().sync_all()?;
        fs::rename(&temporary, path)
    });
    result.map_err(|source| {
        // The first error is the one that tells; a file that was never created cannot be removed.
        let _ = fs::remove_file(&temporary);
        fail(source)
    })
}

/// A name in the same directory that no other process uses.
fn temporary_path(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(temporary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let directory = std::env::temp_dir().join(format!("posterity-atomic-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("a.txt");
        write_atomically(&path, |out| out.write_all(b"old")).unwrap();
        let failed = write_atomically(&path, |out| {
            out.write_all(b"new")?;
            Err(io::Error::other("no more"))
        });
        assert!(matches!(failed, Err(Error::Io { path: at, .. }) if at == path));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        assert!(matches!(write_atomically(&directory.join("no/where"), |_| Ok(())), Err(Error::Io { .. })));
        assert!(matches!(write_atomically(Path::new("/"), |_| Ok(())), Err(Error::Io { .. })));
        fs::remove_dir_all(&directory).unwrap();
    }
}

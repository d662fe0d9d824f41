//! Chains saved to files, so that a run survives its process.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::draws::write_atomically;
use crate::error::{Error, FormatProblem};

/// Marks the files; the last byte is the version of their layout.
const MAGIC: [u8; 8] = *b"PSTRCKP1";

/// The file of a chain.
pub(super) fn path(directory: &Path, chain: usize) -> PathBuf {
    directory.join(format!("chain-{chain}.ckpt"))
}

/// Writes a chain, replacing an older state of it whole.
pub(super) fn save<C: Serialize>(path: &Path, fingerprint: u64, chain: &C) -> Result<(), Error> {
    let fail = |source| Error::Io { path: path.to_owned(), source };
    let content = postcard::to_stdvec(chain).map_err(|e| fail(std::io::Error::other(e)))?;
    write_atomically(path, |out| {
        use std::io::Write as _;
        out.write_all(&MAGIC)?;
        out.write_all(&fingerprint.to_le_bytes())?;
        out.write_all(&hash(&content).to_le_bytes())?;
        out.write_all(&content)
    })
}

/// Reads a chain; `None` if there is no file.
pub(super) fn load<C: DeserializeOwned>(path: &Path, fingerprint: u64) -> Result<Option<C>, Error> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Io { path: path.to_owned(), source }),
    };
    let fail = |problem| Error::Format { path: path.to_owned(), problem };
    let word = |at: usize| {
        let bytes: [u8; 8] = bytes.get(at..at + 8)?.try_into().ok()?;
        Some(bytes)
    };
    let (Some(magic), Some(run), Some(expected)) = (word(0), word(8), word(16)) else {
        return Err(fail(FormatProblem::Undecodable));
    };
    if magic[..7] != MAGIC[..7] {
        return Err(fail(FormatProblem::Undecodable));
    }
    if magic != MAGIC {
        return Err(fail(FormatProblem::OtherVersion));
    }
    if u64::from_le_bytes(run) != fingerprint {
        return Err(fail(FormatProblem::OtherRun));
    }
    let content = bytes.get(24..).unwrap_or_default();
    if u64::from_le_bytes(expected) != hash(content) {
        return Err(fail(FormatProblem::Undecodable));
    }
    postcard::from_bytes(content).map(Some).map_err(|_| fail(FormatProblem::Undecodable))
}

/// FNV-1a, 64 bits: stable across versions and machines.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_read_and_anything_else_is_refused() {
        let directory = std::env::temp_dir().join(format!("posterity-checkpoint-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = path(&directory, 3);
        assert!(load::<Vec<f64>>(&file, 1).unwrap().is_none());
        save(&file, 1, &vec![1.5, f64::NEG_INFINITY]).unwrap();
        assert_eq!(load::<Vec<f64>>(&file, 1).unwrap(), Some(vec![1.5, f64::NEG_INFINITY]));
        let problem = |result: Result<Option<Vec<f64>>, Error>| match result {
            Err(Error::Format { problem, .. }) => problem,
            other => panic!("{other:?}"),
        };
        assert_eq!(problem(load(&file, 2)), FormatProblem::OtherRun);
        let mut bytes = fs::read(&file).unwrap();
        bytes[30] ^= 1;
        fs::write(&file, &bytes).unwrap();
        assert_eq!(problem(load(&file, 1)), FormatProblem::Undecodable);
        fs::write(&file, &bytes[..20]).unwrap();
        assert_eq!(problem(load(&file, 1)), FormatProblem::Undecodable);
        bytes[7] = b'0';
        fs::write(&file, &bytes).unwrap();
        assert_eq!(problem(load(&file, 1)), FormatProblem::OtherVersion);
        fs::write(&file, b"something else").unwrap();
        assert_eq!(problem(load(&file, 1)), FormatProblem::Undecodable);
        fs::remove_dir_all(&directory).unwrap();
    }
}

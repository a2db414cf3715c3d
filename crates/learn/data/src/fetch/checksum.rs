//! Checksums as the manifests write them: `md5:` or `sha256:` and hexadecimal digits.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use md5::{Digest as _, Md5};
use sha2::{Digest as _, Sha256};

use crate::error::DataError;

/// A checksum that a file must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checksum {
    /// `md5` or `sha256`.
    pub kind: &'static str,
    /// Lower-case hexadecimal.
    pub hex: String,
}

impl Checksum {
    /// Reads the notation of the manifests.
    ///
    /// # Errors
    /// [`DataError::Config`] for anything else.
    pub(crate) fn parse(text: &str) -> Result<Self, DataError> {
        let kinds = [("md5", 32), ("sha256", 64)];
        let parsed = text.split_once(':').and_then(|(kind, hex)| {
            let (kind, digits) = kinds.into_iter().find(|(known, _)| *known == kind)?;
            let sound = hex.len() == digits && hex.bytes().all(|b| b.is_ascii_hexdigit());
            let hex = hex.to_ascii_lowercase();
            sound.then_some(Self { kind, hex })
        });
        parsed.ok_or_else(|| DataError::Config {
            key: "checksum",
            value: format!("`{text}`"),
            rule: "it must be `md5:` and 32 or `sha256:` and 64 hexadecimal digits".into(),
        })
    }

    /// The checksum of this kind that a file has. `progress` receives the number of bytes read so far.
    pub(crate) fn of_file(
        &self,
        path: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<String, DataError> {
        let failed = |e| DataError::io("read", path, e);
        let mut file = File::open(path).map_err(failed)?;
        let mut hasher = match self.kind {
            "md5" => Hasher::Md5(Md5::new()),
            _ => Hasher::Sha256(Sha256::new()),
        };
        let mut block = vec![0; 1 << 20];
        let mut read = 0;
        loop {
            match file.read(&mut block).map_err(failed)? {
                0 => return Ok(hasher.hex()),
                n => {
                    hasher.update(&block[..n]);
                    read += n as u64;
                    progress(read);
                }
            }
        }
    }
}

enum Hasher {
    Md5(Md5),
    Sha256(Sha256),
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(hash) => hash.update(bytes),
            Self::Sha256(hash) => hash.update(bytes),
        }
    }

    fn hex(self) -> String {
        let digits = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
        match self {
            Self::Md5(hash) => digits(&hash.finalize()),
            Self::Sha256(hash) => digits(&hash.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of `abc`: RFC 1321, A.5, and FIPS 180-2, B.1.
    #[test]
    fn agree_with_the_standards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        for sum in [
            "md5:900150983cd24fb0d6963f7d28e17f72",
            "sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
        ] {
            let sum = Checksum::parse(sum).unwrap();
            let mut seen = 0;
            assert_eq!(sum.of_file(&path, &mut |n| seen = n).unwrap(), sum.hex);
            assert_eq!(seen, 3);
        }
    }

    #[test]
    fn other_notations_are_refused() {
        for text in [
            "",
            "md5",
            "md5:12",
            "sha1:00",
            "900150983cd24fb0d6963f7d28e17f72",
        ] {
            let error = Checksum::parse(text).unwrap_err().to_string();
            assert!(error.contains("`checksum`"), "{error}");
        }
    }
}

//! API keys.

use std::path::Path;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};

use crate::ServeError;

/// Characters that a key has at least.
const LENGTH: usize = 16;

/// The API keys that are known, kept as digests.
///
/// A request shows one as `Authorization: Bearer KEY` or `X-Api-Key: KEY`. Digests are compared, so the
/// time that takes does not depend on the keys.
#[derive(Clone, Debug)]
pub struct Keys(Arc<[[u8; 32]]>);

impl Keys {
    /// Reads a file with one key a line; empty lines and those that begin with `#` are left out.
    ///
    /// # Errors
    /// [`ServeError::Read`], [`ServeError::NoKeys`], [`ServeError::ShortKey`].
    pub fn read(path: &Path) -> Result<Self, ServeError> {
        let text = std::fs::read_to_string(path).map_err(|source| ServeError::Read {
            path: path.to_owned(),
            source,
        })?;
        let lines = text.lines().map(str::trim).enumerate();
        let mut digests = Vec::new();
        for (line, key) in lines.filter(|(_, key)| !key.is_empty() && !key.starts_with('#')) {
            if key.chars().count() < LENGTH {
                return Err(ServeError::ShortKey {
                    path: path.to_owned(),
                    line: line + 1,
                    length: key.chars().count(),
                });
            }
            digests.push(digest(key.as_bytes()));
        }
        if digests.is_empty() {
            Err(ServeError::NoKeys {
                path: path.to_owned(),
            })
        } else {
            Ok(Self(digests.into()))
        }
    }

    /// Whether a request shows a known key.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> bool {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
            let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then_some(key.trim().as_bytes())
        });
        let plain = headers.get("x-api-key").map(|value| value.as_bytes());
        bearer
            .or(plain)
            .is_some_and(|key| self.0.contains(&digest(key)))
    }
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn keys_are_known_in_both_headers() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# people\n\n0123456789abcdef\n").unwrap();
        let keys = Keys::read(file.path()).unwrap();
        let shows = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            keys.admit(&headers)
        };
        assert!(shows("authorization", "Bearer 0123456789abcdef"));
        assert!(shows("authorization", "bearer  0123456789abcdef"));
        assert!(shows("x-api-key", "0123456789abcdef"));
        assert!(!shows("x-api-key", "0123456789abcdeg"));
        assert!(!shows("authorization", "Basic 0123456789abcdef"));
        assert!(!shows("authorization", "0123456789abcdef"));
        assert!(!shows("x-api-key", "# people"));
    }

    #[test]
    fn files_without_good_keys_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let message = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            Keys::read(file.path()).unwrap_err().to_string()
        };
        assert!(message("# none\n").contains("no keys"));
        assert!(message("0123456789abcdef\nshort\n").contains("line 2: the key has 5"));
        assert!(Keys::read(Path::new("/nowhere/keys")).is_err());
    }
}

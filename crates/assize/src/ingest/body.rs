//! The body as a whole: gzip with a limit, and what can be wrong with all of it.

use std::io::Read;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

/// The default limit of a decompressed body: 32 MiB.
pub const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Why a body was refused as a whole. Never holds any of its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BodyError {
    /// One of `body_too_large` (answer 413), `bad_gzip`, `empty_body`, `invalid_utf8`, `invalid_json`, `invalid_protobuf`,
    /// `too_many_items` (answer 400).
    pub code: &'static str,
    /// What is wrong, where, and what to do.
    pub message: String,
}

impl BodyError {
    /// An error of `code`.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Decompresses gzip, several members too, as far as `limit` bytes: no more than that is ever held, whatever the input claims.
///
/// Errors: `body_too_large` when there is more, `bad_gzip` when it is not gzip or is cut short.
pub fn inflate(bytes: &[u8], limit: usize) -> Result<Bytes, BodyError> {
    let mut inflated = Vec::with_capacity(bytes.len().saturating_mul(3).min(limit));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(bytes).take(most).read_to_end(&mut inflated).map_err(|error| {
        BodyError::new("bad_gzip", format!("the body is not valid gzip ({error}): send it whole, or without content-encoding"))
    })?;
    if inflated.len() > limit {
        return Err(BodyError::new(
            "body_too_large",
            format!("the body is larger than {limit} bytes when decompressed: send smaller batches"),
        ));
    }
    Ok(inflated.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit_and_the_limit_itself_is_allowed() {
        let bomb = gzip(&vec![0; 20_000_000]);
        assert!(bomb.len() < 50_000);
        assert_eq!(inflate(&bomb, 1_000_000).unwrap_err().code, "body_too_large");
        let exact = gzip(&vec![7; 1_000]);
        assert_eq!(inflate(&exact, 1_000).unwrap().len(), 1_000);
        assert_eq!(inflate(&exact, 999).unwrap_err().code, "body_too_large");
    }

    #[test]
    fn what_is_not_gzip_or_is_cut_is_named() {
        let whole = gzip(b"some text that is long enough to be cut");
        for bad in [&b"plain"[..], &[][..], &whole[..whole.len() - 9]] {
            assert_eq!(inflate(bad, 1_000).unwrap_err().code, "bad_gzip");
        }
    }

    #[test]
    fn members_are_joined() {
        let two = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(&inflate(&two, 100).unwrap()[..], b"one two");
    }

    proptest! {
        #[test]
        fn any_bytes_round_trip_and_garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert_eq!(&inflate(&gzip(&bytes), 2_000).unwrap()[..], &bytes[..]);
            let _ = inflate(&bytes, 100);
        }
    }
}

//! Splits an OTLP protobuf body into its resources and items without decoding it whole.
//!
//! Traces and logs have the same skeleton: field 1 repeats groups; a group has its resource in field 1 and scopes in field 2; a scope
//! has its spans or log records in field 2. Everything else at these levels is passed over.

use crate::ingest::BodyError;

/// A part of the body, still encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'b> {
    /// The resource of the items that follow; empty where a group has none.
    Resource(&'b [u8]),
    /// One span or log record.
    Item(&'b [u8]),
}

/// Calls `visit` for every resource and item in `body`, a resource before its items.
///
/// Error: `invalid_protobuf` where the skeleton itself is malformed, with the byte at which it is.
pub(super) fn walk<'b>(body: &'b [u8], mut visit: impl FnMut(Piece<'b>)) -> Result<(), BodyError> {
    for group in messages(body, body, 1) {
        let group = group?;
        let mut resource: &[u8] = &[];
        for found in messages(body, group, 1) {
            resource = found?;
        }
        visit(Piece::Resource(resource));
        for scope in messages(body, group, 2) {
            for item in messages(body, scope?, 2) {
                visit(Piece::Item(item?));
            }
        }
    }
    Ok(())
}

/// The length-delimited fields number `wanted` of the message `bytes`, which lies in `body`.
fn messages<'b>(body: &'b [u8], bytes: &'b [u8], wanted: u64) -> impl Iterator<Item = Result<&'b [u8], BodyError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let at = (rest.as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
            match field(&mut rest) {
                Some((number, Some(content))) if number == wanted => return Some(Ok(content)),
                Some(_) => {}
                None => {
                    rest = &[];
                    let message = format!("the body is not a valid OTLP protobuf message: malformed field at byte {at}");
                    return Some(Err(BodyError::new("invalid_protobuf", message)));
                }
            }
        }
        None
    })
}

/// Takes one field off `rest`: its number and, if it is length-delimited, its content.
fn field<'b>(rest: &mut &'b [u8]) -> Option<(u64, Option<&'b [u8]>)> {
    let key = varint(rest)?;
    let number = key >> 3;
    if number == 0 {
        return None;
    }
    let fixed = |rest: &mut &'b [u8], length: usize| {
        let (content, after) = rest.split_at_checked(length)?;
        *rest = after;
        Some(content)
    };
    match key & 7 {
        0 => varint(rest).map(|_| (number, None)),
        1 => fixed(rest, 8).map(|_| (number, None)),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            fixed(rest, length).map(|content| (number, Some(content)))
        }
        5 => fixed(rest, 4).map(|_| (number, None)),
        _ => None,
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 127).checked_shl(shift).unwrap_or(0);
        if byte & 128 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    #[test]
    fn pieces_come_in_order() {
        let span = |name: &str| Span { name: name.into(), ..Span::default() };
        let scope = |spans| ScopeSpans { spans, ..ScopeSpans::default() };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![
                ResourceSpans {
                    resource: Some(Resource { dropped_attributes_count: 7, ..Resource::default() }),
                    scope_spans: vec![scope(vec![span("a"), span("b")]), scope(vec![span("c")])],
                    schema_url: "u".into(),
                },
                ResourceSpans { scope_spans: vec![scope(vec![span("d")])], ..ResourceSpans::default() },
            ],
        };
        let body = request.encode_to_vec();
        let mut seen = Vec::new();
        walk(&body, |piece| {
            seen.push(match piece {
                Piece::Resource(bytes) => format!("r{}", Resource::decode(bytes).unwrap().dropped_attributes_count),
                Piece::Item(bytes) => Span::decode(bytes).unwrap().name,
            });
        })
        .unwrap();
        assert_eq!(seen, ["r7", "a", "b", "c", "r0", "d"]);
    }

    #[test]
    fn a_malformed_skeleton_names_the_byte() {
        let error = walk(&[0x0a, 0x03, 0x12, 0x09, 0x00], |_| {}).unwrap_err();
        assert_eq!(error.code, "invalid_protobuf");
        assert!(error.message.ends_with("at byte 2"), "{error}");
        assert!(walk(b"hello, this is text", |_| {}).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = walk(&bytes, |_| {});
        }
    }
}

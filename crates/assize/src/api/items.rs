//! Bodies that are one object or an array of them: each is read apart, so that one that is wrong spoils no other.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::error::ApiError;
use crate::ingest::ItemError;

/// The most objects of one body.
pub const ITEMS_MAX: usize = 1_000;

/// The objects of a body, and whether it was an array.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<(Vec<Result<T, ItemError>>, bool), ApiError> {
    let invalid = |what: String| ApiError::bad_request("invalid_json", what);
    match body.trim_ascii_start().first() {
        Some(b'{') => Ok((vec![one(body)], false)),
        Some(b'[') => {
            let items: Vec<&RawValue> =
                serde_json::from_slice(body).map_err(|error| invalid(format!("the body is not valid JSON: {error}")))?;
            if items.len() > ITEMS_MAX {
                let message = format!("the body holds {} objects: send at most {ITEMS_MAX} at a time", items.len());
                return Err(ApiError::bad_request("too_many_items", message));
            }
            Ok((items.into_iter().map(|item| one(item.get().as_bytes())).collect(), true))
        }
        _ => Err(invalid("the body is neither a JSON object nor an array: it must begin with { or [".to_owned())),
    }
}

/// serde would take an array for an object whose fields come in order. Its messages name fields, and of values their type; texts that
/// stand where another type is wanted are quoted, so only the beginning is told.
fn one<T: DeserializeOwned>(item: &[u8]) -> Result<T, ItemError> {
    if !item.trim_ascii_start().starts_with(b"{") {
        return Err(ItemError::new("not_an_object", "the item is not a JSON object"));
    }
    serde_json::from_slice(item).map_err(|error| {
        let message: String = error.to_string().chars().take(300).collect();
        ItemError::new(if error.is_data() { "invalid_field" } else { "invalid_json" }, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        a: u32,
    }

    #[test]
    fn what_is_wrong_spoils_no_other() {
        let (items, many) = read::<Item>(br#" [{"a": 1}, {"a": -1}, 7, [1], {"b": 1}, {"a": 2}]"#).unwrap();
        let read: Vec<_> = items.into_iter().map(|item| item.map(|item| item.a).map_err(|error| error.code)).collect();
        let (bad, other) = (Err("invalid_field"), Err("not_an_object"));
        assert_eq!(read, [Ok(1), bad, other, other, bad, Ok(2)]);
        assert!(many && !super::read::<Item>(b"{\"a\":1}").unwrap().1);
        for broken in [&b"[{\"a\":1}"[..], b"", b"7", b"[{\"a\":1},]"] {
            assert_eq!(super::read::<Item>(broken).err().unwrap().code, "invalid_json");
        }
        let many = format!("[{}]", vec!["{\"a\":1}"; ITEMS_MAX + 1].join(","));
        assert_eq!(super::read::<Item>(many.as_bytes()).err().unwrap().code, "too_many_items");
    }
}

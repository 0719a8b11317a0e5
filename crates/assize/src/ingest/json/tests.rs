use assize_core::{Message, Role, Timestamp, TokenUsage};
use proptest::prelude::*;

use super::*;
use crate::ingest::tree::tests::any_json;

fn one(body: &str) -> Result<Draft, ItemError> {
    let mut items = decode(body.as_bytes(), None).unwrap().items;
    assert_eq!(items.len(), 1);
    items.remove(0)
}

#[test]
fn every_field_is_read() {
    let draft = one(
        r#"{"id":"i-1","project":"shop","time":"2026-11-24T09:30:00Z","conversation_id":"c","model":"m","prompt_version":"v2",
        "environment":"production","system":"be kind","input":[{"role":"system","content":"and short"},{"role":"user","content":"q"}],
        "output":{"role":"assistant","content":"a"},"context":["one",{"page_content":"two"},{"text":"three"},{"content":"four"}],
        "reference":"r","tags":{"team":"x","n":3,"ok":true,"none":null},
        "usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}},"unknown":{"is":"ignored"}}"#,
    )
    .unwrap();
    assert_eq!(draft.id.unwrap().as_str(), "i-1");
    assert_eq!(draft.project.unwrap().as_str(), "shop");
    assert_eq!(draft.time, Some(Timestamp::parse("2026-11-24T09:30:00Z").unwrap()));
    let labels = [draft.conversation_id, draft.model, draft.prompt_version, draft.environment, draft.reference];
    assert_eq!(labels.map(Option::unwrap), ["c", "m", "v2", "production", "r"]);
    assert_eq!(draft.system.as_deref(), Some("be kind\n\nand short"));
    assert_eq!(draft.input, [Message::new(Role::User, "q")]);
    assert_eq!(draft.output, [Message::new(Role::Assistant, "a")]);
    assert_eq!(draft.context, ["one", "two", "three", "four"]);
    let tags: Vec<(&str, &str)> = draft.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(tags, [("n", "3"), ("ok", "true"), ("team", "x")]);
    assert_eq!(draft.usage, Some(TokenUsage { input: 10, output: 5, cached_input: 4, ..TokenUsage::default() }));
    assert_eq!(draft.flags, assize_core::Flags::default());
}

#[test]
fn times_in_every_unit() {
    for time in
        ["1764000000", "1764000000.0", "1764000000000", "1764000000000000", "1764000000000000000", r#""2025-11-24T16:00:00Z""#]
    {
        let draft = one(&format!(r#"{{"input":"q","output":"a","time":{time}}}"#)).unwrap();
        assert_eq!(draft.time, Some(Timestamp(1_764_000_000_000)), "{time}");
    }
    for extreme in ["1e300", "-1e300", "-5"] {
        assert!(one(&format!(r#"{{"input":"q","output":"a","time":{extreme}}}"#)).is_ok());
    }
}

#[test]
fn usage_in_every_spelling() {
    let cases = [
        (r#"{"input_tokens":9,"output_tokens":2,"cached_input_tokens":3}"#, (9, 2, 3)),
        (r#"{"input_tokens":9,"output_tokens":2,"input_tokens_details":{"cached_tokens":3}}"#, (9, 2, 3)),
        (r#"{"input_tokens":2,"output_tokens":2,"cache_read_input_tokens":3,"cache_creation_input_tokens":4}"#, (9, 2, 3)),
        (r#"{"prompt_tokens":9,"completion_tokens":2}"#, (9, 2, 0)),
        (r#"{"input":9,"output":2}"#, (9, 2, 0)),
    ];
    for (usage, (input, output, cached_input)) in cases {
        let draft = one(&format!(r#"{{"input":"q","output":"a","usage":{usage}}}"#)).unwrap();
        assert_eq!(draft.usage, Some(TokenUsage { input, output, cached_input, ..TokenUsage::default() }), "{usage}");
    }
    // Unknown is not zero.
    for nothing in ["{}", r#"{"total":11}"#] {
        assert_eq!(one(&format!(r#"{{"input":"q","output":"a","usage":{nothing}}}"#)).unwrap().usage, None, "{nothing}");
    }
}

#[test]
fn an_empty_answer_is_no_content_and_a_missing_one_an_error() {
    assert!(one(r#"{"input":"q","output":""}"#).unwrap().flags.no_content);
    assert!(one(r#"{"input":"q","output":[]}"#).unwrap().flags.no_content);
    assert!(!one(r#"{"input":"","output":"a"}"#).unwrap().flags.no_content);
    for body in [r#"{"input":"q"}"#, r#"{"input":"q","output":null}"#, r#"{"output":"a"}"#] {
        assert_eq!(one(body).unwrap_err().code, "missing_field", "{body}");
    }
}

#[test]
fn errors_name_the_place() {
    let tags = format!("{{{}}}", (0..65).map(|i| format!(r#""k{i}":1"#)).collect::<Vec<_>>().join(","));
    let cases = [
        (
            r#""input":[{"role":"user","content":"a"},{"role":"x","content":"b"}]"#.to_owned(),
            "input[1].role: \"x\" is not a role",
        ),
        (r#""input":7"#.into(), "input: is a number"),
        (
            r#""output":[{"role":"assistant","content":[{"type":"text","text":3}]}]"#.into(),
            "output[0].content[0].text: is a number",
        ),
        (r#""id":"""#.into(), "id: id is not valid"),
        (r#""id":{}"#.into(), "id: is an object"),
        (r#""project":"a b""#.into(), "project: project name \"a b\" is not valid"),
        (r#""time":"yesterday""#.into(), "time: \"yesterday\" is not an RFC 3339 time"),
        (r#""time":true"#.into(), "time: is a boolean"),
        (r#""context":["a",3]"#.into(), "context[1]: is a number"),
        (r#""context":[{"title":"t"}]"#.into(), "context[0]: has none of"),
        (r#""tags":[]"#.into(), "tags: is an array"),
        (r#""tags":{"a":{}}"#.into(), "tags.a: is an object"),
        (format!(r#""tags":{{"a":"{}"}}"#, "x".repeat(1_001)), "tags.a: is 1001 bytes long"),
        (format!(r#""tags":{{"{}":1}}"#, "x".repeat(101)), "tags: has a key of 101 bytes"),
        (format!(r#""tags":{tags}"#), "tags: has more than 64 keys"),
        (r#""usage":{"input_tokens":-1}"#.into(), "usage.input_tokens: is not a whole number"),
        (r#""usage":{"input_tokens":1,"cached_input_tokens":2}"#.into(), "usage: has more cached tokens"),
        (format!(r#""model":"{}""#, "m".repeat(257)), "model: is longer than 256 bytes"),
        (r#""system":5"#.into(), "system: is a number"),
    ];
    for (field, expected) in cases {
        let error = one(&format!(r#"{{"input":"q","output":"a",{field}}}"#)).unwrap_err();
        assert!(error.message.starts_with(expected), "{field}: {}", error.message);
        assert_eq!(error.code, "invalid_field");
    }
}

#[test]
fn a_bad_item_spoils_no_other() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let body = format!(r#"[{{"input":"q","output":"a"}}, 5, {deep}, {{"input":"q"}}, {{"input":"q","output":"b"}}]"#);
    let items = decode(body.as_bytes(), None).unwrap().items;
    let codes: Vec<&str> = items.iter().map(|item| item.as_ref().map_or_else(|error| error.code, |_| "ok")).collect();
    assert_eq!(codes, ["ok", "not_an_object", "invalid_json", "missing_field", "ok"]);
}

#[test]
fn lines_are_detected_or_declared_and_fail_alone() {
    let body = b"{\"input\":\"q\",\"output\":\"a\"}\r\n\n{\"input\":\n{\"input\":\"q\",\"output\":\"\xff\"}\n{\"input\":\"q\",\"output\":\"b\"}\n";
    for content_type in [None, Some("application/json"), Some("application/x-ndjson; charset=utf-8"), Some("Application/JSONL")] {
        let items = decode(body, content_type).unwrap().items;
        let codes: Vec<&str> = items.iter().map(|item| item.as_ref().map_or_else(|error| error.code, |_| "ok")).collect();
        assert_eq!(codes, ["ok", "invalid_json", "invalid_json", "ok"], "{content_type:?}");
    }
    let single = decode(b"{\"input\":\"q\",\"output\":\"a\"}", Some("application/x-ndjson")).unwrap();
    assert_eq!(single.items.len(), 1);
    let pretty = "{\n  \"input\": [\n    {\"role\": \"user\", \"content\": \"q\"}\n  ],\n  \"output\": \"a\"\n}\n";
    assert!(decode(pretty.as_bytes(), None).unwrap().items[0].is_ok());
}

#[test]
fn a_body_that_is_broken_as_a_whole() {
    let cases: [(&[u8], &str, &str); 8] = [
        (b"", "empty_body", ""),
        (b" \n ", "empty_body", ""),
        (b"hello", "invalid_json", "begin with"),
        (b"[{\"input\":\"q\",\"output\":\"a\"},\n{\"input", "invalid_json", "line 2 column"),
        (b"[] x", "invalid_json", "column 4"),
        (b"{\"input\":\"q\",", "invalid_json", "line 1 column 13"),
        (b"[\"\xff\"]", "invalid_utf8", "byte 2"),
        (b"{} {}", "invalid_json", "trailing"),
    ];
    for (body, code, part) in cases {
        let error = decode(body, None).unwrap_err();
        assert_eq!(error.code, code, "{body:?}");
        assert!(error.message.contains(part), "{body:?}: {}", error.message);
    }
    let many = format!("[{}]", vec!["0"; ITEMS_MAX + 1].join(","));
    assert_eq!(decode(many.as_bytes(), None).unwrap_err().code, "too_many_items");
    let many = "{}\n".repeat(ITEMS_MAX + 1);
    assert_eq!(decode(many.as_bytes(), None).unwrap_err().code, "too_many_items");
    let most = format!("[{}]", vec!["0"; ITEMS_MAX].join(","));
    assert_eq!(decode(most.as_bytes(), None).unwrap().items.len(), ITEMS_MAX);
}

#[test]
fn text_is_limited_per_item() {
    let body = |bytes: usize| format!(r#"{{"input":"{}","output":""}}"#, "x".repeat(bytes));
    assert!(one(&body(ITEM_TEXT_MAX)).is_ok());
    assert_eq!(one(&body(ITEM_TEXT_MAX + 1)).unwrap_err().code, "item_too_large");
    let many = format!(r#"{{"input":"q","output":"a","ignored":[{}0]}}"#, "0,".repeat(ITEM_TEXT_MAX));
    assert_eq!(one(&many).unwrap_err().code, "item_too_large");
}

fn any_message() -> impl Strategy<Value = Message> {
    let role = prop::sample::select(vec![Role::User, Role::Assistant, Role::Tool]);
    (role, ".{1,20}").prop_map(|(role, content)| Message::new(role, content))
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&body, None);
        let _ = decode(&body, Some("application/x-ndjson"));
    }

    #[test]
    fn any_json_is_decoded_or_refused(json in any_json()) {
        let text = serde_json::to_string(&json).unwrap();
        let _ = decode(text.as_bytes(), None);
        let _ = decode(format!("[{text}]").as_bytes(), None);
        let _ = decode(format!(r#"{{"input":{text},"output":{text},"context":{text},"tags":{text},"time":{text}}}"#).as_bytes(), None);
    }

    #[test]
    fn messages_round_trip_verbatim(
        input in prop::collection::vec(any_message(), 0..4),
        output in prop::collection::vec(any_message(), 0..4),
        system in ".{0,10}",
        context in prop::collection::vec(".{1,10}", 0..3),
    ) {
        let body = serde_json::json!({"input": input, "output": output, "system": system, "context": context});
        let draft = one(&body.to_string()).unwrap();
        prop_assert_eq!(draft.input, input);
        prop_assert_eq!(draft.output, output);
        prop_assert_eq!(draft.system.unwrap_or_default(), system);
        prop_assert_eq!(draft.context, context);
    }
}

use proptest::prelude::*;

use super::*;
use crate::ingest::tree::tests::any_json;

fn lenient(json: &str) -> Vec<(&'static str, String, Option<String>)> {
    let mut messages = Vec::new();
    MessageReader::lenient(&mut messages, Role::User).message(Json::parse(json).unwrap()).unwrap();
    messages.into_iter().map(|m| (m.role.as_str(), m.content, m.tool)).collect()
}

#[test]
fn the_shapes_of_one_message() {
    let said = |role, text: &str| vec![(role, text.to_owned(), None)];
    let called = |name: &str, arguments: &str| ("assistant", arguments.to_owned(), Some(name.to_owned()));
    let answered = |name: Option<&str>, text: &str| ("tool", text.to_owned(), name.map(str::to_owned));
    let cases = [
        (r#""just text""#, said("user", "just text")),
        (r#"{"role":"assistant","content":"hi"}"#, said("assistant", "hi")),
        (
            r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}},{"type":"input_text","text":"b"}]}"#,
            said("user", "a\n[image]\nb"),
        ),
        (r#"{"role":"assistant","content":null,"refusal":"no"}"#, said("assistant", "no")),
        (
            r#"{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}"#,
            vec![called("f", r#"{"a":1}"#)],
        ),
        (
            r#"{"role":"assistant","content":"","function_call":{"name":"f","arguments":{"a":1}}}"#,
            vec![called("f", r#"{"a":1}"#)],
        ),
        (r#"{"role":"tool","tool_call_id":"1","name":"f","content":"42"}"#, vec![answered(Some("f"), "42")]),
        (
            r#"{"role":"assistant","parts":[{"type":"reasoning","content":"hm"},{"type":"text","content":"a"},{"type":"tool_call","id":"1","name":"f","arguments":{"x":[1]}}],"finish_reason":"tool_call"}"#,
            vec![("assistant", "a".into(), None), called("f", r#"{"x":[1]}"#)],
        ),
        (
            r#"{"role":"tool","parts":[{"type":"tool_call_response","id":"1","response":{"t":3}}]}"#,
            vec![answered(None, r#"{"t":3}"#)],
        ),
        (r#"{"role":"tool","parts":[{"type":"tool_call_response","id":"1","result":"old"}]}"#, vec![answered(None, "old")]),
        (
            r#"{"role":"assistant","content":[{"type":"thinking","thinking":"x"},{"type":"text","text":"a"},{"type":"tool_use","id":"1","name":"f","input":{"q":"z"}}]}"#,
            vec![("assistant", "a".into(), None), called("f", r#"{"q":"z"}"#)],
        ),
        (
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"r"}]}]}"#,
            vec![answered(None, "r")],
        ),
        (
            r#"{"role":"model","parts":[{"text":"a"},{"functionCall":{"name":"f","args":{}}}]}"#,
            vec![("assistant", "a".into(), None), called("f", "{}")],
        ),
        (
            r#"{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"ok":true}}}]}"#,
            vec![answered(Some("f"), r#"{"ok":true}"#)],
        ),
        (
            r#"{"role":"assistant","content":[{"type":"tool-call","toolCallId":"1","toolName":"f","input":{}}]}"#,
            vec![called("f", "{}")],
        ),
        (
            r#"{"lc":1,"type":"constructor","id":["langchain","schema","messages","HumanMessage"],"kwargs":{"content":"q"}}"#,
            said("user", "q"),
        ),
        (r#"{"type":"ai","data":{"content":"a"}}"#, said("assistant", "a")),
        (r#"{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"a"}}"#, said("assistant", "a")),
        (
            r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"a","annotations":[]}]}"#,
            said("assistant", "a"),
        ),
        (r#"{"type":"function_call","name":"f","arguments":"{}","call_id":"1"}"#, vec![called("f", "{}")]),
        (r#"{"type":"function_call_output","call_id":"1","output":"42"}"#, vec![answered(None, "42")]),
        (r#"{"role":"narrator","content":"x"}"#, said("user", "x")),
        (r#"{"role":"user"}"#, vec![]),
    ];
    for (json, expected) in cases {
        assert_eq!(lenient(json), expected, "{json}");
    }
}

#[test]
fn a_strict_reader_names_the_place() {
    let cases = [
        (r#"[{"role":"user","content":"a"},{"content":"b"}]"#, "[1].role is missing"),
        (r#"[{"role":"boss","content":"b"}]"#, r#"[0].role "boss" is not a role"#),
        (r#"[{"role":7,"content":"b"}]"#, "[0].role is a number"),
        (r#"[{"role":"user"}]"#, "[0].content is missing"),
        (r#"[{"role":"user","content":5}]"#, "[0].content is a number"),
        (r#"[{"role":"user","content":[{"type":"text"}]}]"#, "[0].content[0].text is missing"),
        (r#"[{"role":"user","content":[{"type":"text","text":1}]}]"#, "[0].content[0].text is a number"),
        (r#"[{"role":"assistant","tool_calls":[{"function":{}}]}]"#, "[0].tool_calls[0].function.name is missing"),
        (r#"["text"]"#, "[0] is a string"),
    ];
    for (json, expected) in cases {
        let Ok(Json::List(items)) = Json::parse(json) else { panic!() };
        let fault = MessageReader::strict(&mut Vec::new()).list(items).unwrap_err();
        let shown = format!("{} {}", fault.path, fault.message);
        assert!(shown.starts_with(expected), "{json}: {shown}");
    }
}

#[test]
fn an_empty_string_is_content_when_strict() {
    let mut messages = Vec::new();
    MessageReader::strict(&mut messages).message(Json::parse(r#"{"role":"user","content":""}"#).unwrap()).unwrap();
    assert_eq!(messages, [Message::new(Role::User, "")]);
}

proptest! {
    #[test]
    fn lenient_reading_never_fails(json in any_json()) {
        let mut messages = Vec::new();
        prop_assert_eq!(MessageReader::lenient(&mut messages, Role::User).message(json.clone()), Ok(()));
        let _ = MessageReader::strict(&mut messages).message(json);
    }
}

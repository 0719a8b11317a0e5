use assize_core::{Message, Role, Timestamp, TokenUsage};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::Event};
use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;

use super::*;
use crate::ingest::tree::tests::any_json;
use crate::ingest::{Draft, ITEM_TEXT_MAX};

const QUESTION: &str = "Where is my parcel?";
const ANSWER: &str = "It left Hamburg this morning.";
const SYSTEM: &str = "You help customers of a shop.";
const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/ingest/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The request that a JSON fixture describes.
fn request(body: &[u8]) -> ExportTraceServiceRequest {
    let mut spans = Vec::new();
    let mut resource = None;
    super::json::walk(body, |piece| match piece {
        super::json::Piece::Resource(raw) => resource = raw.map(|raw| super::json::resource(raw).unwrap()),
        super::json::Piece::Item(raw) => spans.push(super::json::span(raw).unwrap()),
    })
    .unwrap();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }] }
}

/// The one draft of a fixture, which must be the same by all three ways in.
fn draft(name: &str) -> Draft {
    let body = fixture(name);
    let from_json = traces::from_json(&body).unwrap();
    let request = request(&body);
    assert_eq!(traces::from_protobuf(&request.encode_to_vec()).unwrap(), from_json, "{name}");
    assert_eq!(traces::from_request(request), from_json, "{name}");
    assert_eq!(from_json.refused, Refusals::default(), "{name}");
    let [draft] = <[Draft; 1]>::try_from(from_json.drafts).unwrap_or_else(|drafts| panic!("{name}: {} drafts", drafts.len()));
    draft
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn span(number: u8, times: (u64, u64), attributes: Vec<KeyValue>) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![number; 8],
        start_time_unix_nano: times.0,
        end_time_unix_nano: times.1,
        attributes,
        ..Span::default()
    }
}

fn llm(number: u8, times: (u64, u64)) -> Span {
    let attributes = vec![text("openinference.span.kind", "LLM"), text("input.value", "q"), text("output.value", "a")];
    span(number, times, attributes)
}

fn export(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
}

fn only(attributes: Vec<KeyValue>) -> Draft {
    let mut traces = traces::from_request(export(vec![span(2, (1, 2), attributes)]));
    assert_eq!(traces.drafts.len(), 1, "{traces:?}");
    traces.drafts.remove(0)
}

#[test]
fn every_dialect_tells_the_same_conversation() {
    let dialects = [
        "genai_messages_json",
        "genai_messages_structured",
        "genai_details_event",
        "genai_message_events",
        "genai_event_content",
        "genai_content_events",
        "openllmetry_indexed",
        "openllmetry_oldest",
        "openinference_messages",
        "openinference_values_json",
        "openinference_langchain",
        "langfuse",
        "vercel_ai",
    ];
    for name in dialects {
        let draft = draft(name);
        assert_eq!(draft.id.as_ref().unwrap().as_str(), ID, "{name}");
        assert_eq!(draft.time, Some(Timestamp(1_763_976_602_250)), "{name}");
        assert_eq!(draft.system.as_deref(), Some(SYSTEM), "{name}");
        assert_eq!(draft.input, [Message::new(Role::User, QUESTION)], "{name}");
        assert_eq!(draft.output, [Message::new(Role::Assistant, ANSWER)], "{name}");
        assert_eq!(draft.model.as_deref(), Some("gpt-4o-2024-08-06"), "{name}");
        assert_eq!(draft.conversation_id.as_deref(), Some("conv-7"), "{name}");
        assert_eq!(draft.usage, Some(TokenUsage { input: 120, output: 12, cached_input: 64, ..TokenUsage::default() }), "{name}");
        assert_eq!(draft.tags["service.name"], "shop", "{name}");
        assert!(!draft.flags.no_content && !draft.flags.truncated, "{name}");
        assert_eq!(draft.environment.as_deref(), Some("production"), "{name}");
    }
}

#[test]
fn what_only_some_dialects_tell() {
    let genai = draft("genai_messages_json");
    assert_eq!(genai.prompt_version.as_deref(), Some("v3"));
    assert_eq!(genai.tags["gen_ai.prompt.name"], "support");
    assert_eq!(draft("openllmetry_indexed").tags["plan"], "gold");
    assert_eq!(draft("langfuse").prompt_version.as_deref(), Some("3"));
    for name in ["langfuse", "openinference_messages"] {
        let tags = draft(name).tags;
        assert_eq!([&tags["beta"], &tags["team"], &tags["plan"], &tags["user.id"]], ["true", "support", "gold", "u-1"], "{name}");
    }
    let text = draft("openinference_values_text");
    assert_eq!(
        (text.input, text.output),
        (vec![Message::new(Role::User, QUESTION)], vec![Message::new(Role::Assistant, ANSWER)])
    );
    assert_eq!(traces::from_json(&fixture("vercel_ai")).unwrap().ignored, 1);
}

#[test]
fn json_is_taken_as_real_senders_write_it() {
    let draft = draft("json_as_it_is_written");
    assert_eq!(draft.id.unwrap().as_str(), ID);
    assert_eq!(draft.output, [Message::new(Role::Assistant, ANSWER)]);
    for empty in ["{}", r#"{"resourceSpans":null}"#, r#"{"resourceSpans":[{"scopeSpans":[{}]}]}"#] {
        assert_eq!(traces::from_json(empty.as_bytes()).unwrap(), Traces::default(), "{empty}");
    }
}

#[test]
fn tool_calls_keep_name_and_arguments() {
    let call = Message { role: Role::Assistant, content: r#"{"id":7}"#.into(), tool: Some("track".into()) };
    let message =
        json!([{"role":"assistant","parts":[{"type":"tool_call","id":"1","name":"track","arguments":{"id":7}}]}]).to_string();
    let cases = [
        vec![text("gen_ai.output.messages", &message)],
        vec![
            text("gen_ai.completion.0.tool_calls.0.name", "track"),
            text("gen_ai.completion.0.tool_calls.0.arguments", r#"{"id":7}"#),
        ],
        vec![
            text("llm.output_messages.0.message.tool_calls.0.tool_call.function.name", "track"),
            text("llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments", r#"{"id":7}"#),
        ],
        vec![text(
            "ai.response.toolCalls",
            r#"[{"toolCallType":"function","toolCallId":"1","toolName":"track","args":"{\"id\":7}"}]"#,
        )],
        vec![text(
            "output.value",
            r#"{"choices":[{"message":{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"track","arguments":"{\"id\":7}"}}]}}]}"#,
        )],
    ];
    for attributes in cases {
        let shown = format!("{attributes:?}");
        let draft = only([vec![text("gen_ai.operation.name", "chat")], attributes].concat());
        assert_eq!(draft.output, std::slice::from_ref(&call), "{shown}");
        assert!(!draft.flags.no_content);
    }
}

#[test]
fn tokens_are_counted_as_their_sender_counts() {
    let number = |key: &str, count| attribute(key, Value::IntValue(count));
    let cases = [
        (vec![number("gen_ai.usage.input_tokens", 9), number("gen_ai.usage.cache_read.input_tokens", 4)], (9, 4)),
        (vec![number("gen_ai.usage.input_tokens", 3), number("gen_ai.usage.cache_read.input_tokens", 4)], (7, 4)),
        (vec![text("langfuse.observation.usage_details", r#"{"input":5,"input_cached_tokens":4,"output":1}"#)], (9, 4)),
        (
            vec![text(
                "langfuse.observation.usage_details",
                r#"{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4}}"#,
            )],
            (9, 4),
        ),
        (vec![text("llm.token_count.prompt", "9")], (9, 0)),
    ];
    for (attributes, (input, cached_input)) in cases {
        let shown = format!("{attributes:?}");
        let usage = only([vec![text("gen_ai.operation.name", "chat")], attributes].concat()).usage.unwrap();
        assert_eq!((usage.input, usage.cached_input), (input, cached_input), "{shown}");
    }
    assert_eq!(only(vec![text("gen_ai.operation.name", "chat"), number("gen_ai.usage.input_tokens", -1)]).usage, None);
}

#[test]
fn only_calls_of_models_become_drafts() {
    let messages = || text("gen_ai.input.messages", r#"[{"role":"user","content":"q"}]"#);
    let model = || text("gen_ai.request.model", "m");
    let cases = [
        (vec![text("gen_ai.operation.name", "chat")], true),
        (vec![text("gen_ai.operation.name", "text_completion")], true),
        (vec![text("gen_ai.operation.name", "generate_content")], true),
        (vec![model(), messages()], true),
        (vec![text("gen_ai.operation.name", "something_new"), model(), messages()], true),
        (vec![text("openinference.span.kind", "LLM")], true),
        (vec![text("langfuse.observation.type", "generation")], true),
        (vec![model()], false),
        (vec![messages()], false),
        (vec![text("gen_ai.operation.name", "embeddings"), model(), messages()], false),
        (vec![text("gen_ai.operation.name", "invoke_agent"), model(), messages()], false),
        (vec![text("gen_ai.operation.name", "execute_tool"), model(), messages()], false),
        (vec![text("openinference.span.kind", "CHAIN"), model(), messages()], false),
        (vec![text("langfuse.observation.type", "span"), text("langfuse.observation.input", "x")], false),
        (vec![text("http.method", "GET")], false),
        (vec![], false),
    ];
    for (attributes, is_call) in cases {
        let shown = format!("{attributes:?}");
        let traces = traces::from_request(export(vec![span(2, (1, 2), attributes)]));
        assert_eq!((traces.drafts.len(), traces.ignored), if is_call { (1, 0) } else { (0, 1) }, "{shown}");
    }
}

#[test]
fn a_call_without_text_is_flagged() {
    let draft = only(vec![text("gen_ai.operation.name", "chat"), text("gen_ai.request.model", "m")]);
    assert!(draft.flags.no_content && draft.time == Some(Timestamp(0)));
    let traces = traces::from_request(export(vec![Span { end_time_unix_nano: 0, ..llm(2, (0, 0)) }]));
    assert_eq!(traces.drafts[0].time, None);
}

#[test]
fn a_bad_span_is_refused_alone() {
    let bad_utf8 = {
        let good = llm(5, (1, 2)).encode_to_vec();
        let at = good.windows(11).position(|window| window == b"input.value").unwrap();
        let mut bad = good;
        bad[at] = 0xff;
        bad
    };
    let field = |number: u8, content: &[u8]| {
        let mut bytes = vec![number << 3 | 2];
        prost::encoding::encode_varint(content.len() as u64, &mut bytes);
        bytes.extend_from_slice(content);
        bytes
    };
    let spans = [
        Span { trace_id: vec![1; 15], ..llm(2, (1, 2)) }.encode_to_vec(),
        Span { span_id: vec![0; 8], ..llm(3, (1, 2)) }.encode_to_vec(),
        llm(4, (1, 2)).encode_to_vec(),
        bad_utf8,
        Span { span_id: vec![], ..span(6, (1, 2), vec![text("http.method", "GET")]) }.encode_to_vec(),
    ];
    let scope: Vec<u8> = spans.iter().flat_map(|span| field(2, span)).collect();
    let body = field(1, &field(2, &scope));
    let traces = traces::from_protobuf(&body).unwrap();
    assert_eq!((traces.drafts.len(), traces.ignored, traces.refused.count), (1, 1, 3));
    let messages = traces.refused.messages;
    assert!(messages[0].starts_with("span 0 (counted from 0) trace id has 15 bytes"), "{messages:?}");
    assert!(messages[1].starts_with("span 1 (counted from 0) span id is zero"), "{messages:?}");
    assert!(messages[2].starts_with("span 3 (counted from 0) cannot be decoded"), "{messages:?}");

    let good = r#"{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}}]}"#;
    let bad_id = good.replace("00f067aa0ba902b7", "zz");
    let deep = format!(
        r#"{{"attributes":[{{"key":"x","value":{}{}}}]}}"#,
        r#"{"arrayValue":{"values":["#.repeat(10_000),
        "]}}".repeat(10_000)
    );
    let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{bad_id},{{"attributes":5}},{deep},{good}]}}]}}]}}"#);
    let traces = traces::from_json(body.as_bytes()).unwrap();
    assert_eq!((traces.drafts.len(), traces.refused.count), (1, 3));
    assert!(traces.refused.summary().unwrap().starts_with("span 0 (counted from 0) span id has 0 bytes"), "{:?}", traces.refused);
}

#[test]
fn a_body_that_is_broken_as_a_whole_names_the_place() {
    assert_eq!(traces::from_protobuf(b"\x0a\xff").unwrap_err().code, "invalid_protobuf");
    let error = traces::from_json(b"{\"resourceSpans\":[\n{\"scope").unwrap_err();
    assert!(error.code == "invalid_json" && error.message.contains("line 2"), "{error}");
    assert_eq!(traces::from_json(b"{\"a\":\"\xff\"}").unwrap_err().code, "invalid_utf8");
    assert_eq!(traces::from_json(b"[]").unwrap_err().code, "invalid_json");
    assert_eq!(traces::from_protobuf(b"").unwrap(), Traces::default());
}

#[test]
fn refusals_do_not_quote_what_was_said() {
    for span in
        [r#"{"attributes":"secret"}"#, r#"{"attributes":[{"key":"a","value":"secret"}]}"#, r#"{"endTimeUnixNano":"secret"}"#]
    {
        let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#);
        let refused = traces::from_json(body.as_bytes()).unwrap().refused;
        assert_eq!(refused.count, 1, "{span}");
        assert!(!refused.messages[0].contains("secret"), "{refused:?}");
    }
}

#[test]
fn refusals_are_counted_but_not_all_told() {
    let traces = traces::from_request(export((0..1_000).map(|_| Span { span_id: vec![], ..llm(1, (1, 2)) }).collect()));
    assert_eq!((traces.refused.count, traces.refused.messages.len()), (1_000, 20));
    assert!(traces.refused.summary().unwrap().ends_with("and 980 more"));
}

#[test]
fn what_the_sender_cut_is_saved_and_flagged() {
    let chat = || text("gen_ai.operation.name", "chat");
    let cut = only(vec![
        chat(),
        text("gen_ai.output.messages", r#"[{"role":"assistant","parts":[{"type":"text","content":"It left Ham"#),
    ]);
    assert_eq!(cut.output, [Message::new(Role::Assistant, "It left Ham")]);
    assert!(cut.flags.truncated);
    for attributes in [
        vec![text("gen_ai.completion.0.content", "It left...[truncated]")],
        vec![text("output.value", r#"{"choices":[{"message":{"role":"assistant","content":"It left Ham"#)],
        vec![text("output.value", r#"{"any":"thing"#), text("output.mime_type", "application/json")],
        vec![text("gen_ai.completion.0.content", r#"[{"type":"text","text":"It left"#)],
        vec![
            text("gen_ai.output.messages", r#"[{"role":"assistant","content":"a"}]"#),
            text("gen_ai.system_instructions", r#"[{"type":"text","content":"You"#),
        ],
    ] {
        let shown = format!("{attributes:?}");
        let draft = only([vec![chat()], attributes].concat());
        assert!(draft.flags.truncated && draft.has_output(), "{shown}: {draft:?}");
    }
    let whole = only(vec![chat(), text("output.value", "{name}, {place"), text("input.value", "[1] says so...")]);
    assert!(!whole.flags.truncated);
    let dropped = traces::from_request(export(vec![Span { dropped_attributes_count: 1, ..llm(2, (1, 2)) }]));
    assert!(dropped.drafts[0].flags.truncated);
}

#[test]
fn json_that_the_model_wrote_stays_verbatim() {
    for own in [r#"{"answer": 42}"#, r#"[1, 2]"#, r#""quoted""#, r#"{"text": "x"}"#] {
        let draft = only(vec![text("openinference.span.kind", "LLM"), text("output.value", own)]);
        assert_eq!(draft.output, [Message::new(Role::Assistant, own)]);
    }
}

#[test]
fn retrievers_and_tools_become_context_of_later_calls() {
    let retriever = |number, times, texts: &[&str]| {
        let documents = texts.iter().enumerate();
        let mut attributes = vec![text("openinference.span.kind", "RETRIEVER")];
        attributes.extend(documents.map(|(i, document)| text(&format!("retrieval.documents.{i}.document.content"), document)));
        span(number, times, attributes)
    };
    let tool = Span {
        parent_span_id: vec![9; 8],
        ..span(4, (31, 35), vec![text("gen_ai.operation.name", "execute_tool"), text("gen_ai.tool.call.result", "tool says")])
    };
    let other_trace = Span { trace_id: vec![2; 16], ..retriever(5, (1, 2), &["elsewhere"]) };
    let later = retriever(6, (50, 60), &["too late"]);
    let genai = span(
        7,
        (3, 4),
        vec![
            text("gen_ai.operation.name", "retrieval"),
            text("gen_ai.retrieval.documents", r#"[{"id":"1","content":"third"},{"id":"2","content":"first"}]"#),
        ],
    );
    let spans =
        vec![llm(9, (30, 40)), later, tool, llm(8, (10, 20)), retriever(3, (1, 2), &["first", "second"]), genai, other_trace];
    let traces = traces::from_request(export(spans));
    let contexts: Vec<Vec<String>> = traces.drafts.into_iter().map(|draft| draft.context).collect();
    assert_eq!(contexts[0], ["second", "third", "first", "tool says"], "its own tool too, each text once");
    assert_eq!(contexts[1], ["second", "third", "first"]);
    assert_eq!(traces.ignored, 5);
}

#[test]
fn context_is_bounded_per_call_and_per_request() {
    let document = |number: u8| {
        let body = format!("{number}{}", "x".repeat(400_000));
        span(
            number,
            (u64::from(number), u64::from(number)),
            vec![text("openinference.span.kind", "TOOL"), text("output.value", &body)],
        )
    };
    let mut spans: Vec<Span> = (1..=5).map(document).collect();
    spans.extend((0..100).map(|_| llm(100, (50, 60))));
    let traces = traces::from_request(export(spans));
    let sizes: Vec<usize> = traces.drafts.iter().map(|draft| draft.context.iter().map(String::len).sum()).collect();
    assert_eq!(sizes[0], 2 * 400_001);
    assert!(traces.drafts[0].context[0].starts_with('4') && traces.drafts[0].context[1].starts_with('5'), "the latest stay");
    assert!(traces.drafts[0].flags.truncated);
    assert!(sizes.iter().sum::<usize>() <= context::REQUEST_BYTES_MAX);
}

#[test]
fn text_of_a_span_is_limited() {
    let big = "x".repeat(ITEM_TEXT_MAX + 1);
    let attributes = vec![text("openinference.span.kind", "LLM"), text("output.value", &big)];
    let traces = traces::from_request(export(vec![span(1, (1, 2), attributes), llm(2, (1, 2))]));
    assert_eq!((traces.drafts.len(), traces.refused.count), (1, 1));
}

#[test]
fn deep_values_do_not_overflow() {
    let mut value = Value::StringValue("x".into());
    for _ in 0..1_000 {
        value = Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(value) }] });
    }
    // Encoding and dropping recurse as well: on a thread with room for it.
    let bytes = std::thread::Builder::new()
        .stack_size(256 << 20)
        .spawn(move || {
            export(vec![span(1, (1, 2), vec![attribute("gen_ai.input.messages", value)]), llm(2, (1, 2))]).encode_to_vec()
        })
        .unwrap()
        .join()
        .unwrap();
    let traces = traces::from_protobuf(&bytes).unwrap();
    assert_eq!((traces.drafts.len(), traces.refused.count), (1, 1));
}

#[test]
fn logs_give_the_content_of_spans() {
    let logs = logs::from_json(&fixture("logs_message_events")).unwrap();
    assert_eq!((logs.contents.len(), logs.ignored, logs.refused.count), (1, 1, 0));
    assert!(logs.contents[0].is_whole());
    let details = logs::from_json(&fixture("logs_details")).unwrap();
    assert!(details.contents[0].is_whole());
    let details = details.contents[0].clone().into_draft();
    assert_eq!(details.usage, Some(TokenUsage { input: 120, output: 12, cached_input: 64, ..TokenUsage::default() }));
    for draft in [logs.contents[0].clone().into_draft(), details] {
        assert_eq!(draft.id.unwrap().as_str(), ID);
        assert_eq!(draft.system.as_deref(), Some(SYSTEM));
        assert_eq!(draft.input, [Message::new(Role::User, QUESTION)]);
        assert_eq!(draft.output, [Message::new(Role::Assistant, ANSWER)]);
        assert_eq!(draft.environment.as_deref(), Some("production"));
        assert!(!draft.flags.no_content);
    }
}

#[test]
fn the_same_log_records_again_add_nothing() {
    let logs = logs::from_json(&fixture("logs_message_events")).unwrap();
    let mut content = logs.contents[0].clone();
    content.merge(logs.contents[0].clone());
    assert_eq!(content, logs.contents[0]);
    let stored = serde_json::to_string(&content).unwrap();
    assert_eq!(serde_json::from_str::<SpanContent>(&stored).unwrap(), content);
}

#[test]
fn content_without_its_span_is_refused() {
    let body =
        String::from_utf8(fixture("logs_details")).unwrap().replace("\"spanId\": \"00f067aa0ba902b7\"", "\"spanId\": \"\"");
    let logs = logs::from_json(body.as_bytes()).unwrap();
    assert_eq!((logs.contents.len(), logs.refused.count), (0, 1));
    assert!(logs.refused.messages[0].contains("to which span it belongs: span id has 0 bytes"));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        ".{0,20}".prop_map(Value::StringValue),
        any_json().prop_map(|json| Value::StringValue(serde_json::to_string(&json).unwrap())),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        any::<f64>().prop_map(Value::DoubleValue),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(Value::BytesValue),
        Just(Value::StringValueStrindex(1)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let value = inner.prop_map(|value| AnyValue { value: Some(value) });
        prop::collection::vec(value, 0..4).prop_map(|values| Value::ArrayValue(ArrayValue { values }))
    })
}

fn any_attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    const KEYS: &[&str] = &[
        "gen_ai.operation.name",
        "openinference.span.kind",
        "gen_ai.request.model",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "input.value",
        "output.value",
        "output.mime_type",
        "gen_ai.prompt.0.content",
        "gen_ai.prompt.0.role",
        "gen_ai.completion.1.content",
        "llm.input_messages.0.message.contents.0.message_content.text",
        "llm.output_messages.4294967296.message.content",
        "retrieval.documents.1.document.content",
        "gen_ai.retrieval.documents",
        "gen_ai.usage.input_tokens",
        "metadata",
        "tag.tags",
        "langfuse.observation.usage_details",
        "langfuse.observation.input",
        "gen_ai.system_instructions",
        "gen_ai.event.content",
        "message",
        "content",
        "ai.response.toolCalls",
        "gen_ai.tool.call.result",
    ];
    let kind = prop::sample::select(vec!["LLM", "TOOL", "RETRIEVER"]).prop_map(|kind| text("openinference.span.kind", kind));
    let other = (prop::sample::select(KEYS), any_value()).prop_map(|(key, value)| attribute(key, value));
    (kind, prop::collection::vec(other, 0..8)).prop_map(|(kind, mut others)| {
        others.push(kind);
        others
    })
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = traces::from_protobuf(&body);
        let _ = traces::from_json(&body);
        let _ = logs::from_protobuf(&body);
        let _ = logs::from_json(&body);
    }

    #[test]
    fn any_json_is_decoded_or_refused(json in any_json()) {
        let text = serde_json::to_string(&json).unwrap();
        for body in [
            text.clone(),
            format!(r#"{{"resourceSpans":{text},"scopeSpans":{text}}}"#),
            format!(r#"{{"resourceSpans":[{{"resource":{text},"scopeSpans":[{{"spans":[{text},{{"attributes":{text}}},{{"attributes":[{{"key":"a","value":{text}}}]}}]}}]}}]}}"#),
        ] {
            let _ = traces::from_json(body.as_bytes());
            let _ = logs::from_json(body.as_bytes());
        }
    }

    #[test]
    fn any_attributes_are_read_and_every_span_is_accounted_for(
        spans in prop::collection::vec((any_attributes(), any_attributes(), any::<u8>(), any::<u64>(), any::<u64>()), 1..5),
    ) {
        let names = ["gen_ai.choice", "gen_ai.user.message", "gen_ai.content.prompt", "gen_ai.client.inference.operation.details"];
        let spans: Vec<Span> = spans.into_iter().map(|(attributes, event, number, start, end)| {
            let name = names[usize::from(number) % names.len()].to_owned();
            let events = vec![Event { name, attributes: event, ..Event::default() }];
            Span { events, ..span(number, (start, end), attributes) }
        }).collect();
        let count = spans.len();
        let request = export(spans);
        let traces = traces::from_protobuf(&request.encode_to_vec()).unwrap();
        prop_assert_eq!(traces.drafts.len() + traces.ignored + traces.refused.count, count);
        prop_assert_eq!(&traces::from_request(request), &traces);
    }

    #[test]
    fn a_cut_body_never_panics(cut in 0.0..1.0f64) {
        let body = request(&fixture("openinference_messages")).encode_to_vec();
        let _ = traces::from_protobuf(&body[..(body.len() as f64 * cut) as usize]);
        let body = fixture("genai_messages_structured");
        let _ = traces::from_json(&body[..(body.len() as f64 * cut) as usize]);
    }
}

use assize_core::{Flags, Message, Role};
use proptest::prelude::*;

use super::*;
use crate::ingest::otlp::logs;

const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn limits() -> JoinLimits {
    let wait = Duration::from_secs(5);
    JoinLimits { span_wait: wait, content_wait: wait, entries_max: 3, ..JoinLimits::default() }
}

fn project() -> ProjectName {
    ProjectName::new("p").unwrap()
}

fn after(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn id(number: u8) -> String {
    format!("{:032x}-{number:016x}", 1)
}

fn span(number: u8) -> Draft {
    Draft {
        id: Some(InteractionId::new(&id(number)).unwrap()),
        model: Some("m".into()),
        flags: Flags { no_content: true, ..Flags::default() },
        ..Draft::default()
    }
}

fn answered(number: u8) -> Draft {
    Draft { output: vec![Message::new(Role::Assistant, "a")], flags: Flags::default(), ..span(number) }
}

/// Log events about a span: which of question, answer and model they hold.
fn content(number: u8, question: bool, answer: bool, model: bool) -> SpanContent {
    let record = |name: &str, body: &str| {
        format!(
            r#"{{"timeUnixNano":"{}","eventName":"{name}","traceId":"{:032x}","spanId":"{number:016x}",
            "attributes":[{{"key":"{}","value":{{"stringValue":"m"}}}}],"body":{{"stringValue":"{body}"}}}}"#,
            if name == "gen_ai.choice" { 2 } else { 1 },
            1,
            if model { "gen_ai.request.model" } else { "x" },
        )
    };
    let mut records = Vec::new();
    if question {
        records.push(record("gen_ai.user.message", "q"));
    }
    if answer {
        records.push(record("gen_ai.choice", "a"));
    }
    let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}]}}]}}]}}"#, records.join(","));
    logs::from_json(body.as_bytes()).unwrap().contents.remove(0)
}

/// What came out, in short: the answer and the question of an interaction, and the tickets.
fn told(released: Option<Released<u32>>) -> String {
    match released {
        None => "waits".into(),
        Some(Released::Interaction { draft, tickets, .. }) => {
            let text = |messages: &[Message]| messages.iter().map(|message| message.content.as_str()).collect::<String>();
            let model = draft.model.as_deref().unwrap_or("-");
            format!(
                "{}>{} {model} {tickets:?}{}",
                text(&draft.input),
                text(&draft.output),
                if draft.flags.no_content { " empty" } else { "" }
            )
        }
        Some(Released::Redundant { tickets }) => format!("redundant {tickets:?}"),
        Some(Released::Refused { tickets, .. }) => format!("refused {tickets:?}"),
    }
}

fn all(released: Vec<Released<u32>>) -> Vec<String> {
    released.into_iter().map(|one| told(Some(one))).collect()
}

/// A joiner whose project has sent log content before.
fn expecting() -> Joiner<u32> {
    let mut joiner = Joiner::new(limits());
    assert_eq!(told(joiner.content(&project(), content(200, true, true, true), 0, NOW.minus(Duration::from_secs(60)))), "waits");
    assert_eq!(all(joiner.expire(NOW)), ["q>a m [0]"]);
    joiner
}

#[test]
fn a_project_that_sends_no_log_content_stops_waiting() {
    let mut joiner: Joiner<u32> = Joiner::new(limits());
    let mut vain = 0;
    while joiner.expects_content(&project()) {
        assert_eq!(told(joiner.span(&project(), span(1), 1, NOW)), "waits");
        assert_eq!(all(joiner.expire(after(5))), ["> m [1] empty"]);
        vain += 1;
    }
    assert_eq!(vain, VAIN_MAX);
    assert_eq!(told(joiner.span(&project(), span(1), 1, NOW)), "> m [1] empty");
    assert!(!joiner.concerns(&project(), &span(1)));
    assert!(joiner.expects_content(&ProjectName::new("other").unwrap()));
    // Content comes again, and with it the reason to wait.
    assert_eq!(told(joiner.content(&project(), content(2, true, true, true), 2, NOW)), "waits");
    assert_eq!(told(joiner.span(&project(), span(1), 3, NOW)), "waits");
}

#[test]
fn a_span_meets_its_content_whichever_comes_first() {
    let mut joiner = expecting();
    assert_eq!(told(joiner.span(&project(), span(1), 1, NOW)), "waits");
    assert_eq!(told(joiner.content(&project(), content(1, true, true, false), 2, after(1))), "q>a m [1, 2]");
    assert_eq!(told(joiner.content(&project(), content(2, true, true, false), 3, NOW)), "waits");
    assert_eq!(told(joiner.span(&project(), span(2), 4, after(1))), "q>a m [3, 4]");
    assert_eq!((joiner.waiting(), joiner.counters().joined), ((0, 0), 2));
}

#[test]
fn halves_of_content_come_together() {
    let mut joiner = expecting();
    assert_eq!(told(joiner.content(&project(), content(1, true, false, false), 1, NOW)), "waits");
    assert_eq!(told(joiner.span(&project(), span(1), 2, after(1))), "waits");
    assert_eq!(told(joiner.content(&project(), content(1, false, true, false), 3, after(2))), "q>a m [1, 2, 3]");
}

#[test]
fn answered_spans_never_wait() {
    let mut joiner = expecting();
    assert_eq!(told(joiner.span(&project(), answered(2), 2, NOW)), ">a m [2]");
    assert!(!joiner.concerns(&project(), &answered(2)));
}

#[test]
fn a_span_goes_on_when_nothing_comes() {
    let mut joiner = expecting();
    assert_eq!(told(joiner.span(&project(), span(1), 1, NOW)), "waits");
    assert!(joiner.expire(after(4)).is_empty());
    // Sent again meanwhile: it waits no longer for that.
    assert_eq!(told(joiner.span(&project(), span(1), 2, after(4))), "waits");
    assert_eq!(all(joiner.expire(after(5))), ["> m [1, 2] empty"]);
    assert_eq!((joiner.waiting().0, joiner.counters().in_vain), (0, 1));
}

#[test]
fn a_whole_conversation_without_span_stands_alone_and_half_a_one_is_refused_but_kept() {
    let mut joiner = expecting();
    assert_eq!(told(joiner.content(&project(), content(1, true, true, false), 1, NOW)), "waits");
    assert_eq!(told(joiner.content(&project(), content(2, true, false, false), 2, NOW)), "waits");
    assert_eq!(told(joiner.content(&project(), content(3, true, false, false), 3, NOW)), "waits");
    assert_eq!(all(joiner.expire(after(5))), ["refused [2]", "refused [3]"]);
    assert_eq!(all(joiner.expire(after(10))), ["q>a - [1]"], "a whole one waits twice as long, for its span to bring the model");
    // A long call ends: its question is still there.
    assert_eq!(told(joiner.span(&project(), Draft { input: vec![], ..answered(2) }, 4, after(60))), "q>a m [4]");
    assert!(joiner.expire(after(599)).is_empty());
    assert!(joiner.expire(after(605)).is_empty());
    assert_eq!((joiner.waiting(), joiner.counters().orphaned), ((0, 0), 1));
}

#[test]
fn what_comes_after_the_record_does_not_wait() {
    let mut joiner = expecting();
    let ids = [1, 2].map(|number| InteractionId::new(&id(number)).unwrap());
    joiner.settled(&project(), &ids[0], true, NOW);
    joiner.settled(&project(), &ids[1], false, NOW);
    assert_eq!(told(joiner.content(&project(), content(1, true, false, false), 1, NOW)), "redundant [1]");
    assert_eq!(told(joiner.content(&project(), content(2, true, true, true), 2, NOW)), "refused [2]");
    assert_eq!(told(joiner.span(&project(), span(1), 3, NOW)), "> m [3] empty");
    assert_eq!(joiner.counters().late, 1);
    joiner.expire(after(600));
    assert_eq!(told(joiner.content(&project(), content(1, true, false, false), 4, after(601))), "waits");
}

#[test]
fn too_much_does_not_wait() {
    let mut joiner = expecting();
    for number in 1..=3 {
        assert_eq!(told(joiner.span(&project(), span(number), u32::from(number), NOW)), "waits");
    }
    assert_eq!(told(joiner.span(&project(), span(4), 4, NOW)), "> m [4] empty");
    assert_eq!(told(joiner.content(&project(), content(5, true, false, false), 5, NOW)), "refused [5]");
    assert_eq!(joiner.counters().full, 2);
    for number in 10..20 {
        joiner.settled(&project(), &InteractionId::new(&id(number)).unwrap(), true, NOW);
    }
    assert_eq!((joiner.settled.len(), joiner.settled_order.len()), (3, 3));
}

#[derive(Debug, Clone)]
enum Step {
    Span(u8, bool),
    Content(u8, bool, bool, bool),
    Expire(u64),
    Settled(u8, bool),
}

proptest! {
    /// No ticket is lost or comes out twice, and nothing is left behind in the books.
    #[test]
    fn every_ticket_comes_out_once(steps in prop::collection::vec(prop_oneof![
        (1..5u8, any::<bool>()).prop_map(|(n, a)| Step::Span(n, a)),
        (1..5u8, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(n, q, a, m)| Step::Content(n, q || !a, a, m)),
        (0..400u64).prop_map(Step::Expire),
        (1..5u8, any::<bool>()).prop_map(|(n, a)| Step::Settled(n, a)),
    ], 0..40)) {
        let mut joiner: Joiner<u32> = Joiner::new(limits());
        let mut clock = 0;
        let mut given = 0;
        let mut back: Vec<u32> = Vec::new();
        let mut put = |released: Vec<Released<u32>>| {
            for one in released {
                back.extend(match one {
                    Released::Interaction { tickets, .. } | Released::Redundant { tickets } | Released::Refused { tickets, .. } => tickets,
                });
            }
        };
        for step in steps {
            match step {
                Step::Span(n, has_answer) => {
                    given += 1;
                    let draft = if has_answer { answered(n) } else { span(n) };
                    put(joiner.span(&project(), draft, given, after(clock)).into_iter().collect());
                }
                Step::Content(n, q, a, m) => {
                    given += 1;
                    put(joiner.content(&project(), content(n, q, a, m), given, after(clock)).into_iter().collect());
                }
                Step::Expire(seconds) => {
                    clock += seconds;
                    put(joiner.expire(after(clock)));
                }
                Step::Settled(n, has_answer) => {
                    joiner.settled(&project(), &InteractionId::new(&id(n)).unwrap(), has_answer, after(clock));
                }
            }
            prop_assert_eq!(joiner.waiting.len(), joiner.due.len());
            prop_assert!(joiner.waiting.len() <= 3);
        }
        put(joiner.expire(after(clock + 100_000)));
        back.sort_unstable();
        prop_assert_eq!(back, (1..=given).collect::<Vec<_>>());
        prop_assert_eq!((joiner.waiting(), joiner.due.len()), ((0, 0), 0));
    }
}

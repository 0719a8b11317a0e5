//! What holds for every page: hostile text stays text, nothing is inline, and ids are unique.

use std::collections::BTreeMap;

use assize_core::labels::Progress;
use assize_core::ledger::Balance;
use assize_core::projection::{Projection, Standing};
use assize_core::queue::Depth;
use assize_core::results::{InteractionRecord, MetricRecord, OutcomeCount, Outcomes, Spend};
use assize_core::savings::{Record, Savings};
use assize_core::{
    Accepted, AskedAs, CallId, CallRecord, CallStatus, Decision, DecisionState, Dimension, Features, Flags, Interaction,
    InteractionId, JudgeName, JudgeVersion, Message, MetricName, NanoUsd, Outcome, Part, PolicyVersion, ProjectName,
    ProviderName, Reason, Role, RowKey, TenantName, TierScore, Timestamp, TokenUsage, Verdict,
};

use super::chart::line::{Break, Point};
use super::explore::{Explore, Filters, Row};
use super::format::Rate;
use super::interaction::InteractionPage;
use super::layout::Layout;
use super::login::Login;
use super::overview::{EstimateView, GroupRow, IngestCounter, IngestPanel, MetricPanel, Overview, Range, SpendPanel};
use super::problem::Problem;
use super::review::{self, Item, ReviewPage};
use super::spend::{self, DegradationRow, SavingsPanel, SpendPage, SplitRow, TenantRow, TodayPanel};
use super::{explore, interaction, login, overview, problem};

const NOW: Timestamp = Timestamp(1_795_512_600_000);

/// Tries to close an attribute and an element, and to turn the line around.
fn hostile(field: &str) -> String {
    format!("\"'><script>{field}</script><img src=x onerror=alert(1)>\u{202e}")
}

fn metric(name: &str) -> MetricName {
    MetricName::new(name).unwrap()
}

fn judge() -> JudgeName {
    JudgeName::new("gpt-4o").unwrap()
}

fn layout(simulated: bool) -> Layout {
    let project = ProjectName::new("shop").unwrap();
    let projects = vec![project.clone(), ProjectName::new("docs").unwrap()];
    Layout { project, projects, now: NOW, simulated, signed_in: true, version: "0.1.0".into() }
}

fn overview_view(simulated: bool) -> Overview {
    let (from, to) = Range::Day.bounds(NOW);
    let rate = Rate { value: 0.042, low: 0.034, high: 0.05 };
    let panel = MetricPanel {
        name: metric("refusal"),
        question: Some(hostile("question")),
        estimate: Some(EstimateView {
            rate,
            level: 0.95,
            estimand: hostile("estimand"),
            population: 1_000,
            judged: 100,
            coverage: 0.98,
            cost: Some(NanoUsd(1_000_000_000)),
        }),
        previous: Some(rate),
        reference: judge(),
        reference_model: Some(hostile("reference_model")),
        note: Some(hostile("note")),
        points: vec![Point { at: from, rate: Some(rate), judged: 7 }],
        breaks: vec![Break { at: from, from: hostile("break_from"), to: hostile("break_to") }],
        models: vec![GroupRow { key: hostile("group"), rate: Some(rate), judged: 5, population: 50 }],
        simulated,
    };
    let spend = Spend { calls: 3, cost: NanoUsd(5_000_000), ..Spend::default() };
    let count = |outcome, reason: &str, count| OutcomeCount { metric: metric("refusal"), outcome, reason: reason.into(), count };
    Overview {
        layout: layout(simulated),
        range: Range::Day,
        from,
        to,
        metrics: vec![panel.clone(), MetricPanel { name: metric("toxicity"), estimate: None, ..panel }],
        outcomes: Outcomes {
            accepted: 1_000,
            counts: vec![
                count(Some(Outcome::Judged), "", 90),
                count(Some(Outcome::NotSampled), "", 880),
                count(Some(Outcome::JudgeFailed), &hostile("reason_code"), 10),
                count(Some(Outcome::NoContent), "no_text", 13),
                count(None, "", 7),
                OutcomeCount { metric: metric("retired"), outcome: Some(Outcome::Dropped), reason: String::new(), count: 4 },
            ],
        },
        without_text: 13,
        spend: SpendPanel {
            total: spend.clone(),
            by_judge: vec![(hostile("spend_judge"), spend.clone())],
            by_metric: vec![(hostile("spend_metric"), spend.clone())],
            over_time: vec![(from, spend)],
            simulated,
        },
        queue: Depth { ready: 1, delayed: 2, leased: 3, dead: 4, oldest: Some(from) },
        ingest: IngestPanel {
            since: Some(from),
            counters: vec![IngestCounter { label: hostile("counter"), value: 9, note: hostile("counter_note") }],
        },
        endpoint: "http://127.0.0.1:4318/".into(),
    }
}

fn metric_record(name: &str, outcome: Option<Outcome>, simulated: bool) -> MetricRecord {
    let usage = Some(TokenUsage { input: 900, output: 50, cached_input: 10, ..TokenUsage::default() });
    MetricRecord {
        decision: Decision {
            metric: metric(name),
            scores: vec![TierScore { judge: JudgeName::new("words").unwrap(), score: 0.25, reason: hostile("free_reason") }],
            probability: 0.1,
            reference: JudgeVersion::from_stored(&hostile("reference_version")),
            state: DecisionState::Drawn,
        },
        outcome,
        reason: Some(Reason { code: hostile("code").into(), message: hostile("message") }),
        verdicts: outcome.map_or_else(Vec::new, |_| {
            vec![Verdict {
                judge: judge(),
                version: JudgeVersion::from_stored(&hostile("version")),
                score: 0.875,
                label: Some(hostile("label")),
                confidence: Some(0.5),
                reason: hostile("verdict_reason"),
                model: Some(hostile("verdict_model")),
                usage,
                cost: Some(NanoUsd(5_750_000)),
                latency_ms: 1_240,
                simulated,
                reused: None,
            }]
        }),
        calls: vec![CallRecord {
            id: CallId(hostile("call_id")),
            judge: judge(),
            provider: ProviderName::new("openai").unwrap(),
            model: hostile("call_model"),
            status: CallStatus::Failed,
            error: Some(hostile("call_error")),
            usage,
            cost: None,
            latency_ms: 3,
            at: NOW,
            part: Part::default(),
            asked_as: AskedAs::Unknown,
            list: None,
        }],
        steps: Vec::new(),
    }
}

fn record(simulated: bool) -> InteractionRecord {
    let project = ProjectName::new("shop").unwrap();
    let id = InteractionId::new(&hostile("id")).unwrap();
    let tool = Message { role: Role::Tool, content: hostile("tool_result"), tool: Some(hostile("tool_name")) };
    let payload = Interaction {
        id: id.clone(),
        project: project.clone(),
        time: NOW,
        conversation_id: None,
        model: Some(hostile("model")),
        prompt_version: None,
        environment: None,
        system: Some(hostile("system")),
        input: vec![tool, Message::new(Role::User, hostile("input"))],
        output: vec![Message::new(Role::Assistant, hostile("output"))],
        context: vec![hostile("context")],
        reference: Some(hostile("reference")),
        tags: BTreeMap::from([(hostile("tag_name"), hostile("tag_value"))]),
        usage: Some(TokenUsage::default()),
        flags: Flags::default(),
    };
    let metrics = vec![
        metric_record("refusal", Some(Outcome::Reused), simulated),
        metric_record("toxicity", Some(Outcome::JudgeFailed), simulated),
        metric_record("logic", None, simulated),
    ];
    InteractionRecord {
        row: Accepted {
            key: RowKey::of(&project, &id),
            project,
            id,
            time: NOW,
            accepted_at: NOW,
            conversation_id: Some(hostile("conversation")),
            dimensions: vec![(Dimension::Tag(hostile("dimension")), hostile("dimension_value"))],
            features: Features::of(&payload),
            flags: Flags { time_replaced: true, truncated: true, no_content: false },
            policy: PolicyVersion::from_stored(&hostile("policy")),
            decisions: Vec::new(),
        },
        payload: Some(payload),
        metrics,
    }
}

fn explore_view() -> Explore {
    let mut filters =
        Filters { metric: hostile("f_metric"), model: hostile("f_model"), cursor: hostile("f_cursor"), ..Filters::default() };
    filters.score_min = hostile("f_score");
    filters.from = hostile("f_from");
    let full = Row::from(&record(true));
    Explore {
        layout: layout(true),
        filters,
        error: Some(hostile("error")),
        metrics: vec![metric("refusal")],
        models: vec![hostile("suggestion")],
        rows: vec![full.clone(), Row { text: None, ..full }],
        next: Some(hostile("next")),
    }
}

fn review_view() -> ReviewPage {
    let record = record(true);
    let text = record.payload.unwrap();
    ReviewPage {
        layout: layout(false),
        metrics: vec![metric("refusal"), metric("toxicity")],
        metric: Some(metric("refusal")),
        question: Some(hostile("question")),
        progress: Progress { drawn: 100, open: 57, leased: 2, labelled: 40, skipped: 1 },
        item: Some(Item { review: hostile("review"), id: record.row.id, time: NOW, text }),
        token: "00ff".to_owned(),
        error: None,
    }
}

fn spend_view() -> SpendPage {
    let (from, to) = Range::Day.bounds(NOW);
    let paid = Spend { calls: 3, cost: NanoUsd(5_000_000), ..Spend::default() };
    let row = |name: &str| SplitRow { name: hostile(name), spend: paid.clone(), interactions: None };
    let standing = |budget: Option<u64>| Standing {
        period: "2026-11-24".to_owned(),
        start: from,
        now: NOW,
        end: to,
        balance: Balance { spent: NanoUsd(5_000_000), ..Balance::default() },
        budget: budget.map(NanoUsd),
        projection: Some(Projection { total: NanoUsd(9_000_000), used_up_at: Some(NOW) }),
    };
    let tenant = |name: String, change| TenantRow {
        name,
        today: NanoUsd(1),
        budget: Some(NanoUsd(0)),
        yesterday: NanoUsd(0),
        change,
        calls: 1,
    };
    let record = Record { reference_answers: 1, reference_list: NanoUsd(100), paid: NanoUsd(5), ..Record::default() };
    SpendPage {
        layout: layout(true),
        range: Range::Day,
        from,
        to,
        today: Some(TodayPanel {
            tenant: TenantName::new("shop").unwrap(),
            zone: "Europe/Berlin".to_owned(),
            day: standing(Some(6_000_000)),
            month: standing(None),
            platform: Some((standing(Some(0)), standing(Some(1)))),
            pace: 0.5,
            degradations: vec![DegradationRow { message: hostile("degradation"), since: from, last: NOW, count: 2 }],
        }),
        total: paid.clone(),
        interactions: 7,
        over_time: vec![(from, paid.clone())],
        by_metric: vec![row("spend_metric")],
        by_judge: vec![row("spend_judge")],
        by_tier: vec![row("spend_tier")],
        by_project: vec![row("spend_project"), row("another")],
        savings: SavingsPanel {
            savings: Savings::of(&record),
            left_out: NanoUsd(3),
            unknown: vec![hostile("unknown")],
            assumption: "Every question would have cost the mean.".to_owned(),
        },
        tenants: vec![tenant(hostile("tenant"), Some(0.5)), tenant("b".to_owned(), None)],
        simulated: true,
    }
}

fn pages() -> Vec<(&'static str, String, &'static [&'static str])> {
    let problem_view = Problem { status: 400, title: hostile("title"), what: hostile("what"), remedy: hostile("remedy") };
    vec![
        (
            "overview",
            overview::render(&overview_view(true)).into_string(),
            &[
                "question",
                "estimand",
                "reference_model",
                "note",
                "group",
                "reason_code",
                "spend_judge",
                "spend_metric",
                "counter",
                "counter_note",
            ],
        ),
        (
            "explore",
            explore::render(&explore_view()).into_string(),
            &["f_model", "f_score", "error", "suggestion", "id", "model", "input", "output"],
        ),
        (
            "interaction",
            interaction::render(&InteractionPage { layout: layout(true), record: record(true) }).into_string(),
            &[
                "id",
                "model",
                "system",
                "tool_name",
                "tool_result",
                "input",
                "output",
                "context",
                "reference",
                "tag_name",
                "tag_value",
                "conversation",
                "dimension",
                "dimension_value",
                "policy",
                "free_reason",
                "reference_version",
                "code",
                "message",
                "version",
                "label",
                "verdict_reason",
                "verdict_model",
                "call_id",
                "call_model",
                "call_error",
            ],
        ),
        (
            "review",
            review::render(&review_view()).into_string(),
            &["question", "review", "id", "system", "tool_name", "tool_result", "input", "output", "context", "reference"],
        ),
        (
            "draw",
            review::render(&ReviewPage { item: None, error: Some(hostile("error")), ..review_view() }).into_string(),
            &["question", "error"],
        ),
        (
            "spend",
            spend::render(&spend_view()).into_string(),
            &["spend_metric", "spend_judge", "spend_tier", "spend_project", "degradation", "unknown", "tenant"],
        ),
        ("login", login::render(&Login { next: hostile("next"), error: Some(hostile("error")) }).into_string(), &["error"]),
        ("problem", problem::render(&problem_view).into_string(), &["title", "what", "remedy"]),
    ]
}

/// `(name, value)` of every attribute, and the element that it belongs to. Maud always quotes with `"` and escapes it inside.
fn attributes(html: &str) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let element: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        rest = &rest[element.len()..];
        while !element.is_empty() && !rest.is_empty() && !rest.starts_with('>') {
            rest = rest.trim_start();
            let end = rest.find(['=', ' ', '>']).unwrap();
            let name = rest[..end].to_owned();
            rest = &rest[end..];
            let value = match rest.strip_prefix("=\"") {
                Some(after) => {
                    let close = after.find('"').unwrap();
                    rest = &after[close + 1..];
                    after[..close].to_owned()
                }
                None => String::new(),
            };
            all.push((element.clone(), name, value));
        }
    }
    all
}

#[test]
fn hostile_text_is_shown_and_stays_text() {
    for (page, html, fields) in pages() {
        for field in fields {
            assert!(html.contains(&format!("&lt;script&gt;{field}&lt;/script&gt;")), "{page}: {field} is not shown");
        }
        let own = html.matches("<script src=\"/assets/live-").count() + html.matches("<script src=\"/assets/review-").count();
        assert_eq!(html.matches("<script").count(), own, "{page} has a foreign script");
        assert!(!html.contains("<img"), "{page}");
        // In a form's value it must stay as it is, or sending the form again would change it; there it cannot turn other text.
        let turned: Vec<_> = html.match_indices('\u{202e}').map(|(at, _)| html[..at].rsplit_once('"').unwrap().0).collect();
        assert!(turned.iter().all(|before| before.ends_with("value=")), "{page} lets text turn its surroundings");
    }
}

#[test]
fn nothing_is_inline_and_links_stay_here() {
    for (page, html, _) in pages() {
        for (element, name, value) in attributes(&html) {
            assert!(name != "style" && !name.starts_with("on"), "{page}: <{element} {name}>");
            if matches!(name.as_str(), "href" | "src" | "action") {
                let local = (value.starts_with('/') && !value.starts_with("//")) || value.starts_with('#');
                assert!(local && value.bytes().all(|b| b.is_ascii_graphic()), "{page}: {name}={value}");
            }
            // A presentation attribute would be allowed, yet a value with text in it would not be ours.
            if name == "class" {
                assert!(value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'-')), "{page}: class {value}");
            }
        }
        assert!(!html.contains("<style"), "{page}");
    }
    let html = explore::render(&explore_view()).into_string();
    assert!(html.contains("href=\"/interactions/%22%27%3E%3Cscript%3Eid%3C%2Fscript%3E"), "{html}");
}

#[test]
fn ids_are_unique_and_live_fragments_can_be_found_again() {
    for (page, html, _) in pages() {
        let mut ids: Vec<String> =
            attributes(&html).into_iter().filter(|(_, name, _)| name == "id").map(|(_, _, value)| value).collect();
        let total = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), total, "{page} uses an id twice");
        for (_, name, value) in attributes(&html) {
            if matches!(name.as_str(), "aria-labelledby" | "aria-describedby" | "for") {
                assert!(ids.contains(&value), "{page}: {name}={value} leads nowhere");
            }
            if name == "href" && value.starts_with('#') {
                assert!(ids.iter().any(|id| id == &value[1..]), "{page}: {value} leads nowhere");
            }
        }
        for tag in html.split('<').filter(|tag| tag.split('>').next().unwrap().contains(" data-live")) {
            assert!(tag.contains(" id=\""), "{page}: <{tag}");
        }
    }
}

#[test]
fn simulated_verdicts_are_marked_where_they_show_and_only_there() {
    let badge = "class=\"badge simulated\"";
    // The banner, two panels, the spend.
    assert_eq!(overview::render(&overview_view(true)).into_string().matches(badge).count(), 4);
    assert_eq!(overview::render(&overview_view(false)).into_string().matches(badge).count(), 0);
    let page =
        |simulated| interaction::render(&InteractionPage { layout: layout(simulated), record: record(simulated) }).into_string();
    assert_eq!((page(true).matches(badge).count(), page(false).matches(badge).count()), (3, 0));
    assert!(explore::render(&explore_view()).into_string().contains("class=\"sim\""));
}

#[test]
fn the_overview_names_rate_interval_and_what_it_rests_on() {
    let html = overview::render(&overview_view(false)).into_string();
    for part in [
        "4.2\u{202f}%",
        "±\u{202f}0.8",
        "95\u{202f}%",
        "100 of 1,000",
        "98\u{202f}%",
        "gpt-4o",
        "$1.00",
        "3 calls",
        "Oldest",
        "4 given up",
    ] {
        assert!(html.contains(part), "{part}");
    }
    // Every outcome of every metric, one that is no longer configured too.
    for part in ["Judged: 90 (9.0\u{202f}%)", "Judge failed: 10 (1.0\u{202f}%)", "Waiting: 7", "Dropped: 4 (100\u{202f}%)"] {
        assert!(html.contains(part), "{part}");
    }
    assert!(html.contains("13 interactions (1.3\u{202f}%) came without text"));
    assert!(html.contains("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true"));
}

#[test]
fn a_newcomer_is_told_how_to_begin() {
    let html =
        overview::render(&Overview { outcomes: Outcomes::default(), without_text: 0, ..overview_view(false) }).into_string();
    for part in
        ["curl http://127.0.0.1:4318/v1/interactions", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318\n", "id=\"queue\""]
    {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("id=\"rates\""));
}

#[test]
fn an_interaction_without_text_says_why() {
    let page = |record| interaction::render(&InteractionPage { layout: layout(false), record }).into_string();
    assert!(page(InteractionRecord { payload: None, ..record(false) }).contains("The text is no longer kept"));
    let mut undrawn = InteractionRecord { payload: None, ..record(false) };
    undrawn.metrics.iter_mut().for_each(|metric| metric.decision.state = DecisionState::Closed(Outcome::NotSampled, None));
    let undrawn = page(undrawn);
    assert!(undrawn.contains("The text was not kept: no metric drew this interaction"));
    let mut silent = record(false);
    silent.row.flags.no_content = true;
    silent.payload = None;
    assert!(page(silent).contains("It came without text"));
}

#[test]
fn a_page_that_waits_follows_events_and_a_finished_one_does_not() {
    let page = |record| interaction::render(&InteractionPage { layout: layout(false), record }).into_string();
    let mut done = record(false);
    done.metrics.retain(|metric| metric.outcome.is_some());
    assert!(page(record(false)).contains("data-events=\"/events?project=shop\""));
    assert!(!page(done).contains("data-events"));
    let first = Explore { filters: Filters::default(), ..explore_view() };
    assert!(explore::render(&first).into_string().contains("data-live"));
    assert!(!explore::render(&explore_view()).into_string().contains("data-live"), "an older page would shift while it is read");
}

#[test]
fn a_free_metric_has_its_free_score_as_verdict() {
    let mut free = metric_record("refusal", Some(Outcome::Judged), false);
    assert_eq!(explore::reference_score(&free), Some(0.875), "a called reference judge has the last word");
    free.verdicts.clear();
    assert_eq!(explore::reference_score(&free), None, "a free score is not the verdict of a called judge");
    free.decision.state = DecisionState::Closed(Outcome::Judged, None);
    assert_eq!(explore::reference_score(&free), Some(0.25));
    let failed = metric_record("refusal", Some(Outcome::JudgeFailed), false);
    assert_eq!(explore::reference_score(&failed), None, "a cheap verdict is not the reference's");
}

#[test]
fn a_review_shows_the_text_and_nothing_that_a_judge_said() {
    let html = review::render(&review_view()).into_string();
    for part in
        ["40 of 100 labelled", "1 skipped", "2 in hand", "value=\"yes\"", "value=\"no\"", "value=\"skip\"", "name=\"token\""]
    {
        assert!(html.contains(part), "{part}");
    }
    let record = record(true);
    for metric in &record.metrics {
        let verdicts = metric.verdicts.iter().flat_map(|verdict| [verdict.reason.as_str(), verdict.version.as_str()]);
        for said in verdicts.chain(metric.decision.scores.iter().map(|tier| tier.reason.as_str())) {
            let marker = said.split('>').nth(2).and_then(|part| part.split('<').next()).unwrap();
            assert!(!html.contains(&format!("{marker}&lt;")), "{marker} is shown");
        }
    }
    // No way leads to where it stands either.
    assert!(!html.contains("/interactions/") && !html.contains("0.88"), "{html}");
    let empty = review::render(&ReviewPage { item: None, progress: Progress::default(), ..review_view() }).into_string();
    assert!(empty.contains("Nothing was drawn yet") && empty.contains("action=\"/review/draw?project=shop\""));
}

//! What every store of labels must do.

use std::sync::Arc;
use std::time::Duration;

use assize_core::label::FEEDBACK_MAX;
use assize_core::labels::{DrawnLabel, FeedbackFilter, Kept, LabelFilter, Labels, Progress};
use assize_core::{
    Feedback, FeedbackValue, Label, Review, ReviewItem, ReviewState, Reviewer, RowKey, ScoreName, Source, StoreErrorKind,
    Stratum, Timestamp,
};

use super::Opener;
use crate::samples::{MORNING, id, metric, project, version};

const LEASE: Duration = Duration::from_secs(600);

/// Runs the whole suite.
pub async fn run(opener: &dyn Opener<dyn Labels>) {
    items_are_leased_one_by_one(opener).await;
    drawing_again_keeps_what_is_there(opener).await;
    skipped_items_do_not_come_again(opener).await;
    labels_are_replaced_by_the_same_person_only(opener).await;
    labels_are_listed_by_filter(opener).await;
    feedback_is_kept_once(opener).await;
    projects_do_not_see_each_other(opener).await;
}

async fn open(opener: &dyn Opener<dyn Labels>, data: &str) -> Arc<dyn Labels> {
    opener.open(data).await.expect("the store opens")
}

fn reviewer(name: &str) -> Reviewer {
    Reviewer::new(name).expect("a valid name")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(MORNING.0 + seconds * 1_000)
}

fn review(review_id: &str, project_name: &str) -> Review {
    Review {
        id: review_id.to_owned(),
        project: project(project_name),
        metric: metric("refusal"),
        from: MORNING,
        to: at(100),
        n: 4,
        stratified: true,
        by: reviewer("ann"),
        at: at(200),
        strata: vec![Stratum {
            judge_version: version("gpt-4o"),
            low: 0.0,
            high: 2.0,
            population: 40,
            drawn: 4,
            probability: 0.1 + 0.2,
        }],
    }
}

/// The `i`-th of a draw: its place in the queue goes down as `i` goes up.
fn item(review_id: &str, project_name: &str, i: u32, probability: f64) -> ReviewItem {
    let (project, id) = (project(project_name), id(&format!("i-{i}")));
    ReviewItem {
        review: review_id.to_owned(),
        key: RowKey::of(&project, &id),
        project,
        metric: metric("refusal"),
        id,
        time: at(i64::from(i)),
        probability,
        judge_version: version("gpt-4o"),
        judge_score: f64::from(i) / 10.0,
        place: 1.0 - f64::from(i + 1) / 100.0,
        state: ReviewState::Open,
        holder: None,
    }
}

fn label(item: &ReviewItem, by: &str, score: f64, source: Source) -> Label {
    Label {
        project: item.project.clone(),
        key: item.key,
        id: item.id.clone(),
        time: item.time,
        metric: item.metric.clone(),
        score,
        note: "so \"it\" is".to_owned(),
        by: reviewer(by),
        source,
        at: at(300),
    }
}

fn reviewed(item: &ReviewItem) -> Source {
    Source::Review {
        review: item.review.clone(),
        probability: item.probability,
        judge_version: item.judge_version.clone(),
        judge_score: item.judge_score,
    }
}

async fn draw(labels: &dyn Labels, review_id: &str, project_name: &str, n: u32) -> Vec<ReviewItem> {
    let items: Vec<_> = (0..n).map(|i| item(review_id, project_name, i, 0.25)).collect();
    labels.put_review(&review(review_id, project_name), &items).await.expect("put");
    items
}

async fn next(labels: &dyn Labels, by: &str, now: Timestamp) -> Option<ReviewItem> {
    labels.next(&project("p"), &metric("refusal"), &reviewer(by), now, LEASE).await.expect("leased")
}

async fn progress(labels: &dyn Labels, now: Timestamp) -> Progress {
    let all = labels.progress(&project("p"), now).await.expect("counted");
    all.into_iter().find(|(name, _)| *name == metric("refusal")).map(|(_, progress)| progress).unwrap_or_default()
}

fn everything() -> LabelFilter {
    LabelFilter {
        project: project("p"),
        metric: None,
        id: None,
        source: None,
        from: None,
        to: None,
        score_min: None,
        score_below: None,
        cursor: None,
        limit: 1_000,
    }
}

async fn items_are_leased_one_by_one(opener: &dyn Opener<dyn Labels>) {
    let mut labels = open(opener, "leases").await;
    assert_eq!(next(&*labels, "ann", at(200)).await, None);
    let items = draw(&*labels, "r", "p", 3).await;
    let first = next(&*labels, "ann", at(200)).await.expect("one");
    let until = at(200).plus(LEASE);
    let held = ReviewState::Leased { by: reviewer("ann"), until };
    assert_eq!(first, ReviewItem { state: held, holder: Some(reviewer("ann")), ..items[2].clone() }, "in order of place");
    assert_eq!(next(&*labels, "ann", at(201)).await.expect("the same again").id, first.id);
    let second = next(&*labels, "bob", at(201)).await.expect("another");
    assert_eq!(second.id, items[1].id);
    assert_eq!(progress(&*labels, at(202)).await, Progress { drawn: 3, open: 1, leased: 2, ..Progress::default() });
    if opener.is_durable() {
        drop(labels);
        labels = open(opener, "leases").await;
    }
    labels.put(&[label(&first, "ann", 1.0, reviewed(&first))]).await.expect("put");
    let third = next(&*labels, "ann", at(203)).await.expect("the last");
    assert_eq!(third.id, items[0].id);
    assert_eq!(next(&*labels, "cid", at(204)).await, None, "all are in somebody's hands");
    assert_eq!(progress(&*labels, at(204)).await, Progress { drawn: 3, leased: 2, labelled: 1, ..Progress::default() });
    // A lease that ended is open to anybody.
    let late = at(201).plus(LEASE).plus(Duration::from_secs(1));
    assert_eq!(next(&*labels, "cid", late).await.expect("bob's").id, second.id);
    assert_eq!(
        labels.item(&project("p"), &metric("refusal"), first.key, late).await.expect("read").expect("there").state,
        ReviewState::Labelled
    );
    assert_eq!(labels.item(&project("p"), &metric("tone"), first.key, late).await.expect("read"), None);
}

async fn drawing_again_keeps_what_is_there(opener: &dyn Opener<dyn Labels>) {
    let labels = open(opener, "again").await;
    let items = draw(&*labels, "r", "p", 2).await;
    labels.put(&[label(&items[0], "ann", 0.0, reviewed(&items[0]))]).await.expect("put");
    let more: Vec<_> = (0..4).map(|i| item("s", "p", i, if i == 1 { 0.1 } else { 0.5 })).collect();
    assert_eq!(labels.put_review(&review("s", "p"), &more).await.expect("put"), 2);
    let now = at(400);
    let state =
        async |i: usize| labels.item(&project("p"), &metric("refusal"), more[i].key, now).await.expect("read").expect("there");
    let first = state(0).await;
    assert_eq!((first.state, first.probability, first.review.as_str()), (ReviewState::Labelled, 0.5, "r"));
    assert_eq!((state(1).await.probability, state(3).await.review.as_str()), (0.25, "s"), "the higher one stays");
    let reviews = labels.reviews(&project("p"), Some(&metric("refusal"))).await.expect("listed");
    assert_eq!(reviews, [review("s", "p"), review("r", "p")]);
    assert!(labels.reviews(&project("p"), Some(&metric("tone"))).await.expect("listed").is_empty());
    assert!(labels.put_review(&review("s", "p"), &[]).await.is_err(), "an id is used once");
    let drawn = labels.drawn(&project("p"), &metric("refusal"), at(0), at(2)).await.expect("read");
    let human = |key| drawn.iter().find(|one: &&DrawnLabel| one.key == key).map(|one| one.human);
    assert_eq!((drawn.len(), human(items[0].key), human(items[1].key)), (2, Some(Some(0.0)), Some(None)));
}

async fn skipped_items_do_not_come_again(opener: &dyn Opener<dyn Labels>) {
    let labels = open(opener, "skips").await;
    let items = draw(&*labels, "r", "p", 1).await;
    let (p, m) = (project("p"), metric("refusal"));
    assert!(labels.skip(&p, &m, items[0].key, "in Klingon").await.expect("skipped"));
    assert!(!labels.skip(&p, &metric("tone"), items[0].key, "").await.expect("none"));
    assert_eq!(next(&*labels, "ann", at(200)).await, None);
    let skipped = labels.item(&p, &m, items[0].key, at(200)).await.expect("read").expect("there");
    assert_eq!(skipped.state, ReviewState::Skipped { reason: "in Klingon".to_owned() });
    assert_eq!(progress(&*labels, at(200)).await, Progress { drawn: 1, skipped: 1, ..Progress::default() });
    labels.put(&[label(&items[0], "ann", 1.0, reviewed(&items[0]))]).await.expect("put");
    assert!(!labels.skip(&p, &m, items[0].key, "").await.expect("labelled"), "what has a label is not skipped");
}

async fn labels_are_replaced_by_the_same_person_only(opener: &dyn Opener<dyn Labels>) {
    let mut labels = open(opener, "labels").await;
    let items = draw(&*labels, "r", "p", 2).await;
    let ann = label(&items[0], "ann", 1.0, reviewed(&items[0]));
    let bob = label(&items[0], "bob", 0.5, reviewed(&items[0]));
    let picked = label(&items[0], "ann", 0.25, Source::HandPicked);
    labels.put(&[ann.clone(), bob.clone(), picked.clone()]).await.expect("put");
    labels.put(&[Label { score: 0.0, at: at(400), ..ann.clone() }]).await.expect("put");
    if opener.is_durable() {
        drop(labels);
        labels = open(opener, "labels").await;
    }
    let all = labels.list(&everything()).await.expect("listed");
    assert_eq!(all.items, [picked, bob, Label { score: 0.0, at: at(400), ..ann }]);
    assert_eq!(all.next, None);
    // The mean of the reviewers; what was picked by hand is no part of it.
    let drawn = labels.drawn(&project("p"), &metric("refusal"), at(0), at(1)).await.expect("read");
    assert_eq!(drawn, [DrawnLabel { key: items[0].key, human: Some(0.25) }]);
}

async fn labels_are_listed_by_filter(opener: &dyn Opener<dyn Labels>) {
    let labels = open(opener, "list").await;
    let items: Vec<_> = (0..9).map(|i| item("r", "p", i, 0.5)).collect();
    let given: Vec<_> = items.iter().map(|item| label(item, "ann", item.judge_score, Source::File)).collect();
    labels.put(&given).await.expect("put");
    let ids = async |filter: LabelFilter| -> Vec<String> {
        labels.list(&filter).await.expect("listed").items.iter().map(|label| label.id.to_string()).collect()
    };
    let cases: Vec<(LabelFilter, &[&str])> = vec![
        (LabelFilter { metric: Some(metric("tone")), ..everything() }, &[]),
        (LabelFilter { source: Some("review".to_owned()), ..everything() }, &[]),
        (LabelFilter { id: Some(id("i-3")), source: Some("file".to_owned()), ..everything() }, &["i-3"]),
        (LabelFilter { from: Some(at(2)), to: Some(at(4)), ..everything() }, &["i-3", "i-2"]),
        (LabelFilter { score_min: Some(0.7), ..everything() }, &["i-8", "i-7"]),
        (LabelFilter { score_below: Some(0.1), ..everything() }, &["i-0"]),
    ];
    for (filter, expected) in cases {
        assert_eq!(ids(filter.clone()).await, expected, "{filter:?}");
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = labels.list(&LabelFilter { limit: 4, cursor, ..everything() }).await.expect("listed");
        assert!(page.items.len() <= 4);
        seen.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, given.into_iter().rev().collect::<Vec<_>>());
    let bad = LabelFilter { cursor: Some("💥".to_owned()), ..everything() };
    assert_eq!(labels.list(&bad).await.expect_err("a bad cursor").kind, StoreErrorKind::Invalid);
}

fn feedback(interaction: &str, feedback_id: &str, value: FeedbackValue) -> Feedback {
    Feedback {
        project: project("p"),
        interaction: id(interaction),
        name: ScoreName::new("thumbs").expect("a valid name"),
        id: feedback_id.to_owned(),
        value,
        comment: "gut".to_owned(),
        at: at(1),
    }
}

async fn feedback_is_kept_once(opener: &dyn Opener<dyn Labels>) {
    let labels = open(opener, "feedback").await;
    let first = feedback("a", "", FeedbackValue::Boolean(true));
    let second = feedback("a", "1", FeedbackValue::Category("fine".to_owned()));
    let third = feedback("b", "", FeedbackValue::Number(-2.5));
    let kept = labels.put_feedback(&[first.clone(), second.clone(), third.clone(), first.clone()]).await.expect("put");
    assert_eq!(kept, [Kept::New, Kept::New, Kept::New, Kept::Replaced]);
    let changed = Feedback { value: FeedbackValue::Boolean(false), at: at(2), ..first };
    assert_eq!(labels.put_feedback(std::slice::from_ref(&changed)).await.expect("put"), [Kept::Replaced]);
    let everything =
        FeedbackFilter { project: project("p"), interaction: None, name: None, from: None, to: None, cursor: None, limit: 1_000 };
    let all = labels.feedback(&everything).await.expect("listed").items;
    assert_eq!(all, [third, second.clone(), changed.clone()]);
    let of_a = FeedbackFilter { interaction: Some(id("a")), limit: 1, ..everything.clone() };
    let page = labels.feedback(&of_a).await.expect("listed");
    assert_eq!(page.items, [second]);
    let rest = labels.feedback(&FeedbackFilter { cursor: page.next, from: Some(at(2)), ..of_a }).await.expect("listed");
    assert_eq!(rest.items, [changed]);
    let many: Vec<_> = (0..=FEEDBACK_MAX).map(|i| feedback("c", &i.to_string(), FeedbackValue::Boolean(true))).collect();
    let kept = labels.put_feedback(&many).await.expect("put");
    assert_eq!((kept[FEEDBACK_MAX - 1], kept[FEEDBACK_MAX]), (Kept::New, Kept::TooMany));
}

async fn projects_do_not_see_each_other(opener: &dyn Opener<dyn Labels>) {
    let labels = open(opener, "projects").await;
    let items = draw(&*labels, "r", "q", 2).await;
    labels.put(&[label(&items[0], "ann", 1.0, reviewed(&items[0]))]).await.expect("put");
    let theirs = Feedback { project: project("q"), ..feedback("a", "", FeedbackValue::Boolean(true)) };
    labels.put_feedback(&[theirs]).await.expect("put");
    let (p, m) = (project("p"), metric("refusal"));
    assert_eq!(next(&*labels, "ann", at(500)).await, None);
    assert_eq!(labels.item(&p, &m, items[1].key, at(500)).await.expect("read"), None);
    assert!(!labels.skip(&p, &m, items[1].key, "").await.expect("none"));
    assert!(labels.reviews(&p, None).await.expect("listed").is_empty());
    assert!(labels.progress(&p, at(500)).await.expect("counted").is_empty());
    assert!(labels.list(&everything()).await.expect("listed").items.is_empty());
    assert!(labels.list(&LabelFilter { id: Some(id("i-0")), ..everything() }).await.expect("listed").items.is_empty());
    assert!(labels.drawn(&p, &m, at(0), at(10)).await.expect("read").is_empty());
    let filter =
        FeedbackFilter { project: p, interaction: Some(id("a")), name: None, from: None, to: None, cursor: None, limit: 10 };
    assert!(labels.feedback(&filter).await.expect("listed").items.is_empty());
}

//! `/v1/spend/savings`: what judging everything with the reference judge would have cost, and what brought that down to what was paid.

use std::collections::BTreeMap;
use std::sync::Arc;

use assize_core::results::Spend;
use assize_core::savings::{Record, Savings, Step};
use assize_core::{AskedAs, NanoUsd, ProjectName, StoreError, Timestamp};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::csv::{self, Cell};
use super::scope::SpendScope;
use super::{GroupBy, SpendBy};
use crate::api::Server;
use crate::api::auth::Reader;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::params::{Params, range, whole_hours};

/// Which range, of which projects.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SavingsParams {
    /// The project; the key's own where not given.
    pub project: Option<String>,
    /// All projects of this tenant: for admins.
    pub tenant: Option<String>,
    /// All projects of all tenants: for admins.
    pub all: Option<bool>,
    /// At or after this time, to the hour, RFC 3339.
    pub from: Option<String>,
    /// Before this time, to the hour, RFC 3339.
    pub to: Option<String>,
    /// `json` or `csv`; what `Accept` says where not given.
    pub format: Option<String>,
}

/// From what judging everything would have cost down to what was paid.
#[derive(Debug, Serialize, ToSchema)]
pub struct SavingsBody {
    pub from: String,
    pub to: String,
    /// What the numbers rest on.
    pub assumption: String,
    /// The way down; null where no reference judge has answered in the range, so that nobody knows what it would have cost.
    pub savings: Option<SavingsView>,
    /// Paid in the range and not part of it: studies beside the flow, and metrics of which nobody knows what everything would have cost.
    pub left_out_usd: f64,
    /// The same in billionths of a dollar.
    pub left_out_nano_usd: u64,
    /// Each metric by itself. Of the same name in several projects, together.
    pub metrics: Vec<MetricSavingsView>,
    /// Metrics whose reference judge runs at accept and is free, or has not answered in the range: of these nobody knows.
    pub unknown: Vec<String>,
}

/// The way down.
#[derive(Debug, Serialize, ToSchema)]
pub struct SavingsView {
    /// Interactions with content, once for each metric that was asked about them.
    pub questions: u64,
    /// Answers of reference judges behind the mean cost of one.
    pub answers: u64,
    pub everything_usd: f64,
    pub everything_nano_usd: i64,
    /// `everything` less these is `paid`, to the billionth of a dollar.
    pub steps: Vec<StepView>,
    pub paid_usd: f64,
    pub paid_nano_usd: i64,
    /// The sum of the steps that are ways to pay less for the same number.
    pub saved_usd: f64,
    pub saved_nano_usd: i64,
}

/// One step down.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepView {
    /// `sampling`, `cascade`, `exact_cache`, `similar_cache`, `over_budget`, `not_judged`, `failed_tries`, `other_calls`, `timing`,
    /// `prompt_cache` or `batch`.
    pub step: String,
    /// The questions that it is about, where it is about whole ones.
    pub questions: Option<u64>,
    /// Negative where it cost more.
    pub saved_usd: f64,
    pub saved_nano_usd: i64,
    /// Whether it is a way to pay less for the same number. What was left undone is none: less was paid, and less is known.
    pub is_saving: bool,
}

/// A metric's own way, in short.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetricSavingsView {
    pub metric: String,
    pub questions: u64,
    pub answers: u64,
    pub everything_usd: f64,
    pub paid_usd: f64,
}

/// What is known of savings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// All metrics together; `None` where nobody knows.
    pub total: Option<Savings>,
    pub metrics: BTreeMap<String, Savings>,
    pub unknown: Vec<String>,
    pub left_out: NanoUsd,
}

/// What the numbers rest on, in a sentence.
pub const ASSUMPTION: &str = "Every question would have cost what the reference judge's answered questions of the same metric in this \
     range would have cost on average, asked live and without the prompt cache, at list price. Records from before this was noted \
     count in no mean.";

/// What is known of the savings of projects in [from, to).
pub async fn known(server: &Server, projects: &[ProjectName], from: Timestamp, to: Timestamp) -> Result<Known, StoreError> {
    let mut known = Known::default();
    let mut unknown = std::collections::BTreeSet::new();
    for project in projects {
        let outcomes = server.results.outcomes(project, from, to).await?;
        let spend = server.results.spend_by_place(project, from, to).await?;
        let mut records: BTreeMap<String, Record> = BTreeMap::new();
        for count in &outcomes.counts {
            let record = records.entry(count.metric.to_string()).or_default();
            record.ended.add(count.outcome, &count.reason, count.count);
        }
        for ((metric, asked_as), spend) in &spend {
            match records.get_mut(metric).filter(|_| *asked_as != AskedAs::Study) {
                Some(record) => add(record, *asked_as, spend),
                None => known.left_out = known.left_out.plus(spend.cost),
            }
        }
        for (metric, record) in records {
            match Savings::of(&record) {
                Some(savings) => {
                    known.total.get_or_insert_default().add(&savings);
                    known.metrics.entry(metric).or_default().add(&savings);
                }
                None => {
                    known.left_out = known.left_out.plus(record.paid);
                    unknown.insert(metric);
                }
            }
        }
    }
    known.unknown = unknown.into_iter().filter(|metric| !known.metrics.contains_key(metric)).collect();
    Ok(known)
}

fn add(record: &mut Record, asked_as: AskedAs, spend: &Spend) {
    record.live = record.live.plus(spend.live);
    record.paid = record.paid.plus(spend.cost);
    match asked_as {
        AskedAs::Reference => {
            record.reference_answers = record.reference_answers.saturating_add(spend.listed);
            record.reference_list = record.reference_list.plus(spend.uncached_listed);
            let others = NanoUsd(spend.uncached.0.saturating_sub(spend.uncached_listed.0));
            record.reference_other_list = record.reference_other_list.plus(others);
        }
        AskedAs::Cheaper => record.cheaper_list = record.cheaper_list.plus(spend.uncached),
        AskedAs::Fallback | AskedAs::Study | AskedAs::Unknown => record.other_list = record.other_list.plus(spend.uncached),
    }
}

/// Billionths of a dollar as the wire has them: what no 64 bits hold is cut off.
fn nano(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}

fn usd(amount: i128) -> f64 {
    amount as f64 / 1e9
}

impl SavingsView {
    fn new(savings: &Savings) -> Self {
        let step = |step: &Step| StepView {
            step: step.lever.as_str().to_owned(),
            questions: step.questions,
            saved_usd: usd(step.saved),
            saved_nano_usd: nano(step.saved),
            is_saving: step.lever.is_saving(),
        };
        Self {
            questions: savings.questions,
            answers: savings.answers,
            everything_usd: usd(savings.everything),
            everything_nano_usd: nano(savings.everything),
            steps: savings.steps.iter().map(step).collect(),
            paid_usd: usd(savings.paid),
            paid_nano_usd: nano(savings.paid),
            saved_usd: usd(savings.saved()),
            saved_nano_usd: nano(savings.saved()),
        }
    }
}

/// What judging everything with the reference judge would have cost, and what was saved by what.
#[utoipa::path(get, path = "/v1/spend/savings", operation_id = "show_savings", tag = "results", params(SavingsParams),
    responses((status = 200, description = "As JSON, or the steps as CSV (RFC 4180)", content((SavingsBody = "application/json"), (String = "text/csv"))),
        (status = 400, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn show(
    State(server): State<Arc<Server>>,
    Reader(who): Reader,
    headers: HeaderMap,
    Params(params): Params<SavingsParams>,
) -> Result<Response, ApiError> {
    let as_csv = csv::is_wanted(params.format.as_deref(), &headers)?;
    let all = params.all.unwrap_or(false);
    let scope = SpendScope::of(&server, &who, params.project.as_deref(), params.tenant.as_deref(), all)?;
    scope.allows(&who, GroupBy::Within(SpendBy::Metric))?;
    let (from, to) = range(params.from.as_deref(), params.to.as_deref(), server.clock().now())?;
    let (from, to) = whole_hours(from, to);
    let known = known(&server, &scope.projects, from, to).await?;
    let metric = |(metric, savings): (&String, &Savings)| MetricSavingsView {
        metric: metric.clone(),
        questions: savings.questions,
        answers: savings.answers,
        everything_usd: usd(savings.everything),
        paid_usd: usd(savings.paid),
    };
    let body = SavingsBody {
        from: from.to_rfc3339(),
        to: to.to_rfc3339(),
        assumption: ASSUMPTION.to_owned(),
        savings: known.total.as_ref().map(SavingsView::new),
        left_out_usd: known.left_out.to_usd(),
        left_out_nano_usd: known.left_out.0,
        metrics: known.metrics.iter().map(metric).collect(),
        unknown: known.unknown,
    };
    Ok(if as_csv { csv::answer("savings", &table(body.savings.as_ref())) } else { Json(body).into_response() })
}

/// The way down as a table.
fn table(savings: Option<&SavingsView>) -> Vec<Vec<Cell>> {
    let text = |text: &str| Cell::Text(text.to_owned());
    let mut rows = vec![vec![text("step"), text("questions"), text("usd")]];
    if let Some(savings) = savings {
        rows.push(vec![text("everything"), Cell::from(savings.questions), Cell::usd(Some(savings.everything_usd))]);
        rows.extend(savings.steps.iter().map(|step| {
            let questions = step.questions.map_or(Cell::Number(String::new()), Cell::from);
            vec![text(&step.step), questions, Cell::usd(Some(-step.saved_usd))]
        }));
        rows.push(vec![text("paid"), Cell::Number(String::new()), Cell::usd(Some(savings.paid_usd))]);
    }
    rows
}

//! Query parameters: read leniently, refused clearly.

use std::time::Duration;

use assize_core::results::Filter;
use assize_core::{Dimension, JudgeName, MetricName, Outcome, ProjectName, Timestamp};
use axum::extract::FromRequestParts;
use axum::extract::{Path, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::error::ApiError;

/// Query parameters whose errors are answered like all others.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(params)| Self(params)).map_err(|error| invalid("the query", error.body_text()))
    }
}

/// Segments of the path whose errors, such as a `%FF` that is no UTF-8, are answered like all others.
pub struct Segments<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(segments)| Self(segments)).map_err(|error| invalid("the path", error.body_text()))
    }
}

/// A parameter that cannot be used.
pub fn invalid(name: &str, why: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request("invalid_parameter", format!("{name}: {why}"))
}

/// The range [from, to): RFC 3339, the last 7 days by default.
pub fn range(from: Option<&str>, to: Option<&str>, now: Timestamp) -> Result<(Timestamp, Timestamp), ApiError> {
    let parse = |name: &str, text: Option<&str>| match text {
        Some(text) if !text.is_empty() => {
            Timestamp::parse(&text.replace(' ', "+")).map(Some).map_err(|error| invalid(name, error))
        }
        _ => Ok(None),
    };
    // An interaction may claim to be up to five minutes ahead: the default range reaches over it.
    let to = parse("to", to)?.unwrap_or(now.plus(assize_core::time::EVENT_TIME_FUTURE_MAX + Duration::from_secs(1)));
    let from = parse("from", from)?.unwrap_or(to.minus(Duration::from_secs(7 * 86_400)));
    if from >= to {
        return Err(invalid("from", format!("{} is not before {}", from.to_rfc3339(), to.to_rfc3339())));
    }
    Ok((from, to))
}

/// A time, RFC 3339, where it is given.
pub fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    let given = text.filter(|text| !text.is_empty()).map(|text| Timestamp::parse(&text.replace(' ', "+")));
    given.transpose().map_err(|error| invalid(name, error))
}

/// How many items of a page: 100 where not given.
pub fn limit(given: Option<usize>) -> Result<usize, ApiError> {
    let limit = given.unwrap_or(100);
    if (1..=1_000).contains(&limit) { Ok(limit) } else { Err(invalid("limit", format!("{limit} is not within 1 to 1000"))) }
}

/// The range widened to whole hours, for what is counted by the hour.
pub fn whole_hours(from: Timestamp, to: Timestamp) -> (Timestamp, Timestamp) {
    let up = Timestamp(to.0.saturating_add(3_599_999)).hour().start();
    (from.hour().start(), up)
}

/// A metric's name.
pub fn metric(text: &str) -> Result<MetricName, ApiError> {
    MetricName::new(text).map_err(|error| invalid("metric", error))
}

/// What listings can be narrowed to.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// The project; the key's own where not given.
    pub project: Option<String>,
    /// Of this metric only.
    pub metric: Option<String>,
    /// By this judge only.
    pub judge: Option<String>,
    /// With this outcome only, such as `judge_failed`.
    pub outcome: Option<String>,
    /// Of this model only.
    pub model: Option<String>,
    /// At or after this time, RFC 3339.
    pub from: Option<String>,
    /// Before this time, RFC 3339.
    pub to: Option<String>,
    /// Score at least this.
    pub score_min: Option<f64>,
    /// Score at most this.
    pub score_max: Option<f64>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// At most this many, 1 to 1,000; 100 where not given.
    pub limit: Option<usize>,
}

impl ListParams {
    /// The filter within `project`. Empty parameters, as forms send them, count as not given.
    pub fn filter(&self, project: ProjectName) -> Result<Filter, ApiError> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let limit = limit(self.limit)?;
        Ok(Filter {
            project,
            metric: given(&self.metric).map(|name| metric(&name)).transpose()?,
            judge: given(&self.judge).map(|name| JudgeName::new(&name)).transpose().map_err(|error| invalid("judge", error))?,
            outcome: given(&self.outcome)
                .map(|text| text.parse::<Outcome>())
                .transpose()
                .map_err(|error| invalid("outcome", error))?,
            dimension: given(&self.model).map(|model| (Dimension::Model, model)),
            from: time("from", self.from.as_deref())?,
            to: time("to", self.to.as_deref())?,
            score_min: self.score_min,
            score_max: self.score_max,
            cursor: given(&self.cursor),
            limit,
        })
    }
}

//! What narrows the list of interactions: the page's parameters, and how they become a filter of the results port.

use assize_core::results::Filter;
use assize_core::{Dimension, MetricName, Outcome, ProjectName, Timestamp};
use serde::Deserialize;

use crate::ui::link::Href;

/// The parameters of the page, as they came in. All may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Filters {
    /// Name of the project.
    pub project: String,
    /// Name of a metric.
    pub metric: String,
    /// An outcome, as [`Outcome::as_str`] spells it.
    pub outcome: String,
    /// The model that answered, exactly.
    pub model: String,
    /// Least score, in [0, 1].
    pub score_min: String,
    /// Largest score, in [0, 1].
    pub score_max: String,
    /// First instant: RFC 3339, or a local date and time, which is taken for UTC.
    pub from: String,
    /// End, exclusive.
    pub to: String,
    /// Where the page begins.
    pub cursor: String,
}

impl Filters {
    /// The filter of the results port. The error names the field and says what it takes.
    pub fn resolve(&self, project: &ProjectName, limit: usize) -> Result<Filter, String> {
        let given = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let score = |name: &str, text: &str| match given(text) {
            None => Ok(None),
            Some(text) => match text.parse::<f64>() {
                Ok(score) if (0.0..=1.0).contains(&score) => Ok(Some(score)),
                _ => Err(format!("{name}: {text:?} is not a score; use a number from 0 to 1")),
            },
        };
        let time = |name: &str, text: &str| match given(text) {
            None => Ok(None),
            Some(text) => parse_utc(&text)
                .map(Some)
                .ok_or_else(|| format!("{name}: {text:?} is not a time; use a form such as 2026-11-24T09:30, in UTC")),
        };
        let (score_min, score_max) = (score("Score from", &self.score_min)?, score("Score to", &self.score_max)?);
        let (from, to) = (time("From", &self.from)?, time("To", &self.to)?);
        if let (Some(min), Some(max)) = (score_min, score_max)
            && min > max
        {
            return Err(format!("Score: nothing lies from {min} to {max}; the first must not be larger"));
        }
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            return Err("From must be earlier than To".to_owned());
        }
        Ok(Filter {
            project: project.clone(),
            metric: given(&self.metric).map(|name| MetricName::new(&name).map_err(|e| format!("Metric: {e}"))).transpose()?,
            judge: None,
            outcome: given(&self.outcome).map(|text| text.parse::<Outcome>().map_err(|e| format!("Outcome: {e}"))).transpose()?,
            dimension: given(&self.model).map(|model| (Dimension::Model, model)),
            from,
            to,
            score_min,
            score_max,
            cursor: given(&self.cursor),
            limit,
        })
    }

    /// Whether anything narrows the list.
    pub fn is_narrowed(&self) -> bool {
        [&self.metric, &self.outcome, &self.model, &self.score_min, &self.score_max, &self.from, &self.to]
            .into_iter()
            .any(|text| !text.trim().is_empty())
    }

    /// The address of the page that begins at `cursor`, with the same filters.
    pub fn href(&self, project: &ProjectName, cursor: &str) -> String {
        Href::new("/explore")
            .with("project", project.as_str())
            .with("metric", &self.metric)
            .with("outcome", &self.outcome)
            .with("model", &self.model)
            .with("score_min", &self.score_min)
            .with("score_max", &self.score_max)
            .with("from", &self.from)
            .with("to", &self.to)
            .with("cursor", cursor)
            .build()
    }
}

/// An instant as RFC 3339, or a date with or without a time, in UTC.
pub(super) fn parse_utc(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).ok().or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        Some(Timestamp(jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?.as_millisecond()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(change: impl Fn(&mut Filters)) -> Result<Filter, String> {
        let mut filters = Filters::default();
        change(&mut filters);
        filters.resolve(&ProjectName::new("p").unwrap(), 50)
    }

    #[test]
    fn filters_are_read_and_refusals_name_the_field() {
        let filter = resolve(|f| {
            f.metric = "refusal".into();
            f.outcome = "judged".into();
            f.model = "a/b".into();
            f.score_min = "0.5".into();
            f.from = "2026-11-24T09:30".into();
            f.to = "2026-11-25T00:00:00Z".into();
        })
        .unwrap();
        assert_eq!(filter.from.unwrap().to_rfc3339(), "2026-11-24T09:30:00.000Z");
        assert_eq!(filter.to.unwrap().to_rfc3339(), "2026-11-25T00:00:00.000Z");
        assert_eq!((filter.score_min, filter.score_max, filter.outcome), (Some(0.5), None, Some(Outcome::Judged)));
        assert_eq!(filter.dimension, Some((Dimension::Model, "a/b".into())));
        assert_eq!(resolve(|f| f.from = "2026-11-24".into()).unwrap().from.unwrap().to_rfc3339(), "2026-11-24T00:00:00.000Z");
        assert_eq!(resolve(|f| f.metric = "  ".into()).unwrap().metric, None);
        let refused = |change: fn(&mut Filters), field: &str| assert!(resolve(change).unwrap_err().starts_with(field), "{field}");
        refused(|f| f.score_min = "NaN".into(), "Score from");
        refused(|f| f.score_max = "1.5".into(), "Score to");
        refused(|f| f.from = "yesterday".into(), "From");
        refused(|f| f.to = "x".into(), "To");
        refused(|f| f.metric = "a b".into(), "Metric");
        refused(|f| f.outcome = "lost".into(), "Outcome");
        refused(|f| (f.score_min, f.score_max) = ("0.9".into(), "0.1".into()), "Score");
        refused(|f| (f.from, f.to) = ("2026-11-24".into(), "2026-11-23".into()), "From");
    }

    #[test]
    fn older_keeps_the_filters() {
        let filters = Filters { model: "a&b".into(), score_min: "0.5".into(), cursor: "old".into(), ..Filters::default() };
        let href = filters.href(&ProjectName::new("p").unwrap(), "c=1");
        assert_eq!(href, "/explore?project=p&model=a%26b&score_min=0.5&cursor=c%3D1");
    }
}

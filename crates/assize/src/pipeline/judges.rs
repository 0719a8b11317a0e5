//! The judges in use: by whom each metric of a policy is judged, with what model, at what price and until when.

use assize_core::{JudgeName, JudgeVersion, MetricName, Price, ProviderName, Timestamp};
use jiff::civil::Date;

use super::panel::Panel;

/// What a judge is to a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Runs at accept, on everything.
    Free,
    /// Called before the reference judge.
    Tier,
    /// The judge that the rate speaks of.
    Reference,
    /// Asked where the reference judge cannot be had.
    Fallback,
}

impl Part {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Tier => "tier",
            Self::Reference => "reference",
            Self::Fallback => "fallback",
        }
    }
}

/// A judge in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct InUse {
    pub metric: MetricName,
    pub judge: JudgeName,
    pub part: Part,
    pub version: JudgeVersion,
    /// `None` for judges at accept.
    pub provider: Option<ProviderName>,
    /// The model that is asked for.
    pub model: Option<String>,
    /// What a million tokens cost; `None` where it is not known, or not charged by the token.
    pub price: Option<Price>,
    /// The day from which calls to the model fail.
    pub shutdown: Option<Date>,
}

/// From so many days before a model's end it is warned of.
pub const WARN_DAYS: i32 = 60;

/// The judges of all metrics of a panel, in the order of the metrics and their cascades.
pub fn in_use(panel: &Panel) -> Vec<InUse> {
    let mut all = Vec::new();
    for (metric, seats) in panel.policy.metrics.iter().zip(&panel.seats) {
        let last = metric.cascade.len().saturating_sub(1);
        for (at, tier) in metric.cascade.iter().enumerate() {
            let seat = at.checked_sub(seats.inline.len()).and_then(|called| seats.called.get(called));
            let part = match seat {
                _ if at == last => Part::Reference,
                Some(_) => Part::Tier,
                None => Part::Free,
            };
            let called = seat.map(|seat| (seat.judge.provider().clone(), seat.judge.model().to_owned()));
            all.push(of(panel, (&metric.name, &tier.judge, &tier.version), part, called));
        }
        if let Some(seat) = &seats.fallback {
            let called = Some((seat.judge.provider().clone(), seat.judge.model().to_owned()));
            all.push(of(panel, (&metric.name, &seat.name, &seat.version), Part::Fallback, called));
        }
    }
    all
}

fn of(
    panel: &Panel,
    (metric, judge, version): (&MetricName, &JudgeName, &JudgeVersion),
    part: Part,
    called: Option<(ProviderName, String)>,
) -> InUse {
    let (provider, model) = called.unzip();
    let quote = panel.spec.judge(judge).and_then(|spec| panel.spec.quote(&spec.kind));
    InUse {
        metric: metric.clone(),
        judge: judge.clone(),
        part,
        version: version.clone(),
        price: quote.as_ref().map(|quote| quote.price),
        shutdown: quote.and_then(|quote| quote.shutdown),
        provider,
        model,
    }
}

impl InUse {
    /// What to know ahead of the model's end, from [`WARN_DAYS`] before it.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        let (model, shutdown) = (self.model.as_ref()?, self.shutdown?);
        let today = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::from_millisecond(now.0).ok()?).date();
        let left = today.until(shutdown).ok()?.get_days();
        let remedy = "give the judge another `model` while both can be called, so that the two can be compared";
        let judge = &self.judge;
        match left {
            ..=0 => Some(format!("the judge {judge} asks for {model}, which its vendor has shut down on {shutdown}: {remedy}")),
            1..=WARN_DAYS => Some(format!(
                "the judge {judge} asks for {model}, which its vendor shuts down on {shutdown}, in {left} days: {remedy}"
            )),
            _ => None,
        }
    }
}

/// The warnings of a panel's judges, each once.
pub fn warnings(panel: &Panel, now: Timestamp) -> Vec<String> {
    let mut once = Vec::new();
    for warning in in_use(panel).iter().filter_map(|judge| judge.warning(now)) {
        if !once.contains(&warning) {
            once.push(warning);
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_warned_of_from_sixty_days_before() {
        let judge = InUse {
            metric: MetricName::new("m").unwrap(),
            judge: JudgeName::new("j").unwrap(),
            part: Part::Reference,
            version: JudgeVersion::from_stored("v"),
            provider: None,
            model: Some("old-model".to_owned()),
            price: None,
            shutdown: Some(jiff::civil::date(2027, 1, 14)),
        };
        let at = |time: &str| judge.warning(Timestamp::parse(time).unwrap());
        assert_eq!(at("2026-11-14T23:59:59Z"), None);
        assert!(at("2026-11-15T00:00:00Z").unwrap().contains("2027-01-14, in 60 days"));
        assert!(at("2027-01-14T00:00:00Z").unwrap().contains("has shut down"));
        assert!(at("2028-01-14T00:00:00Z").unwrap().contains("old-model"));
        assert_eq!(InUse { shutdown: None, ..judge.clone() }.warning(Timestamp(0)), None);
        assert_eq!(judge.warning(Timestamp(i64::MAX)), None);
    }
}

//! Metrics that projects have of their own: read from JSON with the checks and in the words of the file, and laid over its defaults.

use assize_core::MetricName;
use serde_json::Value;

use super::settings::{MetricSpec, Settings};
use super::{ConfigError, load};

/// The metric `name` as `json` describes it: an object with the keys of a `[[metric]]`. Null counts as not given. Whether its judges are
/// there is seen when it is laid over the settings.
///
/// # Errors
/// What the file would be told.
pub fn from_json(name: &MetricName, json: Value) -> Result<MetricSpec, ConfigError> {
    let wrong = |what: &str| ConfigError::new(format!("[[metric]] {:?}: {what}", name.as_str()));
    let Value::Object(mut object) = given(json) else { return Err(wrong("is not a JSON object")) };
    match object.insert("name".to_owned(), Value::String(name.as_str().to_owned())) {
        None => {}
        Some(Value::String(own)) if own == name.as_str() => {}
        Some(_) => return Err(wrong("`name` differs from the one in the address: leave it out")),
    }
    let table = toml::Table::try_from(object).map_err(|_| wrong("holds a number that is too large"))?;
    load::entry("metric", &table).map_err(|(message, _)| ConfigError::new(message))
}

/// The JSON without what is null.
fn given(json: Value) -> Value {
    match json {
        Value::Object(object) => Value::Object(
            object.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key, given(value))).collect(),
        ),
        Value::Array(values) => Value::Array(values.into_iter().filter(|value| !value.is_null()).map(given).collect()),
        other => other,
    }
}

/// The settings with `own` in place of the metrics of the same names; those of other names come last.
pub fn laid_over<'a>(settings: &Settings, own: impl Iterator<Item = &'a MetricSpec>) -> Settings {
    let mut settings = settings.clone();
    for metric in own {
        match settings.metric.iter_mut().find(|default| default.name == metric.name) {
            Some(default) => default.clone_from(metric),
            None => settings.metric.push(metric.clone()),
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: Value) -> Result<MetricSpec, String> {
        from_json(&MetricName::new("m").unwrap(), json).map_err(|error| error.to_string())
    }

    #[test]
    fn json_reads_like_the_file() {
        let written = json!({"question": "Is it rude?", "rubric": null, "needs": {"context": true},
            "cascade": ["builtin:refusal", {"judge": "gpt", "share": 1}], "sampling": {"rate": 1}, "escalate": true});
        let file = "[[metric]]\nname = \"m\"\nquestion = \"Is it rude?\"\nneeds = { context = true }\nescalate = true\n\
                    cascade = [\"builtin:refusal\", { judge = \"gpt\", share = 1 }]\nsampling = { rate = 1 }";
        assert_eq!(read(written).unwrap(), load::parse(file).unwrap().metric[0]);
        assert!(read(json!({"name": "m", "cascade": ["a"]})).is_ok());
    }

    #[test]
    fn errors_are_those_of_the_file() {
        for (json, part) in [
            (json!([]), "is not a JSON object"),
            (json!({"name": "other", "cascade": ["a"]}), "`name` differs"),
            (json!({}), "missing key `cascade`"),
            (json!({"cascade": ["a"], "shares": 1}), "unknown key `shares`"),
            (json!({"cascade": ["a b"]}), "`cascade`"),
            (json!({"cascade": ["a"], "sampling": {"rate": "x"}}), "`sampling`: invalid type: string \"x\", expected a number"),
            (json!({"cascade": ["a"], "max_delay_hours": u64::MAX}), "too large"),
        ] {
            let error = read(json.clone()).unwrap_err();
            assert!(error.starts_with("[[metric]] \"m\": ") && error.contains(part), "{json}: {error}");
        }
        // What no judge of a metric may bring along: a definition of a judge.
        let smuggled = json!({"cascade": [{"judge": "a", "kind": "command", "command": ["sh"]}]});
        assert!(read(smuggled).is_err());
    }

    #[test]
    fn own_metrics_replace_and_follow() {
        let settings =
            load::parse("[[metric]]\nname = \"m\"\ncascade = [\"a\"]\n[[metric]]\nname = \"n\"\ncascade = [\"a\"]").unwrap();
        let own = [
            read(json!({"cascade": ["b"]})).unwrap(),
            from_json(&MetricName::new("o").unwrap(), json!({"cascade": ["c"]})).unwrap(),
        ];
        let laid = laid_over(&settings, own.iter());
        let names: Vec<&str> = laid.metric.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!((names, &laid.metric[0]), (vec!["m", "n", "o"], &own[0]));
    }
}

//! The operator's own code as judges: pools of workers and gates, opened once and shared by the judges of all panels.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once, PoisonError};

use assize_core::JudgeName;
use assize_core::judge::CalledJudge;
use assize_judge::command::{Launcher, Pool, confine};
use assize_judge::spec::{CommandSpec, HttpSpec, JudgeKind, JudgeSpec, Question};
use assize_judge::{CommandJudge, HttpJudge, SpecError};

use super::gate::Gate;

/// The hidden command of Assize's binary that confines a worker.
pub const WORKER_COMMAND: &str = "__judge-worker";

/// What judges that are no models of a provider share.
pub struct CodeJudges {
    launcher: Launcher,
    open: Mutex<Vec<Open>>,
}

struct Open {
    name: JudgeName,
    kind: JudgeKind,
    gate: Arc<Gate>,
    /// Where it is a command.
    pool: Option<Arc<Pool>>,
}

impl CodeJudges {
    /// Judges whose workers may not open the directories `denied`.
    pub fn kept_from(denied: Vec<PathBuf>) -> Self {
        // On Linux the link leads to what runs, even where the file was replaced since.
        let program = if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() };
        // Where it is not known, `assize` along PATH serves.
        let program = program.unwrap_or_else(|_| "assize".into());
        Self { launcher: Launcher { program, args: vec![WORKER_COMMAND.to_owned()], denied }, open: Mutex::default() }
    }

    /// The command judge that `spec` describes, and its gate.
    pub fn command(
        &self,
        name: &JudgeName,
        spec: &CommandSpec,
        questions: &[Question],
    ) -> Result<(Arc<dyn CalledJudge>, Arc<Gate>), SpecError> {
        let kind = JudgeKind::Command(spec.clone());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.iter().find(|known| &known.name == name && known.kind == kind);
        let (pool, gate) = match known.and_then(|known| Some((Arc::clone(known.pool.as_ref()?), Arc::clone(&known.gate)))) {
            Some(known) => known,
            None => {
                say_what_is_missing();
                let pool = Arc::new(Pool::open(spec, &self.launcher, &|name| std::env::var_os(name))?);
                let gate = Arc::new(Gate::new(spec.workers, spec.attempts));
                open.push(Open { name: name.clone(), kind, gate: Arc::clone(&gate), pool: Some(Arc::clone(&pool)) });
                (pool, gate)
            }
        };
        Ok((Arc::new(CommandJudge::open(name, spec, questions, pool)?), gate))
    }

    /// The HTTP judge that `spec` describes, and its gate.
    pub fn http(
        &self,
        name: &JudgeName,
        spec: &HttpSpec,
        questions: &[Question],
    ) -> Result<(Arc<dyn CalledJudge>, Arc<Gate>), SpecError> {
        let judge = HttpJudge::open(name, spec, questions, &|name| std::env::var_os(name))?;
        let kind = JudgeKind::Http(spec.clone());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.iter().find(|known| &known.name == name && known.kind == kind).map(|known| Arc::clone(&known.gate));
        let gate = known.unwrap_or_else(|| {
            let gate = Arc::new(Gate::new(spec.concurrency, spec.attempts));
            open.push(Open { name: name.clone(), kind, gate: Arc::clone(&gate), pool: None });
            gate
        });
        Ok((Arc::new(judge), gate))
    }
}

/// The judges of an older policy with those of the operator's own code as the configuration has them now: what the control store kept
/// starts no command and sends no secret that is not configured.
///
/// # Errors
/// Where such a judge is not configured any more, or is another one.
pub fn as_configured(older: &[JudgeSpec], present: &[JudgeSpec]) -> Result<Vec<JudgeSpec>, String> {
    let now = |judge: &JudgeSpec| {
        if !judge.kind.is_operators_alone() {
            return Ok(judge.clone());
        }
        let found = present.iter().find(|now| now.name == judge.name && is_same(&now.kind, &judge.kind));
        found.cloned().ok_or_else(|| format!("[[judge]] {:?} is not configured any more as it was", judge.name.as_str()))
    };
    older.iter().map(now).collect()
}

/// Whether they run or call the same; limits aside.
fn is_same(now: &JudgeKind, then: &JudgeKind) -> bool {
    match (now, then) {
        (JudgeKind::Command(now), JudgeKind::Command(then)) => {
            (&now.command, &now.directory, &now.version) == (&then.command, &then.directory, &then.version)
        }
        (JudgeKind::Http(now), JudgeKind::Http(then)) => (&now.url, &now.version) == (&then.url, &then.version),
        _ => false,
    }
}

/// Once a process is enough.
fn say_what_is_missing() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        if !confine::is_complete() {
            tracing::warn!(
                "this system has no Landlock (Linux 5.13 and later): scripts that judge are limited in memory and environment, but can \
                 read and write whatever the user that runs Assize can"
            );
        }
    });
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn judge(spec: Value) -> JudgeSpec {
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn an_older_policy_runs_only_what_is_configured_now() {
        let then = judge(json!({"name": "c", "kind": "command", "command": ["python3", "judge.py"], "workers": 1}));
        let roomier = judge(json!({"name": "c", "kind": "command", "command": ["python3", "judge.py"], "workers": 9}));
        let another = judge(json!({"name": "c", "kind": "command", "command": ["sh", "-c", "curl"]}));
        let rules = judge(json!({"name": "w", "kind": "rules", "any_of": ["x"]}));
        let older = [rules.clone(), then];
        assert_eq!(as_configured(&older, std::slice::from_ref(&roomier)), Ok(vec![rules, roomier]));
        assert!(as_configured(&older, &[another]).is_err());
        assert!(as_configured(&older, &[]).unwrap_err().contains("\"c\""));
        let service = judge(json!({"name": "h", "kind": "http", "url": "https://a.example/", "authorization_env": "T"}));
        let elsewhere = judge(json!({"name": "h", "kind": "http", "url": "https://b.example/", "authorization_env": "T"}));
        assert!(as_configured(&[service], &[elsewhere]).is_err());
    }
}

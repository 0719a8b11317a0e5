//! `assize key create|list|revoke`.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::remote::{Remote, segment};
use super::{Ending, runtime, say};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assize key create --project shop --scope ingest --label 'web frontend'
  assize key list --project shop
  assize key revoke 5f2c61d09a4b --project shop

The key given by --key or ASSIZE_KEY needs the scope admin.")]
pub struct Key {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key; it is printed once and cannot be shown again
    #[command(after_help = "Example: assize key create --project shop --scope ingest --label 'web frontend'")]
    Create {
        #[command(flatten)]
        remote: Remote,
        /// What it allows: ingest and read within the project, admin everything in every project (repeatable); ingest and read where not given
        #[arg(long = "scope", value_name = "SCOPE", value_parser = ["ingest", "read", "admin"])]
        scopes: Vec<String>,
        /// A note on what it is for
        #[arg(long, default_value = "")]
        label: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List a project's keys
    #[command(after_help = "Example: assize key list --project shop")]
    List {
        #[command(flatten)]
        remote: Remote,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key: it opens nothing from now on
    #[command(after_help = "Example: assize key revoke 5f2c61d09a4b")]
    Revoke {
        /// The key's id, as `assize key list` shows it
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}

impl Key {
    pub fn run(self) -> Result<Ending, String> {
        let runtime = runtime()?;
        match self.command {
            KeyCommand::Create { remote, scopes, label, json } => {
                let mut body = json!({ "label": label });
                if !scopes.is_empty() {
                    body["scopes"] = json!(scopes);
                }
                let answer = runtime.block_on(remote.ask(Method::POST, &keys(&remote), Some(body)))?;
                if json {
                    say::json(&answer)?;
                } else {
                    say::line(answer["key"].as_str().unwrap_or_default())?;
                    say::note(format_args!(
                        "this is the only time that the key is shown; its id is {}",
                        answer["id"].as_str().unwrap_or_default()
                    ));
                }
            }
            KeyCommand::List { remote, json } => {
                let answer = runtime.block_on(remote.ask(Method::GET, &keys(&remote), None))?;
                if json {
                    say::json(&answer)?;
                } else {
                    for key in answer["keys"].as_array().into_iter().flatten() {
                        say::line(&row(key))?;
                    }
                }
            }
            KeyCommand::Revoke { id, remote } => {
                runtime.block_on(remote.ask(Method::DELETE, &format!("{}/{}", keys(&remote), segment(&id)), None))?;
                say::note(format_args!("revoked {id}"));
            }
        }
        Ok(Ending::Done)
    }
}

fn keys(remote: &Remote) -> String {
    format!("/v1/projects/{}/keys", segment(remote.project.as_deref().unwrap_or("default")))
}

fn row(key: &Value) -> String {
    let scopes: Vec<&str> = key["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let text = |name: &str| key[name].as_str().unwrap_or_default();
    let state = if key["revoked_at"].is_null() { "in force".to_owned() } else { format!("revoked {}", text("revoked_at")) };
    format!("{}\t{}\t{}\t{}\t{state}", text("id"), scopes.join(","), text("created_at"), text("label"))
}

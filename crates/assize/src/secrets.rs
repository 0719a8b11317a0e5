//! Secrets: the data directory's own, and what providers' keys are read from. None of it is ever logged or stored elsewhere.

use std::io::{Read, Write};
use std::path::Path;

use assize_core::DrawKey;
use assize_judge::spec::{ProviderKind, ProviderSpec};
use secrecy::SecretString;

use crate::config::ConfigError;

/// The secret of a data directory, from which everything else is derived (BLAKE3 in its key derivation mode).
#[derive(Clone)]
pub struct RootSecret([u8; 32]);

const FILE: &str = "secret";

impl RootSecret {
    /// The secret in `directory`; made at random and written there, readable by its owner alone, if there is none.
    pub fn open(directory: &Path) -> std::io::Result<Self> {
        let path = directory.join(FILE);
        let mut secret = [0; 32];
        match std::fs::File::open(&path) {
            Ok(mut file) => {
                file.read_exact(&mut secret)?;
                Ok(Self(secret))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                getrandom::fill(&mut secret).map_err(|error| std::io::Error::other(error.to_string()))?;
                let mut options = std::fs::OpenOptions::new();
                options.write(true).create(true).truncate(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                // Whole or not at all: half a secret would lock its owner out at the next start.
                let unfinished = directory.join("secret.unfinished");
                let mut file = options.open(&unfinished)?;
                file.write_all(&secret)?;
                file.sync_all()?;
                std::fs::rename(&unfinished, &path)?;
                std::fs::File::open(directory)?.sync_all()?;
                Ok(Self(secret))
            }
            Err(error) => Err(error),
        }
    }

    /// A secret that is known: for `eval`, whose draws anybody may repeat, and for tests.
    pub fn known(seed: u64) -> Self {
        Self(blake3::derive_key("assize 2026 known root secret", &seed.to_le_bytes()))
    }

    /// The key of the draw.
    pub fn draw_key(&self) -> DrawKey {
        DrawKey::new(blake3::derive_key("assize 2026 draw", &self.0))
    }

    /// The key under which API keys are hashed.
    pub fn api_key_hash(&self, key: &str) -> [u8; 32] {
        *blake3::keyed_hash(&blake3::derive_key("assize 2026 api keys", &self.0), key.as_bytes()).as_bytes()
    }

    /// Authenticates a dashboard session.
    pub fn session_tag(&self, session: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&blake3::derive_key("assize 2026 sessions", &self.0), session)
    }
}

impl std::fmt::Debug for RootSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RootSecret")
    }
}

/// Random bytes as hexadecimal digits.
pub fn random_hex(bytes: usize) -> std::io::Result<String> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The API key of a provider from its variable. A host on this machine may do without.
pub fn provider_key(spec: &ProviderSpec) -> Result<Option<SecretString>, ConfigError> {
    let Some(variable) = &spec.api_key_env else { return Ok(None) };
    match std::env::var(variable) {
        Ok(key) if !key.trim().is_empty() => Ok(Some(SecretString::from(key.trim().to_owned()))),
        _ if spec.kind == ProviderKind::Simulated || spec.base_url.as_deref().is_some_and(is_local) => Ok(None),
        _ => Err(ConfigError::new(format!(
            "[[provider]] {:?}: the variable {variable} named by `api_key_env` is not set: export it, or remove `api_key_env` if the host needs no key",
            spec.name.as_str()
        ))),
    }
}

/// Whether `url` names this machine.
pub fn is_local(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    host == "localhost" || host.starts_with("localhost:") || host.starts_with("[::1]") || is_loopback_v4(host)
}

fn is_loopback_v4(host: &str) -> bool {
    host.split(':').next().and_then(|ip| ip.parse::<std::net::Ipv4Addr>().ok()).is_some_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_made_once_and_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let first = RootSecret::open(directory.path()).unwrap();
        let second = RootSecret::open(directory.path()).unwrap();
        assert_eq!(first.0, second.0);
        assert_ne!(first.0, RootSecret::open(tempfile::tempdir().unwrap().path()).unwrap().0);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
    }

    #[test]
    fn only_hosts_of_this_machine_do_without_a_key() {
        for local in ["http://127.0.0.1:8400/v1", "http://localhost/v1", "http://[::1]:80/v1", "http://127.9.9.9"] {
            assert!(is_local(local), "{local}");
        }
        for remote in [
            "https://api.openai.com/v1",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://127.0.0.1@example.com",
        ] {
            assert!(!is_local(remote), "{remote}");
        }
    }
}

//! What a worker may not do. The limits are set by the process itself, before it becomes the script: Assize runs its own binary with
//! a [`Confinement`], which lays down what it must not have and then replaces itself by the command (`exec`), so that no code runs
//! between `fork` and `exec` and nothing `unsafe` is needed.
//!
//! - Everywhere: the environment is what it was given; file descriptors above 2 are closed; no core dumps; the address space is
//!   limited (`RLIMIT_AS`).
//! - Linux: it dies with Assize (`PR_SET_PDEATHSIG`), gains no privileges, and of root's, where Assize runs as root, keeps only those
//!   over files, because the others would undo the rest. With Landlock (5.13 and later) the denied directories cannot be opened in any
//!   way, nothing can be written outside its own directory and the devices, and neither the memory nor the environment of processes
//!   outside can be read, nor (6.12) can they be sent signals. All of this holds for its children too.
//! - Elsewhere, and without Landlock: only what the file system's own permissions say. [`is_complete`] tells.
//!
//! Landlock grants, it does not deny: what is not to be read is left out, by granting every neighbour of the directories on the way
//! to it. So those directories themselves cannot be listed by a worker.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a worker is confined to; handed over as JSON in one argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confinement {
    /// Who starts it: it does not outlive this process.
    pub parent: u32,
    /// Address space, in MiB.
    pub memory_mb: u64,
    /// Directories that it must not open; absolute, without symbolic links.
    pub denied: Vec<PathBuf>,
    /// Directories that it may write to.
    pub writable: Vec<PathBuf>,
    /// What it becomes.
    pub command: Vec<String>,
}

/// Whether this system can keep a worker from files, and not only limit its memory.
pub fn is_complete() -> bool {
    #[cfg(target_os = "linux")]
    return landlocked::is_supported();
    #[cfg(not(target_os = "linux"))]
    return false;
}

impl Confinement {
    /// Confines this process and replaces it by the command. Returns only where that failed, with the reason.
    #[cfg(unix)]
    pub fn enter(&self) -> String {
        use std::os::unix::process::CommandExt;

        let Some((program, arguments)) = self.command.split_first() else { return "there is no command".to_owned() };
        let mut command = std::process::Command::new(program);
        command.args(arguments);
        if let Err(why) = self.confine() {
            return why;
        }
        format!("cannot run {program:?}: {}", command.exec())
    }

    /// Other systems have no `exec`.
    #[cfg(not(unix))]
    pub fn enter(&self) -> String {
        "command judges need Linux or another Unix".to_owned()
    }

    #[cfg(unix)]
    fn confine(&self) -> Result<(), String> {
        close_inherited();
        #[cfg(target_os = "linux")]
        {
            use nix::sys::{prctl, signal::Signal};
            let failed = |error| format!("the worker could not be tied to the life of Assize: {error}");
            prctl::set_pdeathsig(Signal::SIGKILL).map_err(failed)?;
            if u32::try_from(nix::unistd::getppid().as_raw()) != Ok(self.parent) {
                return Err("Assize ended before the worker began".to_owned());
            }
            prctl::set_no_new_privs()
                .map_err(|error| format!("the worker could not be kept from gaining privileges: {error}"))?;
            landlocked::enter(&self.denied, &self.writable)?;
            renounce()?;
        }
        self.limit()
    }

    /// Lowers the limits of resources, hard ones included.
    #[cfg(unix)]
    fn limit(&self) -> Result<(), String> {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let lower = |resource, name, most: u64| {
            let (_, hard) = getrlimit(resource).map_err(|error| format!("{name} cannot be read: {error}"))?;
            let most = most.min(hard);
            setrlimit(resource, most, most).map_err(|error| format!("{name} cannot be set: {error}"))
        };
        // A core dump would hold what was judged.
        lower(Resource::RLIMIT_CORE, "RLIMIT_CORE", 0)?;
        lower(Resource::RLIMIT_AS, "RLIMIT_AS", self.memory_mb.saturating_mul(1 << 20))
    }
}

/// Gives up what root may do beyond files: to look into other processes, to raise limits, to load modules. What is given up does not
/// come back with `exec`, because no new privileges are gained by it.
#[cfg(target_os = "linux")]
fn renounce() -> Result<(), String> {
    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
    let failed = |error| format!("the privileges of root could not be given up: {error}");
    let over_files = CapabilitySet::CHOWN | CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH | CapabilitySet::FOWNER;
    let permitted = capabilities(None).map_err(failed)?.permitted & over_files;
    let kept = CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() };
    set_capabilities(None, kept).map_err(failed)
}

/// Closes what Assize itself inherited: its own descriptors close on `exec` anyway.
#[cfg(unix)]
fn close_inherited() {
    let listed = std::fs::read_dir("/dev/fd").map(|entries| {
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok()).filter(|number| *number > 2).collect()
    });
    let open: Vec<i32> = listed.unwrap_or_default();
    for number in open {
        // The one that listed them is closed already.
        let _ = nix::unistd::close(number);
    }
}

/// What may be read: everything but `denied`, as the fewest paths below `directory`.
///
/// # Errors
/// Where a directory on the way to a denied one cannot be listed.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn neighbours(directory: &Path, denied: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut granted = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        if denied.iter().any(|denied| path.starts_with(denied)) {
            continue;
        }
        if !denied.iter().any(|denied| denied.starts_with(&path)) {
            granted.push(path);
            continue;
        }
        let entries = std::fs::read_dir(&path).map_err(|error| {
            format!("{}: cannot be listed, so the data directory cannot be kept from the worker: {error}", path.display())
        })?;
        for entry in entries.flatten() {
            // A link is followed to where it leads, and what counts is whether that is granted.
            if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
                open.push(entry.path());
            }
        }
    }
    Ok(granted)
}

#[cfg(target_os = "linux")]
mod landlocked {
    //! The part that Landlock does.

    use std::path::{Path, PathBuf};

    use landlock::{
        ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
        path_beneath_rules,
    };

    /// Of newer kernels only what is known here is used, of older ones what they have.
    const ABI_KNOWN: ABI = ABI::V6;

    pub(super) fn is_supported() -> bool {
        let asked = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        asked.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
    }

    pub(super) fn enter(denied: &[PathBuf], writable: &[PathBuf]) -> Result<(), String> {
        if !is_supported() {
            return Ok(());
        }
        let readable = super::neighbours(Path::new("/"), denied)?;
        restrict(&readable, writable).map_err(|error| format!("Landlock refused: {error}"))
    }

    fn restrict(readable: &[PathBuf], writable: &[PathBuf]) -> Result<(), RulesetError> {
        let all = AccessFs::from_all(ABI_KNOWN);
        // Devices: /dev/null, shared memory of several processes, graphics cards.
        let writable = writable.iter().map(PathBuf::as_path).chain([Path::new("/dev")]);
        Ruleset::default()
            .handle_access(all)?
            .scope(Scope::Signal)?
            .scope(Scope::AbstractUnixSocket)?
            .create()?
            .add_rules(path_beneath_rules(readable, AccessFs::from_read(ABI_KNOWN)))?
            .add_rules(path_beneath_rules(writable, all))?
            .restrict_self()
            .map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_all_but_the_denied_and_what_leads_there() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for directory in ["a/b/data/deep", "a/b/other", "a/c", "d"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        std::fs::write(root.join("a/file"), "").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.join("a/b/data"), root.join("a/link")).unwrap();
        let granted = |denied: &[&str]| {
            let denied: Vec<PathBuf> = denied.iter().map(|path| root.join(path)).collect();
            let mut granted: Vec<String> = neighbours(&root, &denied)
                .unwrap()
                .iter()
                .map(|path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned())
                .collect();
            granted.sort();
            granted
        };
        assert_eq!(granted(&["a/b/data"]), ["a/b/other", "a/c", "a/file", "d"]);
        assert_eq!(granted(&["a/b/data", "d"]), ["a/b/other", "a/c", "a/file"]);
        assert_eq!(granted(&["a/b/data", "a/b/data/deep"]), ["a/b/other", "a/c", "a/file", "d"]);
        assert_eq!(granted(&[]), [""]);
        assert_eq!(granted(&[""]), Vec::<String>::new());
    }

    #[test]
    fn it_survives_the_way_through_an_argument() {
        let confinement = Confinement {
            parent: 7,
            memory_mb: 64,
            denied: vec!["/data \"x\"".into()],
            writable: vec!["/tmp/é".into()],
            command: vec!["python3".into(), "a b.py".into()],
        };
        let argument = serde_json::to_string(&confinement).unwrap();
        assert_eq!(serde_json::from_str::<Confinement>(&argument).unwrap(), confinement);
    }
}

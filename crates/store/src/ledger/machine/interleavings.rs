//! A model check: every order in which two processes can take their steps on one ledger, with crashes between any of them, ends with no
//! more committed than the cap, and with everything on record that was granted.
//!
//! A transaction is four steps: take the lock, catch up, decide and journal, commit. The same search without the lock, or without
//! catching up, must find an order that passes the cap: otherwise it would prove nothing.

use std::collections::{BTreeSet, VecDeque};

use assize_core::ledger::{Account, CapScope};

use super::properties::{MORNING, cap, cost, reservation};
use super::*;
use crate::ledger::memory::MemoryDisk;

const MAX: i128 = 12;
const LEASE_OVER: Timestamp = Timestamp(MORNING.0 + 60_000);
/// So small that tables take the journal in after every few events, and memory holds no call after that.
const LIMITS: Limits = Limits { events_max: 3, appends_max: 100, calls_max: 0, purposes_max: 1 };

#[derive(Debug, Clone)]
enum Step {
    Reserve(&'static str, u64),
    Settle(&'static str, Option<u64>),
    Expire,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Begun,
    CaughtUp,
    Decided,
}

#[derive(Clone)]
struct Process {
    machine: Machine,
    program: VecDeque<Step>,
    phase: Phase,
    /// What a crash goes back to.
    before: MemoryDisk,
    granted: Option<&'static str>,
}

#[derive(Clone)]
struct World {
    disk: MemoryDisk,
    is_locked: bool,
    processes: [Process; 2],
    crashes_left: u32,
    /// Calls whose callers were told that they may be made.
    told: BTreeSet<&'static str>,
}

/// What the search leaves out, to see that it finds what is wrong then.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    Lock,
    CatchingUp,
}

#[derive(Default)]
struct Found {
    ends: u64,
    states: u64,
    over: u64,
    lost: u64,
    tight: bool,
}

impl World {
    fn new(programs: [Vec<Step>; 2], crashes_left: u32) -> Self {
        let process = |program: Vec<Step>| Process {
            machine: Machine::new(LIMITS),
            program: program.into(),
            phase: Phase::Idle,
            before: MemoryDisk::default(),
            granted: None,
        };
        let processes = programs.map(process);
        Self { disk: MemoryDisk::default(), is_locked: false, processes, crashes_left, told: BTreeSet::new() }
    }

    fn can_step(&self, at: usize, without: Without) -> bool {
        let process = &self.processes[at];
        match process.phase {
            Phase::Idle => !process.program.is_empty() && (!self.is_locked || without == Without::Lock),
            _ => true,
        }
    }

    /// The next step of a process.
    fn step(&mut self, at: usize, without: Without) {
        let (disk, process) = (&mut self.disk, &mut self.processes[at]);
        match process.phase {
            Phase::Idle => {
                (self.is_locked, process.before, process.phase) = (true, disk.clone(), Phase::Begun);
            }
            Phase::Begun => {
                if without != Without::CatchingUp {
                    process.machine.catch_up(disk).unwrap();
                }
                process.phase = Phase::CaughtUp;
            }
            Phase::CaughtUp => {
                match process.program[0] {
                    Step::Reserve(call, bound) => {
                        let caps = [cap(CapScope::PlatformDay, MAX as u64)];
                        let grant = process.machine.reserve(disk, reservation(call, bound), &caps).unwrap();
                        process.granted = (grant == Grant::Granted).then_some(call);
                    }
                    Step::Settle(call, paid) => drop(process.machine.settle(disk, cost(call, paid)).unwrap()),
                    Step::Expire => drop(process.machine.expire(disk, LEASE_OVER).unwrap()),
                }
                process.machine.finish(disk).unwrap();
                process.phase = Phase::Decided;
            }
            Phase::Decided => {
                self.told.extend(process.granted.take());
                process.program.pop_front();
                (self.is_locked, process.phase) = (false, Phase::Idle);
            }
        }
    }

    /// The process ends and starts again, and does the same once more: what it had not committed is gone.
    fn crash(&mut self, at: usize, has_committed: bool) {
        let process = &mut self.processes[at];
        if !has_committed {
            self.disk = process.before.clone();
        }
        (process.machine, process.phase, process.granted) = (Machine::new(LIMITS), Phase::Idle, None);
        self.is_locked = false;
        self.crashes_left -= 1;
    }

    /// Goes every way from here.
    fn search(&self, without: Without, found: &mut Found) {
        found.states += 1;
        if !self.is_locked || without == Without::Lock {
            let committed = self.disk.committed();
            found.over += u64::from(committed > MAX);
            found.tight |= committed == MAX;
            found.lost += u64::from(!self.told.iter().all(|call| self.disk.was_granted(call)));
        }
        let mut is_end = true;
        for at in 0..2 {
            if !self.can_step(at, without) {
                continue;
            }
            is_end = false;
            let mut next = self.clone();
            next.step(at, without);
            next.search(without, found);
            if self.crashes_left > 0 && self.processes[at].phase != Phase::Idle {
                let committed: &[bool] = if self.processes[at].phase == Phase::Decided { &[false, true] } else { &[false] };
                for has_committed in committed {
                    let mut next = self.clone();
                    next.crash(at, *has_committed);
                    next.search(without, found);
                }
            }
        }
        if is_end {
            found.ends += 1;
            if without == Without::Nothing {
                self.assert_the_machines_know_the_journal();
            }
        }
    }

    fn assert_the_machines_know_the_journal(&self) {
        for process in &self.processes {
            let (mut machine, mut disk) = (process.machine.clone(), self.disk.clone());
            machine.catch_up(&mut disk).unwrap();
            let day = [BalanceOf::PlatformDay(properties::TODAY)];
            let known = machine.balances(&mut disk, &day).unwrap()[0].committed();
            assert!(i128::from(known.0) == self.disk.committed(), "{known} is not {}", self.disk.committed());
        }
    }
}

impl MemoryDisk {
    /// What is spent, assumed or reserved, by nothing but the movements in the journal.
    fn committed(&self) -> i128 {
        let counts = |account: Account| i128::from(u8::from(account != Account::Available));
        let change = |(from, to, amount): event::Movement| (counts(to) - counts(from)) * i128::from(amount.0);
        let of = |what: What| change(what.movements().0) + what.movements().1.map_or(0, change);
        self.journal().map(|event| of(event.what)).sum()
    }

    fn was_granted(&self, call: &str) -> bool {
        let granted = |event: &&Event| event.call.0 == call && matches!(event.what, What::Reserved { .. });
        self.journal().filter(granted).count() == 1
    }
}

fn programs() -> [Vec<Step>; 2] {
    use Step::{Expire, Reserve, Settle};
    [
        vec![Reserve("a", 6), Reserve("b", 6), Settle("a", Some(2)), Reserve("c", 5), Expire],
        vec![Reserve("d", 7), Settle("d", Some(1)), Reserve("e", 4), Settle("b", None)],
    ]
}

#[test]
fn no_order_of_steps_passes_the_cap() {
    let mut found = Found::default();
    World::new(programs(), 0).search(Without::Nothing, &mut found);
    assert_eq!(found.ends, 126, "9! / 5! 4!: the lock leaves the orders of whole transactions");
    assert_eq!((found.over, found.lost), (0, 0));
    assert!(found.tight, "some order comes up to the cap");
}

#[test]
fn no_crash_between_steps_passes_the_cap() {
    let (mut found, [mut one, two]) = (Found::default(), programs());
    one.remove(3);
    World::new([one, two], 1).search(Without::Nothing, &mut found);
    assert!(found.ends > 70 * 8 * 4, "{}", found.ends);
    assert_eq!((found.over, found.lost), (0, 0));
    assert!(found.tight);
}

#[test]
fn the_search_finds_what_is_wrong() {
    let short = || [vec![Step::Reserve("a", 7)], vec![Step::Reserve("d", 7)]];
    for without in [Without::Lock, Without::CatchingUp] {
        let mut found = Found::default();
        World::new(short(), 0).search(without, &mut found);
        assert!(found.over > 0);
    }
}

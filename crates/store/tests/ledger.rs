//! The ledger's file: two openings of it, processes that are killed, more than memory holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use assize_core::ledger::{Account, Balance, BalanceOf, CallCost, CapScope, Grant, Ledger, Posting, Settled};
use assize_core::{NanoUsd, StoreErrorKind, Timestamp};
use assize_testkit::contract::ledger::{TODAY, adjustment, balance, cap, cost, places, reservation, tenant};
use assize_testkit::samples::MORNING;

const DIRECTORY: &str = "ASSIZE_TEST_LEDGER_DIRECTORY";
const NAME: &str = "ASSIZE_TEST_LEDGER_NAME";
const MAX: &str = "ASSIZE_TEST_LEDGER_MAX";
const BOUND: u64 = 1_000;
const CALLERS: u64 = 6;
const LEASES_OVER: Timestamp = Timestamp(MORNING.0 + 3_600_000);
const ROUNDS: usize = 10;

async fn open(directory: &Path) -> Arc<dyn Ledger> {
    assize_store::ledger::open(&format!("sqlite:{}", directory.display())).await.unwrap()
}

async fn platform(ledger: &dyn Ledger) -> Balance {
    ledger.balances(&[BalanceOf::PlatformDay(TODAY)]).await.unwrap()[0]
}

/// What a call really costs, known by its id alone; `None` of one in ten, whose provider says nothing.
fn price(id: &str) -> Option<u64> {
    let sum: u64 = id.bytes().fold(17, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    (sum % 10 != 3).then_some(sum % 700 + 100)
}

/// Every posting of a ledger, read in pages.
async fn journal(ledger: &dyn Ledger) -> Vec<Posting> {
    let mut postings: Vec<Posting> = Vec::new();
    loop {
        let page = ledger.postings(postings.last().map_or(0, |posting| posting.number), 777).await.unwrap();
        if page.is_empty() {
            return postings;
        }
        postings.extend(page);
    }
}

/// The process that is killed: this very test, told by a variable to reserve and settle until it dies or nothing is left.
#[test]
fn spends_until_killed() {
    let (Ok(directory), Ok(name), Ok(max)) = (std::env::var(DIRECTORY), std::env::var(NAME), std::env::var(MAX)) else { return };
    let caps = [cap(CapScope::PlatformDay, max.parse().unwrap())];
    let say = |line: String| std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let ledger = open(Path::new(&directory)).await;
        let callers = (0..CALLERS).map(|caller| {
            let (ledger, name) = (ledger.clone(), name.clone());
            tokio::spawn(async move {
                let (mut number, mut waited) = (0, 0);
                loop {
                    let id = format!("{name}-{caller}-{number}");
                    match ledger.reserve(reservation(&id, BOUND), &caps).await.unwrap() {
                        Grant::Granted => say(format!("\ngranted {id} .\n")),
                        Grant::MustWait(_) => {
                            waited += 1;
                            if waited % 20 == 0 {
                                // Those that are waited for may have died: their time is over now, and that of some others with it.
                                ledger.expire(LEASES_OVER).await.unwrap();
                            }
                            continue;
                        }
                        Grant::Refused(_) => return,
                    }
                    // One in thirteen is never told of.
                    if number % 13 != 5 {
                        let settled = ledger.settle(vec![cost(&id, price(&id))]).await.unwrap()[0];
                        assert!(
                            settled != Settled::Unknown && (price(&id).is_none() || settled != Settled::Again),
                            "{settled:?}"
                        );
                        say(format!("\nsettled {id} .\n"));
                    }
                    number += 1;
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
    });
}

fn spawn(directory: &Path, name: &str, max: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "spends_until_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(NAME, name)
        .env(MAX, max.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[derive(Default)]
struct Said {
    granted: Vec<String>,
    settled: Vec<String>,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let id = |word: &str| line.strip_prefix(word)?.strip_suffix(" .").map(str::to_owned);
        self.granted.extend(id("granted "));
        self.settled.extend(id("settled "));
    }
}

/// All that was said is on record, once, at its price; and nothing is past the cap.
async fn assert_on_record(ledger: &dyn Ledger, said: &Said, max: u64) {
    let stands = platform(ledger).await;
    assert!(stands.committed() <= NanoUsd(max), "{stands:?}");
    let mut by_call: HashMap<String, Vec<Posting>> = HashMap::new();
    for (at, posting) in (1..).zip(journal(ledger).await) {
        assert_eq!(posting.number, at, "no number is missing or given twice");
        by_call.entry(posting.call.0.clone()).or_default().push(posting);
    }
    let sum = |id: &str, from: Account, to: Account| {
        let same = by_call.get(id).into_iter().flatten().filter(|posting| (posting.from, posting.to) == (from, to));
        same.map(|posting| posting.amount.0).collect::<Vec<_>>()
    };
    for id in &said.granted {
        assert_eq!(sum(id, Account::Available, Account::Reserved), [BOUND], "{id}");
    }
    for id in &said.settled {
        let paid = [sum(id, Account::Reserved, Account::Spent), sum(id, Account::Assumed, Account::Spent)].concat();
        match price(id) {
            Some(price) => assert_eq!(paid, [price], "{id}"),
            None => assert_eq!((sum(id, Account::Reserved, Account::Assumed), paid), (vec![BOUND], vec![]), "{id}"),
        }
    }
    let (mut spent, mut assumed, mut reserved) = (0, 0, 0);
    for posting in by_call.values().flatten() {
        for (account, amount) in [(posting.from, -(posting.amount.0 as i64)), (posting.to, posting.amount.0 as i64)] {
            match account {
                Account::Available => {}
                Account::Reserved => reserved += amount,
                Account::Assumed => assumed += amount,
                Account::Spent => spent += amount,
            }
        }
    }
    assert_eq!(balance(spent as u64, assumed as u64, reserved as u64), stands, "the postings replay to the balance");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_granted_survives_kills_and_the_cap_holds() {
    let directory = tempfile::tempdir().unwrap();
    let (mut said, max) = (Said::default(), 1_000 * BOUND);
    for round in 0..ROUNDS {
        // Two processes in every other round, killed at different moments.
        let mut children: Vec<Child> =
            (0..1 + round % 2).map(|at| spawn(directory.path(), &format!("{round}-{at}"), max)).collect();
        for (at, child) in children.iter_mut().enumerate() {
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let enough = said.granted.len() + 20 + 13 * round * (1 + at);
            while said.granted.len() < enough {
                let Some(line) = lines.next() else { break };
                said.hear(&line.unwrap());
            }
            child.kill().unwrap();
            child.wait().unwrap();
            // What it had said before it died counts too; a line cut short does not.
            lines.map_while(Result::ok).for_each(|line| said.hear(&line));
        }
        assert_on_record(&*open(directory.path()).await, &said, max).await;
    }
    assert!(said.granted.len() > ROUNDS * 50);
    // The rest is spent by two processes to the end; then all is settled that is to be.
    let last = ["last-a", "last-b"].map(|name| {
        let child = spawn(directory.path(), name, max);
        std::thread::spawn(move || child.wait_with_output().unwrap())
    });
    for output in last.map(|thread| thread.join().unwrap()) {
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stdout).lines().for_each(|line| said.hear(line));
    }
    let ledger = open(directory.path()).await;
    assert_on_record(&*ledger, &said, max).await;
    let reserved = platform(&*ledger).await.reserved.0;
    assert_eq!(ledger.expire(LEASES_OVER).await.unwrap(), reserved / BOUND);
    let stands = platform(&*ledger).await;
    assert_eq!(stands.reserved, NanoUsd(0));
    assert!(stands.certain() > NanoUsd(max - BOUND), "{stands:?}: hardly anything is left");
    // The bill comes after all, for every call that was made.
    let calls = journal(&*ledger).await.into_iter().filter(|posting| posting.to == Account::Reserved);
    let bill: Vec<CallCost> = calls.map(|posting| cost(&posting.call.0, price(&posting.call.0).unwrap_or(77))).collect();
    let sum = bill.iter().filter_map(|told| told.cost).map(|cost| cost.0).sum();
    let settled = ledger.settle(bill).await.unwrap();
    assert!(settled.iter().all(|settled| matches!(settled, Settled::Corrected | Settled::Again)));
    assert_eq!(platform(&*ledger).await, balance(sum, 0, 0), "to the nano-dollar");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_openings_share_one_truth() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (open(directory.path()).await, open(directory.path()).await);
    let caps = [cap(CapScope::TenantDay, 10)];
    assert_eq!(one.reserve(reservation("a", 6), &caps).await.unwrap(), Grant::Granted);
    assert_eq!(two.reserve(reservation("b", 6), &caps).await.unwrap(), Grant::MustWait(CapScope::TenantDay));
    assert_eq!(two.reserve(reservation("a", 6), &caps).await.unwrap(), Grant::Granted, "known there too");
    assert_eq!(two.settle(vec![cost("a", 3)]).await.unwrap(), [Settled::Posted]);
    assert_eq!(one.settle(vec![cost("a", 3)]).await.unwrap(), [Settled::Again]);
    assert_eq!(one.reserve(reservation("b", 7), &caps).await.unwrap(), Grant::Granted);
    assert_eq!(two.balances(&places("acme", TODAY, TODAY)).await.unwrap(), [balance(3, 0, 7); 6]);
    // Totals make one of them bring the tables up to date, under the other.
    let query = assize_core::ledger::TotalsQuery { tenant: Some(tenant("acme")), from: TODAY, to: TODAY };
    assert_eq!(one.totals(&query).await.unwrap(), two.totals(&query).await.unwrap());
    assert!(two.adjust(adjustment("hand", 1, false)).await.unwrap());
    assert!(!one.adjust(adjustment("hand", 1, false)).await.unwrap());
    assert_eq!(one.expire(Timestamp(MORNING.0 + 60_000)).await.unwrap(), 1);
    assert_eq!(two.expire(Timestamp(MORNING.0 + 60_000)).await.unwrap(), 0);
    assert_eq!(two.settle(vec![cost("b", 2)]).await.unwrap(), [Settled::Corrected]);
    assert_eq!(one.balances(&places("acme", TODAY, TODAY)).await.unwrap(), [balance(6, 0, 0); 6]);
    assert_eq!(one.postings(0, 100).await.unwrap(), two.postings(0, 100).await.unwrap());

    let many = |ledger: &Arc<dyn Ledger>, name: &'static str| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            let tasks: Vec<_> = (0..250)
                .map(|at| {
                    let ledger = ledger.clone();
                    let asked = reservation(&format!("{name}{at}"), 10);
                    let caps = [cap(CapScope::PlatformDay, 500)];
                    tokio::spawn(async move { ledger.reserve(asked, &caps).await.unwrap() == Grant::Granted })
                })
                .collect();
            let mut granted = 0;
            for task in tasks {
                granted += u32::from(task.await.unwrap());
            }
            granted
        })
    };
    let (first, second) = (many(&one, "x"), many(&two, "y"));
    assert_eq!(first.await.unwrap() + second.await.unwrap(), 49, "49 times 10, beside the 6 that are spent");
    assert_eq!(platform(&*one).await, balance(6, 0, 490));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_block_is_named_and_nothing_is_granted() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path()).await;
    ledger.reserve(reservation("a", 6), &[]).await.unwrap();
    drop(ledger);
    let file = rusqlite::Connection::open(directory.path().join("ledger.db")).unwrap();
    file.execute_batch("UPDATE block SET events = x'01ff'").unwrap();
    let url = format!("sqlite:{}", directory.path().display());
    let error = assize_store::ledger::open(&url).await.map(drop).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Failed);
    assert!(error.message.contains("ledger.db") && error.message.contains("posting 1"), "{error}");
    file.execute_batch("UPDATE block SET events = x'01', last = 0").unwrap();
    assert!(assize_store::ledger::open(&url).await.is_ok(), "a block without events is whole");
    file.execute_batch("INSERT INTO migration SELECT max(version) + 1, '9999_future', 'x' FROM migration").unwrap();
    assert_eq!(assize_store::ledger::open(&url).await.map(drop).unwrap_err().kind, StoreErrorKind::Schema);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_transaction_grants_nothing_and_the_next_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path()).await;
    let caps = [cap(CapScope::TenantDay, 10)];
    assert_eq!(ledger.reserve(reservation("a", 4), &caps).await.unwrap(), Grant::Granted);
    let file = rusqlite::Connection::open(directory.path().join("ledger.db")).unwrap();
    let refuse = "CREATE TRIGGER full BEFORE INSERT ON block BEGIN SELECT RAISE(FAIL, 'full'); END";
    file.execute_batch(refuse).unwrap();
    ledger.reserve(reservation("b", 6), &caps).await.unwrap_err();
    ledger.settle(vec![cost("a", 4)]).await.unwrap_err();
    assert_eq!(ledger.balances(&places("acme", TODAY, TODAY)).await.unwrap(), [balance(0, 0, 4); 6]);
    file.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(ledger.reserve(reservation("b", 7), &caps).await.unwrap(), Grant::MustWait(CapScope::TenantDay));
    assert_eq!(ledger.reserve(reservation("b", 6), &caps).await.unwrap(), Grant::Granted);
    assert_eq!(ledger.settle(vec![cost("a", 4), cost("b", 6)]).await.unwrap(), [Settled::Posted; 2]);
    assert_eq!(ledger.balances(&places("acme", TODAY, TODAY)).await.unwrap(), [balance(10, 0, 0); 6]);
}

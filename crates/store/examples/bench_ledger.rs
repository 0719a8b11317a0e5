//! Pairs of a reservation and its settlement per CPU-second (user and system, all threads) with 1,000 tenants, each durable at the group
//! commit: `cargo run --release -p assize-store --example bench_ledger [PAIRS] [CALLERS] [DIRECTORY]`. Each caller waits for the one before
//! it does the other, as a judged item does.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::Instant;

use assize_core::ledger::{BalanceOf, CapScope, Grant, Ledger, Reservation, Settled};
use assize_core::{NanoUsd, TenantName};
use assize_testkit::contract::ledger::{TODAY, cap, cost, reservation, tenant};
use nix::sys::resource::{UsageWho, getrusage};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TENANTS: u64 = 1_000;
const BOUND: u64 = 6_000_000;

fn cpu_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

async fn spend(ledger: Arc<dyn Ledger>, tenants: Arc<Vec<TenantName>>, template: Reservation, caller: u64, pairs: u64) -> u64 {
    let caps = [
        cap(CapScope::TenantDay, 1 << 60),
        cap(CapScope::TenantMonth, 1 << 60),
        cap(CapScope::PlatformDay, 1 << 60),
        cap(CapScope::ShareOfDay, 1 << 60),
    ];
    let mut sum = 0;
    for pair in 0..pairs {
        let id = format!("c-{:016x}-{:x}", 0x5eed_0000_0000_0000 + caller, pair);
        let payer = &tenants[((caller * pairs + pair).wrapping_mul(0x9e37_79b9) % TENANTS) as usize];
        let asked = Reservation { call: assize_core::CallId(id.clone()), tenant: payer.clone(), ..template.clone() };
        assert_eq!(ledger.reserve(asked, &caps).await.unwrap(), Grant::Granted);
        let price = BOUND - pair % 1_000;
        assert_eq!(ledger.settle(vec![cost(&id, price)]).await.unwrap(), [Settled::Posted]);
        sum += price;
    }
    sum
}

async fn measure(what: &str, ledger: Arc<dyn Ledger>, pairs: u64, callers: u64) {
    let tenants = Arc::new((0..TENANTS).map(|at| tenant(&format!("tenant-{at}"))).collect::<Vec<_>>());
    let template = reservation("", BOUND);
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    let each = pairs / callers;
    let tasks = (0..callers).map(|caller| tokio::spawn(spend(ledger.clone(), tenants.clone(), template.clone(), caller, each)));
    let mut sum = 0;
    for task in tasks.collect::<Vec<_>>() {
        sum += task.await.unwrap();
    }
    let (wall, cpu, count) = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu, (each * callers) as f64);
    println!(
        "{what}, {callers} callers: {:.0} pairs per CPU-second ({:.2} us each); {:.0}/s of wall time",
        count / cpu,
        cpu / count * 1e6,
        count / wall
    );
    let stands = ledger.balances(&[BalanceOf::PlatformDay(TODAY)]).await.unwrap()[0];
    assert_eq!((stands.spent, stands.committed()), (NanoUsd(sum), NanoUsd(sum)));
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| arguments.next().map_or(default, |argument| argument.parse().unwrap());
    let (pairs, callers) = (number(1_000_000), number(4_096));
    let scratch = tempfile::tempdir().unwrap();
    let directory = arguments.next().map_or(scratch.path().to_owned(), Into::into);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite:{}", directory.display());
        for callers in [callers, callers / 16] {
            let fresh = directory.join(callers.to_string());
            let url = format!("{url}/{callers}");
            measure("on disk", assize_store::ledger::open(&url).await.unwrap(), pairs, callers).await;
            let file = std::fs::metadata(fresh.join("ledger.db")).unwrap().len();
            println!("{} B of the file for each pair", file / pairs);
            let (begun, cpu) = (Instant::now(), cpu_seconds());
            drop(assize_store::ledger::open(&url).await.unwrap());
            println!(
                "opened again in {:.0} ms ({:.0} ms of CPU)",
                begun.elapsed().as_secs_f64() * 1e3,
                (cpu_seconds() - cpu) * 1e3
            );
        }
        measure("in memory", assize_store::ledger::open("memory:").await.unwrap(), pairs, callers).await;
    });
}

use assize_core::{AskedAs, PlatformPolicy, TenantPolicy};
use assize_store::ledger::MemoryLedger;

use super::*;

fn name(text: &str) -> ProjectName {
    ProjectName::new(text).unwrap()
}

fn money(tenant: Budget, platform: Budget) -> Money {
    let platform = PlatformPolicy { budget: platform, ..PlatformPolicy::default() };
    let policy = TenantPolicy { budget: tenant, ..TenantPolicy::default() };
    Money::new(Arc::new(MemoryLedger::new()), Arc::new(OnePayer::under(policy, platform)))
}

fn a_day(most: u64) -> Budget {
    Budget { day_max: Some(NanoUsd(most)), month_max: None }
}

async fn reserve(money: &Money, call: &str, project: &str, (quick, tight): (u64, u64), seconds: i64) -> Result<(), Withheld> {
    let (judge, metric) = (JudgeName::new("gpt").unwrap(), MetricName::new("refusal").unwrap());
    let wanted = Wanted {
        project: &name(project),
        judge: &judge,
        metrics: &[&metric],
        now: Timestamp(1_795_507_200_000 + seconds * 1_000),
        lease: Duration::from_secs(60),
    };
    let bound = |tightness| Some(NanoUsd(if tightness == Tightness::Tight { tight } else { quick }));
    money.reserve(&CallId(call.to_owned()), &wanted, bound, &Counters::new()).await
}

fn answered(call: &str, cost: Option<u64>) -> CallRecord {
    CallRecord {
        id: CallId(call.to_owned()),
        judge: JudgeName::new("gpt").unwrap(),
        provider: assize_core::ProviderName::new("p").unwrap(),
        model: "m".to_owned(),
        status: CallStatus::Answered,
        error: None,
        usage: None,
        cost: cost.map(NanoUsd),
        latency_ms: 1,
        at: Timestamp(0),
        part: assize_core::Part::default(),
        asked_as: AskedAs::Reference,
        list: None,
    }
}

fn code(result: &Result<(), Withheld>) -> &str {
    match result {
        Ok(()) => "granted",
        Err(Withheld::Wait(_)) => "wait",
        Err(Withheld::Refused(reason)) => &reason.code,
    }
}

#[tokio::test]
async fn the_closer_bound_is_asked_for_where_the_quick_one_does_not_fit() {
    let money = money(a_day(100), Budget::default());
    assert_eq!(code(&reserve(&money, "a", "p", (150, 60), 0).await), "granted");
    let again = reserve(&money, "b", "p", (150, 60), 1).await;
    assert_eq!(code(&again), "wait", "60 are set aside, and less may be spent");
    money.settle([answered("a", Some(10))].iter(), Timestamp(0)).await.unwrap();
    assert_eq!(code(&reserve(&money, "b", "p", (150, 60), 2).await), "granted");
    money.settle([answered("b", Some(50))].iter(), Timestamp(0)).await.unwrap();
    let refused = reserve(&money, "c", "p", (150, 60), 3).await;
    assert_eq!(code(&refused), "tenant_day");
    let degraded = money.degradations.of(&TenantName::new("p").unwrap());
    assert_eq!((degraded.len(), degraded[0].count), (1, 1));
}

#[tokio::test]
async fn nobody_takes_more_than_a_half_of_the_platforms_budget_while_others_want_theirs() {
    let money = money(Budget::default(), a_day(100));
    for at in 0..7 {
        let call = format!("a{at}");
        assert_eq!(code(&reserve(&money, &call, "a", (10, 10), 0).await), "granted", "alone, more than a half");
        money.settle([answered(&call, Some(10))].iter(), Timestamp(0)).await.unwrap();
    }
    assert_eq!(code(&reserve(&money, "b0", "b", (10, 10), 1).await), "granted");
    assert_eq!(code(&reserve(&money, "a7", "a", (10, 10), 2).await), "share_of_day");
    for at in 1..3 {
        assert_eq!(code(&reserve(&money, &format!("b{at}"), "b", (10, 10), 3).await), "granted");
    }
    assert_eq!(code(&reserve(&money, "b3", "b", (10, 10), 4).await), "wait", "the platform's own cap");
}

fn failed_at_no_cost(call: &str) -> CallRecord {
    CallRecord { status: CallStatus::Failed, ..answered(call, Some(0)) }
}

#[tokio::test]
async fn unknown_costs_stay_charged_and_errors_cost_nothing() {
    let money = money(a_day(100), Budget::default());
    reserve(&money, "a", "p", (40, 40), 0).await.unwrap();
    money.settle([answered("a", None)].iter(), Timestamp(0)).await.unwrap();
    reserve(&money, "b", "p", (40, 40), 1).await.unwrap();
    let failed = CallRecord { status: CallStatus::Failed, error: Some("rate_limited".to_owned()), ..answered("b", None) };
    money.settle([failed].iter(), Timestamp(0)).await.unwrap();
    let nobody_there = CallRecord { error: Some("network".to_owned()), ..failed_at_no_cost("b2") };
    reserve(&money, "b2", "p", (60, 60), 1).await.unwrap();
    money.settle([nobody_there].iter(), Timestamp(0)).await.unwrap();
    reserve(&money, "c", "p", (60, 60), 2).await.unwrap();
    let broken = CallRecord { status: CallStatus::Failed, error: Some("timeout".to_owned()), ..answered("c", None) };
    money.settle([broken].iter(), Timestamp(0)).await.unwrap();
    assert_eq!(code(&reserve(&money, "d", "p", (1, 1), 3).await), "tenant_day");
}

#[tokio::test]
async fn a_run_has_one_day_and_its_budget_is_named() {
    let money = Money::of_run(Arc::new(MemoryLedger::new()), NanoUsd(50), Timestamp(0));
    reserve(&money, "a", "p", (40, 40), 0).await.unwrap();
    money.settle([answered("a", Some(40))].iter(), Timestamp(0)).await.unwrap();
    match reserve(&money, "b", "p", (40, 40), 200_000).await {
        Err(Withheld::Refused(reason)) => assert!(reason.message.contains("--budget-usd"), "{}", reason.message),
        other => panic!("{other:?}"),
    }
}

//! Texts of 1 KB per second of CPU time for the judges that run at accept: rules (100 phrases and five kinds of personal data) and the
//! linear models.
//!
//! `cargo bench -p assize-judge --bench inline`; `ASSIZE_BENCH_SECONDS` says how long each is measured (2).
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use assize_core::judge::InlineJudge;
use assize_core::{Interaction, Message, Role};
use assize_judge::spec::{Field, LinearSpec, PiiKind, RulesSpec};
use assize_judge::{linear, rules};
use nix::sys::resource::{UsageWho, getrusage};

const TEXT_BYTES: usize = 1024;
/// More texts than caches remember.
const TEXTS: usize = 2000;

/// Sentences of answers as assistants give them; a text is a row of them.
const SENTENCES: [&str; 24] = [
    "You can change the delivery address in your account until the parcel has left our warehouse.",
    "I'm glad that worked! Is there anything else I can help you with today?",
    "The function returns `None` when the list is empty, so check its length before you index into it.",
    "In 1969, two astronauts walked on the Moon while a third circled it in the command module.",
    "Mix the flour, the sugar and 2 eggs, then let the dough rest for about 30 minutes.",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    "Here is a short summary of the three main points of the article:",
    "- Prices rose by 4.2 % in the second quarter, mostly because of energy.",
    "Please note that this is general information and no legal advice.",
    "To cancel your subscription, open Settings > Billing and choose \"Cancel plan\".",
    "The train leaves at 10:45 from platform 7 and arrives in Vienna at 14:02.",
    "Unfortunately the item is out of stock; we expect new ones by the end of the month.",
    "Let x be the number of apples: then 3x + 5 = 20, so x = 5.",
    "A good essay states its claim early, supports it, and says what speaks against it.",
    "Your order has been confirmed and will be with you within two working days.",
    "It depends on the size of the garden, the soil and how much sun it gets.",
    "The novel's narrator is not reliable: he leaves out what does not suit him.",
    "Run `cargo build --release` and look for the binary below target/release.",
    "Dogs should not eat chocolate, onions or grapes; call a vet if yours did.",
    "Thank you for your patience, and sorry for the trouble this has caused.",
    "Version 2.1 fixes the crash that some users saw when they opened large files.",
    "Most people need between seven and nine hours of sleep a night.",
    "If the light blinks red, hold the button for ten seconds to reset the device.",
    "There are 27 countries in the union, of which 20 use the common currency.",
];

fn interactions() -> Vec<Interaction> {
    let empty = serde_json::json!({ "id": "i", "project": "p", "time": 0 });
    let empty: Interaction = serde_json::from_value(empty).unwrap();
    (0..TEXTS)
        .map(|n| {
            let mut text = String::new();
            let mut at = n * 7919;
            while text.len() < TEXT_BYTES {
                at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(SENTENCES[(at >> 33) % SENTENCES.len()]);
                text.push(' ');
            }
            text.truncate(TEXT_BYTES);
            Interaction { output: vec![Message::new(Role::Assistant, text)], ..empty.clone() }
        })
        .collect()
}

/// A hundred phrases that do not occur, each beginning like something that does.
fn rules() -> Arc<dyn InlineJudge> {
    let heads = [
        "you are such a",
        "I hate",
        "as an AI",
        "I cannot",
        "stop being",
        "the worst",
        "shut",
        "please never",
        "it is stupid",
        "go",
    ];
    let tails =
        ["fool", "you all", "model I", "assist with", "so lazy", "excuse", "your mouth", "write again", "to ask", "to hell"];
    let any_of = heads.iter().flat_map(|head| tails.iter().map(move |tail| format!("{head} {tail}"))).collect();
    let pii = vec![PiiKind::Email, PiiKind::Phone, PiiKind::CreditCard, PiiKind::UsSsn, PiiKind::IpAddress];
    rules::open(&RulesSpec { any_of, pii, ..RulesSpec::default() }).unwrap()
}

fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let of = |time: nix::sys::time::TimeVal| Duration::from_micros(time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64);
    of(usage.user_time()) + of(usage.system_time())
}

fn measure(name: &str, judge: &dyn InlineJudge, interactions: &[Interaction], wanted: Duration) {
    let found = interactions.iter().filter(|interaction| judge.judge(interaction).score >= 0.5).count();
    let (mut rates, mut texts) = (Vec::new(), 0_u64);
    for _ in 0..5 {
        let (began, cpu_began) = (Instant::now(), cpu_time());
        let mut judged = 0_u64;
        while began.elapsed() < wanted / 5 {
            for interaction in interactions {
                std::hint::black_box(judge.judge(std::hint::black_box(interaction)));
            }
            judged += interactions.len() as u64;
        }
        rates.push(judged as f64 / (cpu_time() - cpu_began).as_secs_f64());
        texts += judged;
    }
    rates.sort_by(f64::total_cmp);
    let (low, median, high) = (rates[0], rates[2], rates[4]);
    println!(
        "{name:18} {median:>9.0} texts/CPU-s ({low:.0} to {high:.0}), {:.2} us a text; {found} of {} found; {texts} judged",
        1e6 / median,
        interactions.len()
    );
}

fn main() {
    let seconds = std::env::var("ASSIZE_BENCH_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(2.0);
    let wanted = Duration::from_secs_f64(seconds);
    let interactions = interactions();
    println!("{TEXTS} texts of {TEXT_BYTES} bytes, one thread");
    measure("rules", rules().as_ref(), &interactions, wanted);
    for name in ["toxicity", "sentiment"] {
        let spec = LinearSpec { model: format!("builtin:{name}"), field: Some(Field::Output) };
        measure(&format!("linear {name}"), linear::open(&spec).unwrap().as_ref(), &interactions, wanted);
    }
}

//! A provider in trouble, the same for every order in which calls come: what an item is answered depends on its key, on how often it
//! was asked about, and on a seed.

use std::collections::HashMap;
use std::sync::Mutex;

use assize_testkit::provider::{Behaviour, Reply, Request};

/// The shares of calls that go wrong.
#[derive(Debug, Clone, Copy)]
pub struct Chaos {
    pub seed: u64,
    /// HTTP 429.
    pub limited: f64,
    /// HTTP 500.
    pub failing: f64,
    /// No answer at all.
    pub hanging: f64,
}

impl Default for Chaos {
    fn default() -> Self {
        Self { seed: 1, limited: 0.10, failing: 0.05, hanging: 0.02 }
    }
}

impl Chaos {
    /// A provider for items whose text holds a key `item-…;`.
    pub fn behaviour(self) -> Behaviour {
        let asked = Mutex::new(HashMap::<String, u64>::new());
        Behaviour::with(move |request: &Request| {
            let key = key_of(&request.item);
            let mut asked = asked.lock().unwrap();
            let times = asked.entry(key.clone()).or_default();
            *times += 1;
            self.reply(&key, *times)
        })
        .usage(1_000, 50)
    }

    /// How many calls it takes until the item with this key is answered.
    pub fn calls_for(self, key: &str) -> u64 {
        (1..).find(|times| matches!(self.reply(key, *times), Reply::Score { .. })).unwrap()
    }

    fn reply(self, key: &str, times: u64) -> Reply {
        let hash = blake3::hash(format!("{} {key} {times}", self.seed).as_bytes());
        let chance = f64::from(u32::from_le_bytes(hash.as_bytes()[..4].try_into().unwrap())) / 4_294_967_296.0;
        match chance {
            chance if chance < self.limited => Reply::status(429),
            chance if chance < self.limited + self.failing => Reply::status(500),
            chance if chance < self.limited + self.failing + self.hanging => Reply::Hang,
            _ => Reply::score(0.25),
        }
    }
}

fn key_of(item: &str) -> String {
    let from = item.find("item-").unwrap_or_else(|| panic!("no key in {item}"));
    item[from..].split_inclusive(';').next().unwrap().to_owned()
}

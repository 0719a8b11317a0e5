use std::sync::atomic::AtomicUsize;

use assize_core::{Message, Role};
use assize_testkit::samples::{self, MORNING};
use async_trait::async_trait;
use proptest::prelude::*;

use super::*;

/// Takes a text as an angle in degrees, whose cosines are known.
#[derive(Default)]
struct Angles {
    calls: AtomicUsize,
}

#[async_trait]
impl Embeddings for Angles {
    fn version(&self) -> String {
        "a".to_owned()
    }

    async fn embed(&self, texts: &[&str]) -> Result<Vec<Option<Vec<f32>>>, String> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let vector = |text: &&str| match *text {
            "longer than is read" => Ok(None),
            "nowhere" => Ok(Some(vec![0.0, 0.0])),
            text => {
                let angle: f32 = text.parse().map_err(|_| "no angle".to_owned())?;
                // Of a length that is not 1.
                Ok(Some(vec![3.0 * angle.to_radians().cos(), 3.0 * angle.to_radians().sin()]))
            }
        };
        texts.iter().map(vector).collect()
    }
}

fn index(bounds: Bounds) -> Nearest {
    Nearest::new(Arc::new(Angles::default()), bounds)
}

fn shelf(tenant: &str, metric: &str, version: &str) -> ShelfName {
    let tenant = TenantName::new(tenant).unwrap();
    ShelfName { tenant, metric: samples::metric(metric), version: samples::version(version) }
}

fn asked(input: &str, output: &str) -> Interaction {
    Interaction {
        input: vec![Message::new(Role::User, input)],
        output: vec![Message::new(Role::Assistant, output)],
        ..samples::interaction("p", "a", MORNING)
    }
}

fn key(n: usize) -> CacheKey {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&(n as u64).to_le_bytes());
    CacheKey(key)
}

const REST: CacheKey = CacheKey([7; 32]);

async fn vectors(nearest: &Nearest, input: f32, output: f32) -> Arc<Vectors> {
    Arc::new(nearest.vectors(&asked(&input.to_string(), &output.to_string())).await.unwrap().unwrap())
}

async fn add(nearest: &Nearest, name: &ShelfName, (input, output): (f32, f32), n: usize) {
    nearest.add(name.clone(), REST, vectors(nearest, input, output).await, key(n));
}

async fn find(nearest: &Nearest, name: &ShelfName, (input, output): (f32, f32)) -> Option<usize> {
    let found = nearest.find(name, REST, &vectors(nearest, input, output).await, 0.95).await?;
    (0..10_000).find(|n| key(*n) == found)
}

#[tokio::test]
async fn both_sides_must_be_near() {
    let (nearest, name) = (index(Bounds::default()), shelf("t", "m", "v"));
    assert_eq!(find(&nearest, &name, (0.0, 0.0)).await, None, "nothing is there");
    add(&nearest, &name, (0.0, 90.0), 1).await;
    // The cosine of 18 degrees is .951, that of 19 is .946.
    for (asked, found) in [
        ((0.0, 90.0), true),
        ((18.0, 72.0), true),
        ((18.0, 90.0), true),
        ((19.0, 90.0), false),
        ((0.0, 71.0), false),
        ((90.0, 0.0), false),
        ((180.0, 270.0), false),
    ] {
        assert_eq!(find(&nearest, &name, asked).await, found.then_some(1), "{asked:?}");
    }
}

#[tokio::test]
async fn the_one_that_is_nearest_on_its_worse_side_is_taken() {
    let (nearest, name) = (index(Bounds::default()), shelf("t", "m", "v"));
    for (at, angles) in [(0.0, 15.0), (9.0, 8.0), (16.0, 1.0), (0.0, 30.0)].into_iter().enumerate() {
        add(&nearest, &name, angles, at).await;
    }
    assert_eq!(find(&nearest, &name, (0.0, 0.0)).await, Some(1));
    assert_eq!(find(&nearest, &name, (0.0, 29.0)).await, Some(3));
}

#[tokio::test]
async fn nobody_finds_what_is_anothers_or_about_something_else() {
    let (nearest, name) = (index(Bounds::default()), shelf("t", "m", "v"));
    add(&nearest, &name, (0.0, 0.0), 1).await;
    let same = vectors(&nearest, 0.0, 0.0).await;
    for other in [shelf("u", "m", "v"), shelf("t", "n", "v"), shelf("t", "m", "w")] {
        assert_eq!(nearest.find(&other, REST, &same, 0.5).await, None, "{other:?}");
    }
    assert_eq!(nearest.find(&name, CacheKey([8; 32]), &same, 0.5).await, None, "another context");
    assert_eq!(nearest.find(&name, REST, &same, 0.5).await, Some(key(1)));

    add(&nearest, &shelf("u", "m", "v"), (0.0, 0.0), 2).await;
    nearest.forget(&name.tenant);
    assert_eq!(find(&nearest, &name, (0.0, 0.0)).await, None);
    assert_eq!(find(&nearest, &shelf("u", "m", "v"), (0.0, 0.0)).await, Some(2));
    assert_eq!(nearest.shelves().entries, 1);
}

#[tokio::test]
async fn a_full_shelf_drops_its_oldest_and_holds_a_key_once() {
    let (nearest, name) = (index(Bounds { per_shelf: 3, entries: 100, shelves: 9 }), shelf("t", "m", "v"));
    for n in 0..5 {
        // 20 degrees lie between any two.
        add(&nearest, &name, (20.0 * n as f32, 0.0), n).await;
    }
    for n in 0..5 {
        assert_eq!(find(&nearest, &name, (20.0 * n as f32, 0.0)).await, (n >= 2).then_some(n));
    }
    add(&nearest, &name, (200.0, 0.0), 3).await;
    assert_eq!(find(&nearest, &name, (60.0, 0.0)).await, None);
    assert_eq!(find(&nearest, &name, (200.0, 0.0)).await, Some(3));
    assert_eq!(find(&nearest, &name, (40.0, 0.0)).await, Some(2), "nothing else went for it");
    assert_eq!(nearest.shelves().entries, 3);
}

#[tokio::test]
async fn the_shelf_that_was_used_least_lately_goes_for_room() {
    let shelves: Vec<ShelfName> = ["a", "b", "c", "d"].map(|tenant| shelf(tenant, "m", "v")).into();
    for bounds in [
        Bounds { per_shelf: 4, entries: 3, shelves: 100 },
        Bounds { per_shelf: 4, entries: 100, shelves: 3 },
        Bounds { per_shelf: 0, entries: 3, shelves: 3 },
    ] {
        let nearest = index(bounds);
        for (at, name) in shelves[..3].iter().enumerate() {
            add(&nearest, name, (0.0, 0.0), at).await;
        }
        assert_eq!(find(&nearest, &shelves[0], (0.0, 0.0)).await, Some(0));
        add(&nearest, &shelves[3], (0.0, 0.0), 3).await;
        for (at, name) in shelves.iter().enumerate() {
            assert_eq!(find(&nearest, name, (0.0, 0.0)).await, (at != 1).then_some(at), "{bounds:?}");
        }
        let held = nearest.shelves();
        assert_eq!((held.entries, held.by_name.len()), (3, 3), "{bounds:?}");
    }
}

#[tokio::test]
async fn what_an_embedding_does_not_cover_is_not_compared() {
    let angles = Arc::new(Angles::default());
    let nearest = Nearest::new(Arc::clone(&angles) as Arc<dyn Embeddings>, Bounds::default());
    let calls = || angles.calls.load(Ordering::Relaxed);
    let padded = |chars: usize| format!("{:>chars$}", 1).replace(' ', "0");
    assert!(nearest.vectors(&asked(&padded(CHARS_MAX), "1")).await.unwrap().is_some());
    assert_eq!(calls(), 1);
    for (input, output) in [(padded(CHARS_MAX + 1), "1".to_owned()), ("1".to_owned(), "0".repeat(1 << 20))] {
        assert_eq!(nearest.vectors(&asked(&input, &output)).await, Ok(None));
    }
    assert_eq!(calls(), 1, "nothing is computed for it");
    assert_eq!(joined(&["\u{1f600}".repeat(CHARS_MAX).as_str()]).map(|text| text.chars().count()), Some(CHARS_MAX));
    assert_eq!(joined(&["a", "b"]).as_deref(), Some("a\n\nb"));
    assert_eq!(nearest.vectors(&asked("longer than is read", "1")).await, Ok(None));
    assert!(nearest.vectors(&asked("nowhere", "1")).await.is_err(), "no direction");
    assert!(nearest.vectors(&asked("fails", "1")).await.is_err());
}

/// Never comes to an end.
struct Stuck;

#[async_trait]
impl Embeddings for Stuck {
    fn version(&self) -> String {
        "a".to_owned()
    }

    async fn embed(&self, _texts: &[&str]) -> Result<Vec<Option<Vec<f32>>>, String> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_said_once_until_it_is_over() {
    let stuck = Nearest::new(Arc::new(Stuck), Bounds::default());
    assert!(stuck.vectors(&asked("1", "1")).await.is_err(), "nobody waits for ever");
    let nearest = index(Bounds::default());
    assert!(nearest.should_say() && !nearest.should_say());
    nearest.vectors(&asked("1", "1")).await.unwrap();
    assert!(nearest.should_say());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_search_is_its_definition(
        entries in prop::collection::vec((0..3_u8, prop::collection::vec(-1.0..1.0_f32, 2 * 21)), 0..30),
        wanted in prop::collection::vec(-1.0..1.0_f32, 2 * 21),
        similarity in 0.05..0.95_f64,
    ) {
        // 21 dimensions: whole parts of the sums, and a remainder.
        let made = |numbers: &[f32]| Vectors::new(numbers[..21].to_vec(), numbers[21..].to_vec());
        let cosine = |a: &[f32], b: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let likeness = |numbers: &[f32]| cosine(&numbers[..21], &wanted[..21]).min(cosine(&numbers[21..], &wanted[21..]));
        let vectors = made(&wanted);
        prop_assume!(vectors.is_some() && entries.iter().all(|(_, numbers)| made(numbers).is_some()));
        let of_rest = entries.iter().enumerate().filter(|(_, (rest, _))| *rest == 1).map(|(at, (_, numbers))| (likeness(numbers), at));
        let best = of_rest.clone().filter(|(likeness, _)| *likeness >= similarity).max_by(|a, b| a.0.total_cmp(&b.0));
        // What single precision cannot tell from the limit, or from the best, proves nothing.
        prop_assume!(of_rest.clone().all(|(likeness, _)| (likeness - similarity).abs() > 1e-5));
        prop_assume!(of_rest.clone().filter(|(likeness, _)| best.is_some_and(|(most, _)| most - likeness < 1e-5)).count() <= 1);
        let kept: Vec<Arc<Entry>> = entries
            .iter()
            .enumerate()
            .map(|(at, (rest, numbers))| {
                Arc::new(Entry { rest: CacheKey([*rest; 32]), vectors: Arc::new(made(numbers).unwrap()), key: key(at) })
            })
            .collect();
        prop_assert_eq!(nearest(&kept, CacheKey([1; 32]), &vectors.unwrap(), similarity), best.map(|(_, at)| key(at)));
    }
}

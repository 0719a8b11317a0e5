use super::*;

const NEUTRAL: [&str; 24] = [
    "table", "river", "window", "answer", "garden", "number", "letter", "train", "coffee", "paper", "street", "music", "winter",
    "engine", "bread", "market", "island", "button", "doctor", "summer", "bridge", "mirror", "camera", "forest",
];
const PLANTED: [&str; 6] = ["grumble", "snarl", "sneering", "spiteful", "vicious", "hostile"];

/// Words in a row; the positives hold a planted one. `noise` of a hundred labels are wrong.
fn planted(count: usize, noise: usize) -> Vec<Example> {
    let mut state = 9_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    (0..count)
        .map(|n| {
            let mut words: Vec<&str> = (0..8).map(|_| NEUTRAL[draw(NEUTRAL.len())]).collect();
            let positive = n % 2 == 0;
            if positive {
                let at = draw(words.len());
                words[at] = PLANTED[draw(PLANTED.len())];
            }
            let wrong = draw(100) < noise;
            Example {
                text: words.join(" "),
                label: f64::from(u8::from(positive != wrong)),
                cluster: None,
                source: Some(if n % 3 == 0 { "third".to_owned() } else { "rest".to_owned() }),
            }
        })
        .collect()
}

fn spec() -> TrainSpec {
    TrainSpec { name: "planted".to_owned(), bytes_bits: 12, words_bits: 12, rounds_max: 15, ..TrainSpec::default() }
}

fn trained(examples: &[Example], spec: &TrainSpec) -> Trained {
    train(examples, spec, &mut |_| ()).unwrap()
}

#[test]
fn a_planted_signal_is_recovered() {
    let mut rounds = Vec::new();
    let found = train(&planted(900, 0), &spec(), &mut |progress| rounds.push(progress)).unwrap();
    let held_out = &found.report.held_out;
    assert!(held_out.auc.unwrap() > 0.99 && held_out.f1.unwrap() > 0.97, "{held_out:?}");
    assert_eq!(held_out.count, found.report.test.count);
    assert!(found.model.score("the garden was vicious and the river too") > 0.8);
    assert!(found.model.score("the garden was quiet and the river too") < 0.2);
    // A spelling that was never seen, by its characters.
    assert!(found.model.score("coffee viciously market") > found.model.score("coffee vividly market") + 0.2);
    // However long the text around it is.
    let long = "The bridge and the forest. ".repeat(200);
    let within = found.model.score(&format!("{long} A spiteful letter, vicious and hostile. {long}"));
    assert!(within > found.model.score(&long) + 0.2, "{within} {}", found.model.score(&long));
    assert!(rounds.len() >= 2 && rounds.iter().enumerate().all(|(at, progress)| progress.round as usize == at + 1));
    assert!((rounds.iter().map(|progress| progress.loss).fold(f64::INFINITY, f64::min) - found.report.loss).abs() < 1e-12);
    let sources: Vec<&str> = found.report.by_source.iter().map(|(source, _)| source.as_str()).collect();
    assert_eq!(sources, ["rest", "third"]);
    assert_eq!(found.report.by_source.iter().map(|(_, measured)| measured.count).sum::<u64>(), held_out.count);
}

#[test]
fn scores_are_calibrated_where_labels_are_uncertain() {
    // A fifth of the labels are wrong: an honest score is about 0.8 or 0.2, not 1 or 0.
    let found = trained(&planted(3000, 20), &spec());
    let mean = |words: &[&str]| {
        words.iter().map(|word| found.model.score(&format!("table river window {word} summer letter train coffee"))).sum::<f64>()
            / words.len() as f64
    };
    let (positive, negative) = (mean(&PLANTED), mean(&NEUTRAL[12..18]));
    assert!((0.68..0.92).contains(&positive), "{positive}");
    assert!((0.08..0.32).contains(&negative), "{negative}");
    assert!(found.report.held_out.ece < 0.1, "{:?}", found.report.held_out);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let examples = planted(400, 10);
    let spec = TrainSpec { rounds_max: 4, ..spec() };
    let one = trained(&examples, &spec);
    assert_eq!(one, trained(&examples, &spec));
    assert_ne!(one.model.to_bytes(), trained(&examples, &TrainSpec { seed: 2, ..spec }).model.to_bytes());
}

#[test]
fn it_stops_when_it_gets_no_better() {
    // Labels without any signal: validation soon gets worse.
    let examples: Vec<Example> = planted(600, 50);
    let spec = TrainSpec { rounds_max: 200, patience: 2, ..spec() };
    let mut rounds = 0;
    let found = train(&examples, &spec, &mut |_| rounds += 1).unwrap();
    assert!(rounds < 30 && rounds == found.report.round + 2, "{rounds} {}", found.report.round);
    // And the scores do not pretend to know.
    assert!(found.report.held_out.auc.is_some_and(|auc| (0.2..0.8).contains(&auc)), "{:?}", found.report.held_out);
    assert!(found.model.score("a vicious table") < 0.95);
}

#[test]
fn too_little_or_out_of_range_is_refused() {
    let failed = |examples: &[Example], spec: &TrainSpec| train(examples, spec, &mut |_| ()).unwrap_err().to_string();
    assert!(failed(&[], &spec()).contains("0 positive and 0 negative"));
    let one_sided: Vec<Example> = planted(400, 0).into_iter().map(|example| Example { label: 1.0, ..example }).collect();
    assert!(failed(&one_sided, &spec()).contains("0 negative"));
    let one_cluster: Vec<Example> =
        planted(400, 0).into_iter().map(|example| Example { cluster: Some("c".into()), ..example }).collect();
    assert!(failed(&one_cluster, &spec()).contains("clusters"));
    let examples = planted(400, 0);
    for (spec, wanted) in [
        (TrainSpec { bytes_bits: 7, ..spec() }, "bits"),
        (TrainSpec { words_bits: 23, ..spec() }, "bits"),
        (TrainSpec { rounds_max: 0, ..spec() }, "rounds"),
        (TrainSpec { patience: 0, ..spec() }, "patience"),
        (TrainSpec { learning_rate: f32::NAN, ..spec() }, "learning rate"),
        (TrainSpec { learning_rate: 0.0, ..spec() }, "learning rate"),
        (TrainSpec { l2: -1.0, ..spec() }, "l2"),
        (TrainSpec { l2: f32::NAN, ..spec() }, "l2"),
        (TrainSpec { name: String::new(), ..spec() }, "name"),
    ] {
        assert!(failed(&examples, &spec).contains(wanted), "{wanted}");
    }
}

#[test]
fn any_step_gives_a_model_that_can_be_opened() {
    let examples = planted(400, 30);
    for learning_rate in [1e-6, 10.0] {
        let found = trained(&examples, &TrainSpec { learning_rate, l2: 1.0, rounds_max: 3, ..spec() });
        assert_eq!(LinearModel::from_bytes("m", found.model.to_bytes()).unwrap(), found.model);
    }
}

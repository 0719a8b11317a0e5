//! Tests of sums.

use super::*;

fn bucket() -> Bucket {
    let mut bucket = Bucket { hour: 7, ..Bucket::default() };
    for (i, pi) in [0.1, 0.5, 1.0, 0.25, 0.1].into_iter().enumerate() {
        let h = [1.0, 0.0, 0.3, 0.5, 0.0][i];
        bucket.push(Item { probability: pi, drawn: true, free: 0.5, reference: (i < 4).then_some(h) });
        bucket.push(Item { probability: pi, drawn: false, free: 0.1, reference: None });
    }
    bucket
}

#[test]
fn pushes_what_the_definitions_say() {
    let b = bucket();
    assert_eq!((b.population, b.drawn, b.judged, b.positives, b.max_w), (10, 5, 4, 2, 10.0));
    assert!((b.drawn_w - 27.0).abs() < 1e-12 && (b.g - 3.0).abs() < 1e-12 && (b.gg - 1.3).abs() < 1e-12);
    assert!((b.w[0] - 17.0).abs() < 1e-12, "10 + 2 + 1 + 4");
    assert!((b.w[2] - (10.0 + 0.3 + 2.0)).abs() < 1e-12);
    assert!((b.w[4] - 0.5 * b.w[2]).abs() < 1e-12);
    assert!((b.q[0] - (90.0 + 2.0 + 12.0)).abs() < 1e-9, "(1-pi)/pi^2");
    assert!((b.q[5] - (90.0 + 3.0)).abs() < 1e-9);
    assert_eq!(b.check(), Ok(()));
}

#[test]
fn refuses_what_no_interactions_can_sum_to() {
    type Break = fn(&mut Bucket);
    let breaks: [(&str, Break); 21] = [
        ("NaN", |b| b.w[2] = f64::NAN),
        ("infinite", |b| b.q[0] = f64::INFINITY),
        ("negative", |b| b.w[5] = -1.0),
        ("free score", |b| b.g = f64::NAN),
        ("huge", |b| b.drawn_w = 1e61),
        ("more judged than drawn", |b| b.judged = 6),
        ("more drawn than there are", |b| b.population = 4),
        ("more positives than judged", |b| b.positives = 5),
        ("weights without judged", |b| (b.judged, b.positives) = (0, 0)),
        ("judged weigh more than drawn", |b| b.drawn_w = 16.9),
        ("maximum too small", |b| b.max_w = 4.0),
        ("q forgotten", |b| b.q = [0.0; 6].into()),
        ("score above 1", |b| b.w[2] = 17.1),
        ("square above the score", |b| b.w[5] = b.w[2] + 0.1),
        ("free scores above 1", |b| b.g = 10.1),
        ("square of the free scores above them", |b| b.gg = b.g + 0.1),
        ("product above both", |b| b.w[4] = b.w[1].min(b.w[2]) + 0.1),
        ("cheap score above 1", |b| b.q[1] = b.q[0] + 1.0),
        ("sums of two tiers", |b| b.w = vec![0.0; 10].into()),
        ("half of the groups", |b| b.groups = vec![0.0; 160]),
        ("more disagreements than judged", |b| b.disagreements = 5),
    ];
    for (name, change) in breaks {
        let mut broken = bucket();
        change(&mut broken);
        assert!(matches!(broken.check(), Err(EstimateError::Sums { hour: 7, .. })), "{name}");
    }
}

/// Free score, draws, group of the conversation.
type Row = (f64, Vec<Draw>, u8);

/// A course of three tiers, with what is left of it: drawn for the second and failed there, say.
fn courses() -> Vec<Row> {
    let mut courses = Vec::new();
    for i in 0..400_u32 {
        let part = |step: f64| (f64::from(i) * step).fract();
        let (u, x) = (part(0.618_033_988_749_894_9), part(0.754_877_666_246_692_8));
        let pi = [0.8, 0.5 - 0.2 * x, 0.25];
        let scores = [x, 0.5 * x + 0.25, f64::from(u8::from(x > 0.4))];
        let mut draws = Vec::new();
        for (k, (probability, score)) in pi.into_iter().zip(scores).enumerate() {
            if u >= probability {
                break;
            }
            let fails = (i + 3 * k as u32).is_multiple_of(13);
            draws.push(Draw { probability, score: (!fails).then_some(score) });
            if fails {
                break;
            }
        }
        courses.push((part(0.569_840_290_998_053_2), draws, (i % 40) as u8));
    }
    courses
}

#[test]
fn several_tiers_push_what_the_definitions_say() {
    let (courses, stratum) = (courses(), Stratum { design: 3, cell: 2, class: 1 });
    let mut bucket = Bucket::new(5, stratum, 3);
    for (free, draws, group) in &courses {
        bucket.push_course(&Course { free: *free, draws, group: Some(*group) }).unwrap();
    }
    assert_eq!(bucket.check(), Ok(()));
    let at = |k: usize| courses.iter().filter(move |(_, draws, _)| draws.len() > k);
    let scored = |k: usize| at(k).filter(move |(_, draws, _)| draws[k].score.is_some());
    assert_eq!(
        (bucket.population, bucket.between[0].drawn, bucket.between[1].drawn, bucket.drawn),
        (400, at(0).count() as u64, at(1).count() as u64, at(2).count() as u64)
    );
    assert_eq!(
        (bucket.between[0].scored, bucket.between[1].scored, bucket.judged),
        (scored(0).count() as u64, scored(1).count() as u64, scored(2).count() as u64)
    );
    assert!(bucket.judged > 30 && bucket.judged < bucket.drawn && bucket.between[1].scored < bucket.between[1].drawn);
    let z =
        |course: &Row| -> Vec<f64> { [1.0, course.0].into_iter().chain(course.1.iter().map_while(|draw| draw.score)).collect() };
    for (k, between) in bucket.between.iter().enumerate() {
        for (i, sum) in between.linear.iter().enumerate() {
            let rows: f64 = scored(k).map(|course| z(course)[i] / course.1[k].probability).sum();
            assert!((sum - rows).abs() < 1e-9, "tier {k}, score {i}");
        }
    }
    let pi = |course: &Row, k: usize| if k == 0 { 1.0 } else { course.1[k - 1].probability };
    for i in 0..5 {
        for j in 0..5 {
            let sum = |of: &dyn Fn(&Row) -> f64| {
                scored(2).map(|course| of(course) * z(course)[i] * z(course)[j] / pi(course, 3)).sum::<f64>()
            };
            assert!((bucket.w.entry(5, 0, i, j) - sum(&|_| 1.0)).abs() < 1e-9);
            for k in 1..=3 {
                let rows = sum(&|course| 1.0 / pi(course, k) - 1.0 / pi(course, k - 1));
                assert!((bucket.q.entry(5, k - 1, i, j) - rows).abs() < 1e-8, "{k} {i} {j}");
            }
        }
    }
    // Groups add up to the whole.
    assert_eq!((group_stride(1), group_stride(2), group_stride(3), bucket.groups.len()), (5, 9, 14, 64 * 14));
    let whole = |place: usize| bucket.groups.chunks(14).map(|group| group[place]).sum::<f64>();
    assert_eq!(whole(0), 400.0);
    assert!((whole(1) - bucket.g).abs() < 1e-9 && (whole(group_tier(2)) - bucket.between[1].linear[0]).abs() < 1e-9);
    for i in 0..5 {
        assert!((whole(group_tier(3) + i) - bucket.w.entry(5, 0, 0, i)).abs() < 1e-9);
    }
    assert!(bucket.groups[14 * 40..].iter().all(|sum| *sum == 0.0));
}

#[test]
fn events_and_parts_add_up_to_courses() {
    let courses = courses();
    let stratum = Stratum::default();
    let (mut whole, mut events, mut parts) =
        (Bucket::new(1, stratum, 3), Bucket::new(1, stratum, 3), vec![Bucket::new(1, stratum, 3); 3]);
    for (i, (free, draws, group)) in courses.iter().enumerate() {
        let course = Course { free: *free, draws, group: Some(*group) };
        whole.push_course(&course).unwrap();
        parts[i % 3].push_course(&course).unwrap();
        events.accept(*free, Some(*group));
        let (mut probabilities, mut scores) = (vec![], vec![*free]);
        for (k, draw) in draws.iter().enumerate() {
            events.draw(k + 1, draw.probability).unwrap();
            if let Some(score) = draw.score {
                probabilities.push(draw.probability);
                scores.push(score);
                // As a record of its own, which comes later.
                let mut later = Bucket::new(9, stratum, 3);
                later.score(&probabilities, &scores, Some(*group)).unwrap();
                events.add(&later).unwrap();
            }
        }
    }
    let mut sum = Bucket::new(1, stratum, 3);
    parts.iter().for_each(|part| sum.add(part).unwrap());
    for other in [events, sum] {
        assert_eq!(
            (other.population, other.judged, other.positives, other.disagreements, other.max_w, other.hour),
            (whole.population, whole.judged, whole.positives, whole.disagreements, whole.max_w, 1)
        );
        let all = |bucket: &Bucket| -> Vec<f64> {
            let between = bucket.between.iter().flat_map(|tier| tier.linear.iter().chain([&tier.drawn_w]));
            bucket.w.iter().chain(&*bucket.q).chain(between).chain(&bucket.groups).copied().collect()
        };
        let (a, b) = (all(&whole), all(&other));
        assert!(a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-9));
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let mut three = Bucket::new(1, Stratum::default(), 3);
    let mut one = bucket();
    three.add(&Bucket::default()).unwrap();
    three.add(&one).unwrap();
    assert_eq!((three.tiers(), three.hour, three.judged), (1, 1, 4), "an empty bucket takes any");
    let mut full = Bucket::new(1, Stratum::default(), 3);
    full.accept(0.5, None);
    assert!(matches!(one.add(&full), Err(EstimateError::Sums { hour: 1, .. })) && one == bucket());
    assert!(full.draw(4, 0.5).is_err() && full.draw(0, 0.5).is_err() && full.score(&[0.5], &[0.5], None).is_err());
    let draws = [Draw { probability: 0.5, score: None }, Draw { probability: 0.1, score: Some(1.0) }];
    let course = Course { free: 0.0, draws: &draws, group: None };
    assert!(matches!(full.push_course(&course), Err(EstimateError::Row { .. })) && full.population == 1);
    assert_eq!((Bucket::new(0, Stratum::default(), 0).tiers(), Bucket::new(0, Stratum::default(), 99).tiers()), (1, TIERS_MAX));
}

#[test]
fn groups_stay_only_where_all_have_one() {
    let mut grouped = Bucket::default();
    grouped.accept(0.5, Some(70));
    assert_eq!((grouped.groups.len(), grouped.groups[6 * 5]), (320, 1.0), "70 is group 6");
    let mut other = grouped.clone();
    let mut draw = Bucket::default();
    draw.draw(1, 0.5).unwrap();
    other.add(&draw).unwrap();
    assert_eq!(other.groups.len(), 320, "draws are not in groups");
    let mut alone = Bucket::default();
    alone.accept(0.5, None);
    other.add(&alone).unwrap();
    assert!(other.groups.is_empty());
    grouped.accept(0.5, None);
    grouped.accept(0.5, Some(1));
    assert!(grouped.groups.is_empty() && grouped.check().is_ok());
}

#[test]
fn one_tier_of_several() {
    let (mut three, mut one) = (Bucket::new(1, Stratum::default(), 3), Bucket::default());
    for (free, draws, group) in courses() {
        let draws: Vec<Draw> = draws.into_iter().map(|draw| Draw { score: Some(draw.score.unwrap_or(0.5)), ..draw }).collect();
        three.push_course(&Course { free, draws: &draws, group: Some(group) }).unwrap();
        let last = draws.get(2).copied();
        one.accept(free, Some(group));
        if let Some(draw) = last {
            one.draw(1, draw.probability).unwrap();
            one.score(&[draw.probability], &[free, draw.score.unwrap()], Some(group)).unwrap();
        }
    }
    let reduced = three.one_tier();
    assert_eq!((reduced.drawn, reduced.judged, reduced.tiers(), reduced.check()), (one.drawn, one.judged, 1, Ok(())));
    let close = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-8);
    assert!(close(&reduced.w, &one.w) && close(&reduced.q, &one.q) && close(&reduced.groups, &one.groups));
    assert!((reduced.drawn_w - one.drawn_w).abs() < 1e-9);
}

#[test]
fn classes_halve() {
    let classes = [(1.0, 0), (0.6, 0), (0.5, 1), (0.3, 1), (0.25, 2), (0.02, 5), (1e-30, 63), (0.0, 63), (f64::NAN, 63)];
    classes.iter().for_each(|(pi, class)| assert_eq!(probability_class(*pi), *class, "{pi}"));
}

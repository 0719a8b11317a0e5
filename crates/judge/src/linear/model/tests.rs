use proptest::prelude::*;

use super::*;

/// A small model whose weights are anything, and so exercise everything.
fn model(seed: u8) -> LinearModel {
    let weights = |salt: u8| -> Cow<'static, [u8]> {
        let mut out = vec![0; 1 << 10];
        blake3::Hasher::new().update(&[seed, salt]).finalize_xof().fill(&mut out);
        out.into()
    };
    LinearModel {
        name: "tested".to_owned(),
        bytes: Table { bits: 10, scale: 0.01, weights: weights(1) },
        words: Table { bits: 10, scale: 0.02, weights: weights(2) },
        bias: -0.5,
        slope: 1.25,
        offset: 0.125,
        threshold: 0.4,
    }
}

fn read(bytes: &[u8]) -> Result<LinearModel, ModelError> {
    LinearModel::from_bytes("a/file.bin", bytes.to_vec())
}

/// The file with something else in its head and a checksum that fits.
fn changed(at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = model(1).to_bytes();
    bytes[at..at + with.len()].copy_from_slice(with);
    let body = bytes.len() - CHECKSUM_BYTES;
    let checksum = blake3::hash(&bytes[..body]);
    bytes[body..].copy_from_slice(checksum.as_bytes());
    bytes
}

#[test]
fn what_is_written_is_read() {
    let model = model(1);
    assert_eq!(read(&model.to_bytes()).unwrap(), model);
    let directory = std::env::temp_dir().join(format!("assize-linear-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("model.bin");
    std::fs::write(&path, model.to_bytes()).unwrap();
    assert_eq!(LinearModel::open(&path).unwrap(), model);
    std::fs::remove_dir_all(&directory).unwrap();
    let error = LinearModel::open(&path).unwrap_err();
    assert!(error.file.ends_with("model.bin") && error.what.contains("cannot be read"), "{error}");
}

#[test]
fn a_file_that_is_no_model_is_refused_and_says_why() {
    let whole = model(1).to_bytes();
    let mut damaged = whole.clone();
    damaged[200] ^= 1;
    let bits_at = MAGIC.len() + 8;
    let scales_at = bits_at + 8;
    let calibration_at = scales_at + 12;
    for (bytes, wanted) in [
        (vec![], "no linear model"),
        (b"ASZ".to_vec(), "no linear model"),
        (b"{\"output\": \"text\", \"label\": 1}".to_vec(), "begins otherwise"),
        (whole[..60].to_vec(), "cut short"),
        (whole[..whole.len() - 1].to_vec(), "cut short"),
        ([whole.as_slice(), b"more"].concat(), "something else"),
        (damaged, "checksum"),
        (changed(MAGIC.len(), &2_u32.to_le_bytes()), "format 2.1"),
        (changed(MAGIC.len() + 4, &9_u32.to_le_bytes()), "format 1.9"),
        (changed(bits_at, &11_u32.to_le_bytes()), "bytes of weights"),
        (changed(bits_at, &63_u32.to_le_bytes()), "2^63"),
        (changed(bits_at, &0_u32.to_le_bytes()), "2^0"),
        (changed(scales_at, &f32::NAN.to_le_bytes()), "no number"),
        (changed(scales_at + 8, &f32::INFINITY.to_le_bytes()), "no number"),
        (changed(calibration_at, &f64::NAN.to_le_bytes()), "no number"),
        (changed(calibration_at, &(-1.0_f64).to_le_bytes()), "calibration"),
        (changed(calibration_at + 16, &1.5_f64.to_le_bytes()), "calibration"),
        (changed(calibration_at + 24, &u32::MAX.to_le_bytes()), "name"),
        (changed(calibration_at + 28, &[0xff]), "UTF-8"),
    ] {
        let error = read(&bytes).unwrap_err();
        assert_eq!(error.file, "a/file.bin");
        assert!(error.what.contains(wanted), "{wanted}: {error}");
    }
}

#[test]
fn a_higher_margin_is_a_higher_score() {
    let model = model(1);
    let scores: Vec<f64> = (-100..100).map(|margin| model.score_of(margin as f32 / 10.0)).collect();
    assert!(scores.is_sorted() && scores[0] >= 0.0 && scores[199] <= 1.0 && scores[0] < scores[199]);
    assert_eq!((logistic(1e300), logistic(-1e300), logistic(0.0)), (1.0, 0.0, 0.5));
}

#[test]
fn the_middle_of_a_long_text_is_not_read() {
    let model = model(1);
    // The same but for the middle; spaces make no segments of their own.
    let long = |middle: &str| {
        format!(
            "{}{}{}",
            "One of many words. ".repeat(HEAD_BYTES / 19 + 1),
            middle.repeat(100),
            " the end".repeat(TAIL_BYTES / 8)
        )
    };
    assert_eq!(model.score(&long("quiet ")), model.score(&long("noise ")));
    // What lies across the limit in characters of four bytes is cut between them.
    assert!((0.0..=1.0).contains(&model.score(&format!("a{}", "🙂🙃".repeat(20_000)))));
    let mut seen = String::new();
    each_segment([format!("{}{}", "x ".repeat(30_000), "last").as_str()].into_iter(), &mut |segment| {
        seen = String::from_utf8(segment.text().to_vec()).unwrap();
    });
    assert!(seen.ends_with(" last "));
}

#[test]
fn texts_beyond_the_limit_are_read_at_both_ends_together() {
    let texts: Vec<String> = (0..100).map(|n| format!("t{n:03} {}", "word ".repeat(200))).collect();
    let mut seen = String::new();
    each_segment(texts.iter().map(String::as_str), &mut |segment| seen.push_str(std::str::from_utf8(segment.text()).unwrap()));
    assert!(seen.len() <= HEAD_BYTES + TAIL_BYTES + 400);
    // Digits are zeros in normal form.
    assert_eq!(seen.matches(" t00 ").count(), 33 + 8, "the first 33 texts and the last 8 begin within the limit");
}

#[test]
fn nothing_to_read_scores_nothing() {
    for text in ["", " ", "\n\t\u{0}", "'''", "\u{200b}"] {
        assert_eq!(model(1).score(text), 0.0, "{text:?}");
    }
}

#[test]
fn a_megabyte_of_anything_is_survived() {
    for text in [
        "🙂".repeat(1 << 18),
        "\u{1}\u{7}\u{1b}".repeat(1 << 18),
        "a".repeat(1 << 20),
        "é\u{301}".repeat(1 << 18),
        "!?".repeat(1 << 19),
    ] {
        assert!((0.0..=1.0).contains(&model(1).score(&text)));
    }
}

proptest! {
    #[test]
    fn every_score_is_a_probability_and_the_same_again(seed in any::<u8>(), text in any::<String>(), words in "[a-zA-Z0-9' .,!?\n]{0,1500}") {
        let model = model(seed);
        for text in [&text, &words] {
            let score = model.score(text);
            prop_assert!((0.0..=1.0).contains(&score));
            prop_assert_eq!(score, model.score(text));
            prop_assert_eq!(score, read(&model.to_bytes()).unwrap().score(text));
        }
        // The worst segment decides, so more text never scores lower.
        let first = model.search([text.as_str()].into_iter()).margin;
        prop_assert!(model.search([text.as_str(), words.as_str()].into_iter()).margin >= first);
    }

    #[test]
    fn no_bytes_make_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..300), flip in any::<prop::sample::Index>(), with in any::<u8>()) {
        prop_assert!(read(&bytes).is_err());
        prop_assert!(read(&[&MAGIC[..], &bytes].concat()).is_err());
        let mut damaged = model(1).to_bytes();
        let at = flip.index(damaged.len());
        if damaged[at] != with {
            damaged[at] = with;
            prop_assert!(read(&damaged).is_err());
        }
    }
}

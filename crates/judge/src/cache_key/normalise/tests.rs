use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

#[test]
fn what_is_taken_out_and_what_stays() {
    let cases = [
        ("", ""),
        ("  \t\r\n ", ""),
        ("Do  NOT\u{a0}\u{2003}do\nthat\u{7} .", "do not do that ."),
        ("ＦＵＬＬ ﬁne ½", "full fine \u{fdd0}⁄\u{fdd0}"),
        ("ΟΔΟΣ οδός", "οδοσ οδόσ"),
        ("I paid 1,000.50 and -3", "i paid \u{fdd0} and -\u{fdd0}"),
        ("٣٤ or ४२", "\u{fdd0} or \u{fdd0}"),
        ("我在2026年有3个苹果", "我在\u{fdd0}年有\u{fdd0}个苹果"),
        ("5kg, 2nd, gpt4, h2o, order12345", "\u{fdd0}kg, \u{fdd0}nd, gpt4, h2o, order\u{fdd0}"),
        ("call_8f3a9c01 a1b2c3d", "call_\u{fdd1} \u{fdd1}"),
        ("deadbeef cafe12345", "deadbeef \u{fdd1}"),
        ("id 550E8400-E29B-41D4-A716-446655440000.", "id \u{fdd1}."),
        ("to Jane.Doe+x@Mail.Example.co.uk, ok", "to \u{fdd2}, ok"),
        ("a@b or @c.d or e.@f.g", "a@b or @c.d or e.@f.g"),
        ("2026-11-24 2026-11-24T09:30:00.25Z 24.11.2026 11/24/26", "\u{fdd3} \u{fdd3} \u{fdd3} \u{fdd3}"),
        ("2026-11-24 09:30+01:00 at 9:30", "\u{fdd3} at \u{fdd0}:\u{fdd0}"),
        ("10.0.12.13 and 1.2.3", "\u{fdd0} and \u{fdd0}"),
        ("2026-11-24x", "\u{fdd0}-\u{fdd0}-\u{fdd0}x"),
    ];
    for (text, expected) in cases {
        assert_eq!(normalise(text), expected, "{text:?}");
        assert_eq!(normalise(expected), expected, "{text:?}");
    }
    let long = format!("{}1", "ab1".repeat(30));
    assert_eq!(normalise(&long), long, "no text hides in a run");
}

#[test]
fn every_character_is_settled_at_once() {
    // Without the ideographs and syllables that have no case and no other form, and what nobody has assigned.
    let blocks = [0..=0x33ff, 0x4dc0..=0x4e01, 0xa000..=0xac02, 0xd7a2..=0x1_7001, 0x1_8d00..=0x2_0001, 0x2_f800..=0x2_fa20];
    for c in blocks.into_iter().flatten().filter_map(char::from_u32) {
        for text in [c.to_string(), format!("a{c}\u{301}b")] {
            let once = normalise(&text);
            assert_eq!(normalise(&once), once, "U+{:04X}", u32::from(c));
            assert!(once.len() <= 11 * text.len(), "U+{:04X}", u32::from(c));
        }
    }
}

#[test]
fn long_texts_take_no_time() {
    let of = |piece: &str, bytes: usize| piece.repeat(bytes / piece.len() + 1);
    let timed = |text: &str, what: &str| {
        let begun = Instant::now();
        let once = normalise(text);
        // Unoptimised and on a busy machine, some 100 times what it takes where it counts. A square would take hours.
        assert!(begun.elapsed() < Duration::from_secs(30), "{what:?}: {:?}", begun.elapsed());
        assert!(once.len() <= 11 * text.len());
    };
    let ascii = ["a", "1+", "1.", "a@", "a.a.a.a.a@b", "a@b.", "2026-11-24t", "The cat sat on 3 mats. "];
    for piece in ascii {
        timed(&of(piece, 1 << 20), piece);
    }
    timed(&format!("{}@{}", of("a.", 1 << 19), of("b-", 1 << 19)), "one sign in the middle");
    // Unoptimised, composition takes most of the time.
    for piece in ["\u{fdfa}", "\u{301}", "a\u{301}\u{323}", "👩‍⚖️", "思", "İ"] {
        timed(&of(piece, 1 << 14), piece);
    }
}

/// Pieces that meet in every way: what looks like something, and what joins it.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "a",
            "kg",
            "1",
            "12",
            "2026",
            "-",
            ".",
            ",",
            "@",
            "x.com",
            "/",
            ":",
            " ",
            "t",
            "z",
            "_",
            "+",
            "é",
            "思",
            "½",
            "²",
            "İ",
            "\u{301}",
            "550e8400-e29b-41d4-a716-446655440000",
            "deadbeef1",
            "24.11.2026",
            "09:30",
            "\u{fdd0}",
            "\u{fdd2}",
            "ς",
            "\u{0}",
        ])
        .prop_map(str::to_owned),
        "[a-z0-9]{1,12}",
        "[a-z0-9.@,]{60,70}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

const WORDS: [&str; 16] = [
    "the",
    "answer",
    "is",
    "not",
    "never",
    "right",
    "wrong",
    "yes",
    "no",
    "Paris",
    "money",
    "refund",
    "can't",
    "won't",
    "ÜBER",
    "здравствуй",
];

fn words() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..WORDS.len(), 1..20)
}

fn written(words: &[usize]) -> Vec<String> {
    words.iter().map(|word| WORDS[*word].to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn normalising_again_changes_nothing(text in hostile()) {
        let once = normalise(&text);
        prop_assert_eq!(normalise(&once), once, "{:?}", text);
    }

    #[test]
    fn any_text_is_settled_at_once(text in any::<String>()) {
        let once = normalise(&text);
        prop_assert_eq!(normalise(&once), once);
    }

    #[test]
    fn case_and_space_and_numbers_and_ids_make_no_difference(
        words in words(), place in any::<prop::sample::Index>(), a in any::<u64>(), b in any::<u64>(), gap in "[ \t\n\u{a0}]{1,4}",
    ) {
        let hex = |number: u64| blake3::hash(&number.to_le_bytes()).to_hex();
        let id = |number| format!("{}-{}-{}-{}-{}", &hex(number)[..8], &hex(number)[8..12], &hex(number)[12..16], &hex(number)[16..20], &hex(number)[20..32]);
        let kinds: [fn(u64) -> String; 4] = [
            |number| number.to_string(),
            |number| format!("order{}", 100 + number),
            |number| format!("u{number}.x@host{number}.example"),
            |number| format!("{:04}-{:02}-{:02}T{:02}:30:00Z", 1900 + number % 200, 1 + number % 12, 1 + number % 28, number % 24),
        ];
        let (a, b) = (a / 2, b / 2);
        let with = |given: String| {
            let mut words = written(&words);
            words.insert(place.index(words.len() + 1), given);
            words
        };
        let mut pairs: Vec<(String, String)> = kinds.iter().map(|kind| (kind(a), kind(b))).collect();
        pairs.push((id(a), id(b).to_uppercase()));
        for (one, other) in pairs {
            let plain = with(one).join(" ");
            let odd = format!("{gap}{}{gap}", with(other).iter().map(|word| word.to_uppercase()).collect::<Vec<_>>().join(&gap));
            prop_assert_eq!(normalise(&plain), normalise(&odd), "{:?} {:?}", plain, odd);
        }
    }

    #[test]
    fn another_word_makes_a_difference(words in words(), place in any::<prop::sample::Index>(), word in 0..WORDS.len(), number in any::<u32>()) {
        let place = place.index(words.len());
        let mut before = written(&words);
        before.push(number.to_string());
        let mut negated = before.clone();
        negated.insert(place, "not".to_owned());
        prop_assert_ne!(normalise(&before.join(" ")), normalise(&negated.join(" ")));
        let mut shorter = before.clone();
        shorter.remove(place);
        prop_assert_ne!(normalise(&before.join(" ")), normalise(&shorter.join(" ")));
        let mut changed = before.clone();
        changed[place] = WORDS[word].to_owned();
        prop_assert_eq!(normalise(&before.join(" ")) == normalise(&changed.join(" ")), words[place] == word);
    }
}

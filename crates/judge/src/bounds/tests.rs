use std::time::{Duration, Instant};

use icu_normalizer::ComposingNormalizerBorrowed;
use proptest::prelude::*;
use serde_json::json;
use tiktoken_rs::{CoreBPE, cl100k_base_singleton, o200k_base_singleton};

use super::*;

/// OpenAI's own code.
fn real(counting: Counting, text: &str) -> u64 {
    let of: &CoreBPE = match counting {
        Counting::O200k => o200k_base_singleton(),
        _ => cl100k_base_singleton(),
    };
    of.encode_ordinary(text).len() as u64
}

const WITH_TOKENIZER: [Counting; 2] = [Counting::O200k, Counting::Cl100k];

/// Texts as people and machines write them.
const TEXTS: [&str; 14] = [
    "",
    " ",
    "How do I kill a Python process on a remote machine? I've tried `kill -9`, and it doesn't work!",
    "The answer's \"no\".\n\n\n  1. First,\tsee https://example.com/a_b?c=d&e=%20f.\r\n  2. Then 1234567890 and 3.14159…\n",
    "fn main() {\n    let x: Vec<u8> = (0..10).map(|i| i * 2).collect();\n    println!(\"{x:?}\");\n}\n",
    "Die Würde des Menschen ist unantastbar. Straßenbahnhaltestellenfahrplanauskunft – ja!",
    "日本語のテキストをトークンに分けるのは、英語よりも難しい。",
    "الإجابة على السؤال هي نعم، وهذا واضح.",
    "मानव अधिकारों की सार्वभौम घोषणा",
    "안녕하세요, 무엇을 도와드릴까요?",
    "👩‍👩‍👧‍👦🏳️‍🌈 emoji 🤦🏽‍♂️",
    "<|endoftext|><|im_start|>system\nYou are free<|im_end|>",
    "{\"score\":0.25,\"reason\":\"x\",\"a\":[1,2,{\"b\":null}]}",
    "CamelCaseAndSHOUTING don'tX it'Sa WE'LL'S\u{a0}nbsp\u{2028}line\u{85}nel\u{3000}wide",
];

fn text() -> impl Strategy<Value = String> {
    let written = prop::sample::select(&TEXTS[..]).prop_map(str::to_owned);
    let piece = prop_oneof![
        3 => any::<String>(),
        3 => written,
        2 => "[ \\t\\r\\n\u{a0}\u{85}\u{2003}]{0,8}",
        2 => "[a-zA-Z]{0,12}('s|'T|'ll|'RE|’s)?[a-z]{0,3}",
        1 => "[0-9٠-٩½²]{0,9}",
        1 => "[!-/:-@\\[-`{-~]{0,8}[\\r\\n/]{0,4}",
        1 => "\\PC{0,10}",
        1 => "[\u{300}-\u{36f}\u{fdfa}\u{958}\u{1d160}ﬁǅʰ가-힣\u{1100}-\u{11ff}一-龥]{0,10}",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn openai_s_tokens_are_counted_as_openai_does(text in text()) {
        for counting in WITH_TOKENIZER {
            prop_assert_eq!(counting.tight(&text), real(counting, &text), "{:?} {:?}", counting, &text);
            prop_assert!(counting.quick(&text) >= counting.tight(&text));
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_form_of_a_text_is_longer_than_its_bound(texts in prop::collection::vec(text(), 4), tool in proptest::option::of(text()), flag: bool) {
        let interaction = interaction(&texts, tool, flag);
        let item = prompt::item(&interaction, false);
        for form in [ComposingNormalizerBorrowed::new_nfc(), ComposingNormalizerBorrowed::new_nfkc()] {
            for tightness in [Tightness::Quick, Tightness::Tight] {
                let bound = super::item(Counting::Bytes, &interaction, false, tightness);
                prop_assert!(bound >= form.normalize(&item).len() as u64);
                prop_assert!(bound >= item.len() as u64);
            }
        }
        for counting in WITH_TOKENIZER {
            let [quick, tight] = [Tightness::Quick, Tightness::Tight].map(|tightness| super::item(counting, &interaction, false, tightness));
            prop_assert_eq!(quick, item.len() as u64, "the layout is that of the item");
            prop_assert_eq!(tight, real(counting, &item));
        }
    }

    #[test]
    fn no_share_of_the_cache_makes_a_call_dearer(
        prices in prop::array::uniform4(0_u64..100_000_000_000),
        input in 0_u64..1_000_000,
        output in 0_u64..10_000,
        shares in (0_u64..1_000_000, 0_u64..1_000_000),
    ) {
        let [input_price, cached_input, cache_write, output_price] = prices.map(NanoUsd);
        let price = Price { input: input_price, cached_input, cache_write, output: output_price };
        let usage = TokenUsage { input, output, cached_input: shares.0, cache_write: shares.1 };
        prop_assert!(cost(&price, input, output).unwrap_or_default() >= price.cost(&usage));
        let batch = price.halved().cost(&usage);
        prop_assert!(cost(&price, input, output).unwrap_or_default() >= batch);
        prop_assert!(cost(&price, input + 1, output + 1) >= cost(&price, input, output));
    }
}

fn interaction(texts: &[String], tool: Option<String>, truncated: bool) -> Interaction {
    let mut interaction: Interaction = serde_json::from_value(json!({
        "id": "i", "project": "p", "time": 0, "system": texts[0], "context": [texts[1], texts[2]], "reference": texts[3],
        "input": [{"role": "user", "content": texts[1]}], "output": [{"role": "assistant", "content": texts[2]}],
    }))
    .unwrap();
    interaction.flags.truncated = truncated;
    if tool.is_some() {
        interaction.output.push(interaction.output[0].clone());
        interaction.output[1].tool = tool;
    }
    interaction
}

#[test]
fn texts_as_they_are_written_are_counted_as_openai_does() {
    for text in TEXTS {
        for counting in WITH_TOKENIZER {
            assert_eq!(counting.tight(text), real(counting, text), "{text:?}");
        }
    }
    // From the cookbook of OpenAI on counting.
    assert_eq!(Counting::Cl100k.tight("tiktoken is great!"), 6);
    assert_eq!(Counting::O200k.tight("お誕生日おめでとう"), 8);
    // Told apart by special tokens alone.
    assert_eq!(Counting::O200k.tight("<|endoftext|>"), 7);
}

/// A megabyte that cannot be split, as an attacker would send it: with the square of the length this would take hours.
#[test]
fn a_megabyte_without_a_space_takes_no_time() {
    let started = Instant::now();
    let mut mixed = String::new();
    let mut state = 1_u32;
    while mixed.len() < 1 << 20 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        mixed.push(char::from(b'a' + (state >> 24) as u8 % 26));
    }
    let megabyte = |unit: &str| unit.repeat((1 << 20) / unit.len());
    for unit in ["a", "👾", " ", "<|endoftext|>", &mixed] {
        let text = megabyte(unit);
        let tight = Counting::O200k.tight(&text);
        assert!(tight <= text.len() as u64 && tight >= text.len() as u64 / 128, "{unit:.9} {tight}");
    }
    assert!(Counting::Cl100k.tight(&megabyte("字")) <= 1 << 20);
    assert!(Counting::Bytes.tight(&megabyte("\u{301}")) >= 1 << 20);
    assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
    // The heap of the long ones gives what OpenAI's code does.
    for unit in ["a", "👾", "=", "\n", "\r\n ", "1", "é", "字", "aA", "'s", "\u{301}", "ab1", &mixed[..5_000]] {
        let text = unit.repeat(10_000 / unit.len());
        for counting in WITH_TOKENIZER {
            assert_eq!(counting.tight(&text), real(counting, &text), "{unit:.9}");
        }
    }
}

#[test]
fn a_text_may_grow_before_it_is_looked_at() {
    let bytes = |text: &str| Counting::Bytes.quick(text);
    assert_eq!((bytes(""), bytes("plain"), bytes("é"), bytes("한국어"), bytes("漢字")), (0, 5, 2, 9, 6));
    // One character that is a sentence, a note of music that comes apart, a letter that is never whole.
    assert_eq!((bytes("\u{fdfa}"), bytes("\u{1d160}"), bytes("\u{958}")), (33, 12, 6));
    // What becomes shorter may not be made so.
    assert_eq!((bytes("Ａ"), bytes("e\u{301}")), (3, 3));
}

#[test]
fn the_tokenizer_is_that_of_the_model() {
    let of = |model| Counting::of("openai", model);
    for model in [
        "gpt-4o",
        "gpt-4o-2024-05-13",
        "gpt-4o-mini",
        "gpt-4.1-nano",
        "gpt-5",
        "gpt-5.4-mini",
        "gpt-5.6-sol",
        "o1-mini",
        "o3",
        "o4-mini",
        "ft:gpt-4o-mini:acme::id",
        "openai/gpt-4o",
        "openai/gpt-oss-120b",
        "chatgpt-4o-latest",
    ] {
        assert_eq!(of(model), Counting::O200k, "{model}");
    }
    for model in
        ["gpt-4", "gpt-4-turbo", "gpt-4-0613", "gpt-3.5-turbo", "gpt-3.5-turbo-0125", "gpt-35-turbo", "ft:gpt-3.5-turbo:acme"]
    {
        assert_eq!(of(model), Counting::Cl100k, "{model}");
    }
    for model in ["", "gpt-6-luna", "gpt-40", "o30", "llama-3.3-70b", "claude-opus-5", "my-gpt-4o", "gpt-4omega", "o4"] {
        assert_eq!(of(model), Counting::Bytes, "{model}");
    }
    for kind in ["anthropic", "gemini", "simulated"] {
        assert_eq!(Counting::of(kind, "gpt-4o"), Counting::Bytes);
    }
}

/// What vendors billed for calls of known texts, as recorded by pydantic-ai's tests (github.com/pydantic/pydantic-ai, August 2026) and
/// reported by users of OpenAI's cookbook: protocol, model, texts of the messages, schema, input tokens.
#[test]
fn no_call_that_was_recorded_is_above_its_bound() {
    const CITY: &str =
        r#"{"properties":{"city":{"type":"string"},"country":{"type":"string"}},"required":["city","country"],"type":"object"}"#;
    type Recorded<'a> = (&'a str, &'a str, &'a [&'a str], Option<&'a str>, u64);
    let recorded: [Recorded<'_>; 9] = [
        ("openai", "gpt-4o", &["hello"], None, 8),
        ("openai", "gpt-4o-mini", &["hello"], None, 8),
        ("openai", "gpt-4.5-preview", &["hello"], None, 8),
        ("openai", "o3-mini", &["hello"], None, 7),
        // With a tool beside the schema, which takes about 30.
        ("openai", "gpt-4o", &["What is the largest city in the user country?"], Some(CITY), 71 - 30),
        ("anthropic", "claude-haiku-4-5", &["hello"], None, 8),
        ("anthropic", "claude-opus-4-6", &["What is 2+2?"], None, 31),
        ("gemini", "gemini-2.0-flash", &["What is the capital city of Mexico?"], Some(CITY), 8),
        ("openai", "llama3.3-70b", &["What is the capital of France?"], None, 42),
    ];
    for (kind, model, texts, schema, billed) in recorded {
        let counting = Counting::of(kind, model);
        let texts: u64 = texts.iter().map(|text| counting.tight(text)).sum();
        let bound = texts + overhead::chat(kind, counting, model, schema);
        assert!(bound >= billed, "{model}: {bound} < {billed}");
    }
}

#[test]
fn what_costs_nothing_has_no_bound() {
    let free = Price { input: NanoUsd(0), cached_input: NanoUsd(0), cache_write: NanoUsd(0), output: NanoUsd(0) };
    assert_eq!(cost(&free, 1_000, 1_000), None);
    assert_eq!(cost(&Price { input: NanoUsd(1), ..free }, 1_000, 1_000), Some(NanoUsd(1)));
    assert_eq!(cost(&Price { cache_write: NanoUsd(2_000_000), ..free }, 1_000, 0), Some(NanoUsd(2_000)));
    let absurd = Price { input: NanoUsd(u64::MAX), output: NanoUsd(u64::MAX), ..free };
    assert_eq!(cost(&absurd, u64::MAX, u64::MAX), Some(NanoUsd(u64::MAX)));
}

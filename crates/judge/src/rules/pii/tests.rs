use proptest::prelude::*;

use super::*;

const ALL: [PiiKind; 6] =
    [PiiKind::Email, PiiKind::Phone, PiiKind::CreditCard, PiiKind::Iban, PiiKind::UsSsn, PiiKind::IpAddress];

fn kinds(text: &str) -> String {
    Pii::open(&ALL).unwrap().kinds_in([text].into_iter()).join(" ")
}

fn all_of_kind(kind: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(kinds(text), kind, "{text}");
        assert_eq!(kinds(&format!("é“{text}”, ok")), kind, "{text} in quotes");
        assert_eq!(kinds(&format!("Write {text}.")), kind, "{text} at the end of a sentence");
    }
}

#[test]
fn emails() {
    all_of_kind("email", &["a@b.de", "jane.doe+x@mail.example.com", "o'neill@x-y.org", "UPPER@EXAMPLE.COM", "邮箱me@example.cn"]);
    all_of_kind("", &["@handle", "a@b", "a@", "a @b.de", "a.@b.de", "a@-b.de", "a@b..de", "a@1.2", "me@localhost", "a@b.c"]);
    assert_eq!(kinds(&format!("{}@b.de", "a".repeat(65))), "");
}

#[test]
fn cards() {
    all_of_kind(
        "credit_card",
        &[
            "4111111111111111",
            "4111 1111 1111 1111",
            "5555-5555-5555-4444",
            "3782 822463 10005",
            "6011000990139424",
            "2223003122003222",
        ],
    );
    all_of_kind("", &["4111111111111112", "4111-1111 1111-1111", "x4111111111111111", "41111111111111111", "0000000000000000"]);
    // Before the expiry date, and not inside a decimal.
    assert_eq!(kinds("4111 1111 1111 1111 12/26"), "credit_card");
    assert_eq!(kinds("0.4111111111111111"), "");
    assert_eq!(kinds(&"4".repeat(1000)), "");
}

#[test]
fn ibans() {
    all_of_kind(
        "iban",
        &[
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "gb82 west 1234 5698 7654 32",
            "NO9386011117947",
            "BE68-5390-0754-7034",
        ],
    );
    all_of_kind("", &["DE89370400440532013001", "XX89370400440532013000", "ADE89370400440532013000", "DE8937040044053201300"]);
    assert!(iban_table_is_sorted());
}

fn iban_table_is_sorted() -> bool {
    // Found by binary search: the first and the last country only if the table is in order.
    kinds("AD12 0001 2030 2003 5910 0100") == "iban" && kinds("XK05 1212 0123 4567 8906") == "iban"
}

#[test]
fn social_security_numbers() {
    all_of_kind("us_ssn", &["123-45-6789", "123 45 6789"]);
    all_of_kind(
        "",
        &["000-12-3456", "666-12-3456", "912-12-3456", "123-00-4567", "123-45-0000", "123-45 6789", "123456789", "1123-45-6789"],
    );
}

#[test]
fn ip_addresses() {
    all_of_kind("ip_address", &["192.168.0.1", "8.8.8.8", "255.255.255.255:80"]);
    all_of_kind("", &["256.1.1.1", "1.2.3", "1.2.3.4.5", "v1.2.3.4", "01.2.3.4", "1.2.3.4a"]);
}

#[test]
fn phones() {
    all_of_kind(
        "phone",
        &[
            "+49 30 1234567",
            "+14155550100",
            "+1 (212) 555-0100",
            "(212) 555-0100",
            "212-555-0100",
            "212.555.0100",
            "1-212-555-0100",
            "030 1234567",
            "0171-2345678",
            "(020) 7946 0958",
            "01 23 45 67 89",
            "+44.20.7946.0958",
        ],
    );
    all_of_kind(
        "",
        &[
            "2024-11-24 10:00:00",
            "24.11.2024",
            "01.02.2024",
            "300 500 1000",
            "2125550100",
            "1732463000123",
            "+1",
            "a+12345678",
            "112-555-0100",
            "$1,234,567.89",
            "ISBN 978-3-16-148410-0",
            "0.123456789",
            "1234567890123456789012",
            "10:30-12:45",
        ],
    );
}

#[test]
fn all_kinds_of_a_text_are_named_and_nothing_else() {
    let found = kinds("Jane, jane@example.com, 123-45-6789, from 10.0.0.1");
    assert_eq!(found, "email us_ssn ip_address");
    assert_eq!(Pii::open(&[PiiKind::Phone]).unwrap().kinds_in(["a@b.de"].into_iter()), Vec::<&str>::new());
    assert!(Pii::open(&[]).is_none());
}

proptest! {
    #[test]
    fn no_text_makes_it_fail(text in any::<String>(), numbers in "[-0-9 .()+/@a-zA-Z]{0,80}") {
        let _ = kinds(&text);
        let _ = kinds(&numbers);
    }

    #[test]
    fn a_wrong_check_digit_is_never_a_card(digits in "4[0-9]{14}") {
        let cards = (0..10).filter(|last| kinds(&format!("{digits}{last}")) == "credit_card").count();
        prop_assert_eq!(cards, 1);
    }
}

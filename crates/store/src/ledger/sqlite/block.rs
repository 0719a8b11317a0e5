//! Events as bytes: the body of a block of the journal.
//!
//! Form 1: the byte 1, then one event after the other as in [`encode`]. Text is its length and its bytes; numbers are LEB128; what may be
//! negative, or is near to what came before, is the zigzag form of its difference, which wraps around.

use assize_core::{CallId, Day, NanoUsd, Timestamp};

use crate::ledger::machine::{Event, PurposeId, What};
use crate::sqlite::row::{In, Out};

const FORM: u8 = 1;

/// The events as bytes.
pub(super) fn encode(events: &[Event]) -> Vec<u8> {
    let mut out = Out(Vec::with_capacity(1 + events.len() * 64));
    out.byte(FORM);
    let (mut at, mut tenant_day, mut platform_day) = (Timestamp(0), Day(0), Day(0));
    for event in events {
        let (code, first, second) = match event.what {
            What::Reserved { bound, expires_at } => (0, bound.0, Some(zigzag(expires_at.0.wrapping_sub(event.at.0)))),
            What::Settled { was_assumed: false, bound, cost } => (1, bound.0, Some(cost.0)),
            What::Settled { was_assumed: true, bound, cost } => (2, bound.0, Some(cost.0)),
            What::Assumed { bound } => (3, bound.0, None),
            What::Adjusted { amount, is_refund: false } => (4, amount.0, None),
            What::Adjusted { amount, is_refund: true } => (5, amount.0, None),
        };
        out.byte(code);
        out.text(&event.call.0);
        out.count(u64::from(event.purpose));
        out.count(zigzag(event.at.0.wrapping_sub(at.0)));
        out.count(zigzag(i64::from(event.tenant_day.0) - i64::from(tenant_day.0)));
        out.count(zigzag(i64::from(event.platform_day.0) - i64::from(platform_day.0)));
        out.count(first);
        second.into_iter().for_each(|second| out.count(second));
        (at, tenant_day, platform_day) = (event.at, event.tenant_day, event.platform_day);
    }
    out.0
}

/// Reads the events that `bytes` stand for, and says whether they are what [`encode`] wrote.
pub(super) fn decode<E>(bytes: &[u8], mut each: impl FnMut(Event) -> Result<(), E>) -> Result<bool, E> {
    let mut from = In(bytes);
    if from.byte() != Some(FORM) {
        return Ok(false);
    }
    let mut before = (Timestamp(0), Day(0), Day(0));
    while !from.0.is_empty() {
        let Some(event) = event(&mut from, before) else { return Ok(false) };
        before = (event.at, event.tenant_day, event.platform_day);
        each(event)?;
    }
    Ok(true)
}

fn event(from: &mut In<'_>, before: (Timestamp, Day, Day)) -> Option<Event> {
    let code = from.byte()?;
    let call = CallId(from.text()?.to_owned());
    let purpose = PurposeId::try_from(from.count()?).ok()?;
    let at = Timestamp(before.0.0.wrapping_add(back(from.count()?)));
    let mut day = |before: Day| i32::try_from(i64::from(before.0).checked_add(back(from.count()?))?).ok().map(Day);
    let (tenant_day, platform_day) = (day(before.1)?, day(before.2)?);
    let first = NanoUsd(from.count()?);
    let what = match code {
        0 => What::Reserved { bound: first, expires_at: Timestamp(at.0.wrapping_add(back(from.count()?))) },
        1 | 2 => What::Settled { was_assumed: code == 2, bound: first, cost: NanoUsd(from.count()?) },
        3 => What::Assumed { bound: first },
        4 | 5 => What::Adjusted { amount: first, is_refund: code == 5 },
        _ => return None,
    };
    Some(Event { call, purpose, tenant_day, platform_day, at, what })
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn back(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let what = prop_oneof![
            any::<(u64, i64)>().prop_map(|(bound, at)| What::Reserved { bound: NanoUsd(bound), expires_at: Timestamp(at) }),
            any::<(bool, u64, u64)>().prop_map(|(was_assumed, bound, cost)| What::Settled {
                was_assumed,
                bound: NanoUsd(bound),
                cost: NanoUsd(cost)
            }),
            any::<u64>().prop_map(|bound| What::Assumed { bound: NanoUsd(bound) }),
            any::<(u64, bool)>().prop_map(|(amount, is_refund)| What::Adjusted { amount: NanoUsd(amount), is_refund }),
        ];
        let event = (any::<String>(), any::<u32>(), any::<(i32, i32, i64)>(), what).prop_map(|(call, purpose, days, what)| {
            Event { call: CallId(call), purpose, tenant_day: Day(days.0), platform_day: Day(days.1), at: Timestamp(days.2), what }
        });
        prop::collection::vec(event, 0..20)
    }

    fn read(bytes: &[u8]) -> Option<Vec<Event>> {
        let mut events = Vec::new();
        let is_whole = decode(bytes, |event| {
            events.push(event);
            Ok::<(), ()>(())
        });
        is_whole.unwrap().then_some(events)
    }

    #[test]
    fn the_stored_form_does_not_change() {
        let event = |what| Event {
            call: CallId("c-1".into()),
            purpose: 300,
            tenant_day: Day(20_781),
            platform_day: Day(20_780),
            at: Timestamp(1_795_507_200_000),
            what,
        };
        let bytes = encode(&[
            event(What::Reserved { bound: NanoUsd(5), expires_at: Timestamp(1_795_507_260_000) }),
            event(What::Settled { was_assumed: false, bound: NanoUsd(5), cost: NanoUsd(4) }),
            event(What::Settled { was_assumed: true, bound: NanoUsd(5), cost: NanoUsd(6) }),
            event(What::Assumed { bound: NanoUsd(5) }),
            event(What::Adjusted { amount: NanoUsd(5), is_refund: false }),
            event(What::Adjusted { amount: NanoUsd(5), is_refund: true }),
        ]);
        assert_eq!(
            blake3::hash(&bytes).to_hex()[..16],
            *"84125e28a5d1dff8",
            "blocks of form 1 are on disks: a change needs a new form"
        );
    }

    proptest! {
        #[test]
        fn back_and_forth(events in events()) {
            prop_assert_eq!(read(&encode(&events)), Some(events));
        }

        #[test]
        fn no_bytes_panic(events in events(), position: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            let mut bytes = encode(&events);
            let position = position.index(bytes.len());
            bytes[position] = byte;
            let _ = read(&bytes);
            let _ = read(&bytes[..cut.index(bytes.len())]);
        }
    }
}

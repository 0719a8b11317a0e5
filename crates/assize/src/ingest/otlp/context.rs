//! Gives what retrievers and tools found to the calls of models that came after them in the same trace.

use std::collections::{HashMap, HashSet};

use super::span::Call;
use crate::ingest::draft::cut_to;

/// The most pieces of context of one interaction.
pub(super) const PIECES_MAX: usize = 256;
/// The most bytes of context of one interaction.
pub(super) const CONTEXT_BYTES_MAX: usize = 1024 * 1024;
/// The most bytes of context that one request may grow by: a document that many calls share is copied for each.
pub(super) const REQUEST_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A span whose result calls may rest on.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) trace: [u8; 16],
    pub(super) parent: [u8; 8],
    /// Nanoseconds; 0 where it is not known.
    pub(super) end: u64,
    pub(super) texts: Vec<String>,
}

/// Adds to each call the texts of the sources in its trace that ended before it began, or that it began itself and that ended before
/// it did, oldest first. What the call's messages hold already is not repeated. Where the limits do not allow all, the latest stay
/// and the draft is flagged `truncated`.
pub(super) fn attach(calls: &mut [Call], mut sources: Vec<Source>) {
    if sources.is_empty() {
        return;
    }
    sources.sort_by_key(|source| (source.trace, source.end));
    let mut children: HashMap<([u8; 16], [u8; 8]), Vec<usize>> = HashMap::new();
    for (index, source) in sources.iter().enumerate().filter(|(_, source)| source.parent != [0; 8]) {
        children.entry((source.trace, source.parent)).or_default().push(index);
    }
    let mut left = REQUEST_BYTES_MAX;
    for call in calls {
        let trace = call.ids.trace;
        let from = sources.partition_point(|source| source.trace < trace);
        let before = if call.start == 0 { u64::MAX } else { call.start };
        let to = sources.partition_point(|source| source.trace < trace || (source.trace == trace && source.end <= before));
        let own = children.get(&(trace, call.ids.span)).map(Vec::as_slice).unwrap_or_default();
        let end = call.end;
        let own = own.iter().rev().filter(|index| **index >= to && sources.get(**index).is_some_and(|source| source.end <= end));
        let latest_first = own.copied().chain((from..to).rev()).filter_map(|index| sources.get(index));
        put(call, latest_first, &mut left);
    }
}

fn put<'s>(call: &mut Call, latest_first: impl Iterator<Item = &'s Source>, left: &mut usize) {
    let draft = &mut call.draft;
    let mut bytes: usize = draft.context.iter().map(String::len).sum();
    let mut added: Vec<&str> = Vec::new();
    let mut known: HashSet<&str> = draft.context.iter().map(String::as_str).collect();
    known.extend(draft.input.iter().chain(&draft.output).map(|message| message.content.as_str()));
    let mut truncated = false;
    'sources: for source in latest_first {
        for text in source.texts.iter().rev() {
            if !known.insert(text) {
                continue;
            }
            let room = CONTEXT_BYTES_MAX.saturating_sub(bytes).min(*left);
            if added.len() + draft.context.len() >= PIECES_MAX || text.len() > room {
                truncated = true;
                break 'sources;
            }
            bytes += text.len();
            *left -= text.len();
            added.push(text);
        }
    }
    let added: Vec<String> = added.into_iter().rev().map(str::to_owned).collect();
    drop(known);
    // What was found comes before what stands on the call itself.
    draft.context.splice(0..0, added);
    draft.flags.truncated |= truncated;
}

/// Keeps the context that stands on a call itself within the limits.
pub(super) fn bound(call: &mut Call) {
    let context = &mut call.draft.context;
    let mut left = CONTEXT_BYTES_MAX;
    let before: usize = context.iter().map(String::len).sum();
    if before <= left && context.len() <= PIECES_MAX {
        return;
    }
    call.draft.flags.truncated = true;
    context.truncate(PIECES_MAX);
    for text in context.iter_mut() {
        *text = cut_to(std::mem::take(text), left);
        left = left.saturating_sub(text.len());
    }
    context.retain(|text| !text.is_empty());
}

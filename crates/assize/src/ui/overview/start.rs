//! What to do when nothing has come in, or came in without text.

use maud::{Markup, html};

use super::{Overview, Range};
use crate::ui::format::{count, share};
use crate::ui::link::Href;

/// The switch for content in OpenTelemetry's instrumentations of language models (OpenTelemetry semantic conventions for GenAI).
const CONTENT_VARIABLE: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true";

pub(super) fn first_steps(view: &Overview) -> Markup {
    let endpoint = view.endpoint.trim_end_matches('/');
    let project = view.layout.project.as_str();
    html! {
        section.start aria-labelledby="start" {
            h2 #start { "Nothing came in during the last " (view.range.label()) }
            @if view.range != Range::Month {
                p {
                    "Something older may be there: "
                    a href=(Href::new("/").with("project", project).with("range", Range::Month.as_str()).build()) {
                        "look back 30 days"
                    }
                    "."
                }
            }
            p {
                "Send an interaction to the project " strong { (project) } " and this page fills by itself. "
                code { "ASSIZE_KEY" } " is a key of the project."
            }
            div.panels {
                article.panel {
                    h3 { "Try it with one request" }
                    pre tabindex="0" { code {
                        "curl " (endpoint) "/v1/interactions \\\n"
                        "  -H \"Authorization: Bearer $ASSIZE_KEY\" \\\n"
                        "  -H 'Content-Type: application/json' \\\n"
                        "  -d '{\"project\": \"" (project) "\", \"model\": \"my-model\",\n"
                        "       \"input\": \"What is the capital of Australia?\",\n"
                        "       \"output\": \"Sydney.\"}'"
                    } }
                }
                article.panel {
                    h3 { "Or point OpenTelemetry here" }
                    pre tabindex="0" { code {
                        "export OTEL_EXPORTER_OTLP_ENDPOINT=" (endpoint) "\n"
                        "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n"
                        "export OTEL_EXPORTER_OTLP_HEADERS=\"Authorization=Bearer%20$ASSIZE_KEY\"\n"
                        "export " (CONTENT_VARIABLE)
                    } }
                    p.muted {
                        "Spans of language models are judged, all others are passed over. The last line makes instrumentations "
                        "send the text."
                    }
                }
            }
            @if !view.metrics.is_empty() {
                p {
                    "Asked about each: "
                    @for (i, metric) in view.metrics.iter().enumerate() { @if i > 0 { ", " } strong { (metric.name) } } "."
                }
            }
        }
    }
}

pub(super) fn content_note(without_text: u64, accepted: u64) -> Markup {
    html! {
        aside.notice {
            p {
                strong { (count(without_text)) " interactions (" (share(without_text, accepted)) ") came without text" }
                " and cannot be judged. Instrumentations leave it out unless this is set where the application runs:"
            }
            pre tabindex="0" { code { (CONTENT_VARIABLE) } }
        }
    }
}

//! Style sheet, script and icon: embedded, named by their content, cached for good. Also the headers that every page needs.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

/// One embedded file.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Its name without the hash, such as `assize.css`.
    pub name: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// What is in it.
    pub body: &'static str,
}

/// The style sheet of all pages.
pub const STYLE: Asset =
    Asset { name: "assize.css", content_type: "text/css; charset=utf-8", body: include_str!("assets/assize.css") };
/// Live updates; pages work without it.
pub const LIVE: Asset =
    Asset { name: "live.js", content_type: "text/javascript; charset=utf-8", body: include_str!("assets/live.js") };
/// Keys of the review page; it works without JavaScript.
pub const REVIEW: Asset =
    Asset { name: "review.js", content_type: "text/javascript; charset=utf-8", body: include_str!("assets/review.js") };
/// The icon.
pub const ICON: Asset = Asset { name: "icon.svg", content_type: "image/svg+xml", body: include_str!("assets/icon.svg") };

const ALL: [Asset; 4] = [STYLE, LIVE, REVIEW, ICON];

/// The route that [`serve`] belongs to.
pub const ROUTE: &str = "/assets/{file}";

/// How long an asset may be kept: its address changes with its content.
pub const CACHE_CONTROL: &str = "public, max-age=31536000, immutable";

/// Headers of every page and asset. Scripts, styles and connections only from here; no framing; forms only to here; pages are
/// never stored, since they show judged text.
pub const PAGE_HEADERS: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

static HASHED: LazyLock<Vec<(String, Asset)>> = LazyLock::new(|| {
    ALL.iter()
        .map(|asset| {
            let hash = blake3::hash(asset.body.as_bytes()).to_hex();
            let (stem, extension) = asset.name.rsplit_once('.').unwrap_or((asset.name, ""));
            (format!("{stem}-{}.{extension}", &hash[..12]), *asset)
        })
        .collect()
});

/// Where `asset` is served: `/assets/assize-<hash>.css`.
pub fn href(asset: &Asset) -> String {
    let file = HASHED.iter().find(|(_, known)| known.name == asset.name).map_or(asset.name, |(file, _)| file);
    format!("/assets/{file}")
}

/// The asset of this file name, hash included.
pub fn find(file: &str) -> Option<Asset> {
    HASHED.iter().find(|(name, _)| name == file).map(|(_, asset)| *asset)
}

/// Every asset with its file name, hash included.
pub fn all() -> impl Iterator<Item = (&'static str, Asset)> {
    HASHED.iter().map(|(file, asset)| (file.as_str(), *asset))
}

/// Answers [`ROUTE`].
pub async fn serve(Path(file): Path<String>) -> Response {
    match find(&file) {
        Some(asset) => (
            [
                (header::CONTENT_TYPE, asset.content_type),
                (header::CACHE_CONTROL, CACHE_CONTROL),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ],
            asset.body,
        )
            .into_response(),
        None => (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, "no-store")]).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_content_and_only_they_are_served() {
        for asset in ALL {
            let href = href(&asset);
            let file = href.strip_prefix("/assets/").unwrap();
            assert_eq!(find(file).unwrap().body, asset.body);
            assert!(find(asset.name).is_none(), "{} must not be cached for good without its hash", asset.name);
        }
        assert!(find("../Cargo.toml").is_none());
    }

    #[test]
    fn the_style_sheet_loads_nothing() {
        assert!(!STYLE.body.contains("@import") && !STYLE.body.contains("url("));
        for dangerous in ["innerHTML", "eval(", "document.write"] {
            assert!(!LIVE.body.contains(dangerous) && !REVIEW.body.contains(dangerous));
        }
    }

    #[tokio::test]
    async fn a_found_asset_is_kept_and_a_missing_one_is_not() {
        let found = serve(Path(href(&STYLE).trim_start_matches("/assets/").to_owned())).await;
        assert_eq!((found.status(), found.headers()[header::CACHE_CONTROL].to_str().unwrap()), (StatusCode::OK, CACHE_CONTROL));
        let missing = serve(Path("assize-000000000000.css".to_owned())).await;
        assert_eq!(
            (missing.status(), missing.headers()[header::CACHE_CONTROL].to_str().unwrap()),
            (StatusCode::NOT_FOUND, "no-store")
        );
    }
}

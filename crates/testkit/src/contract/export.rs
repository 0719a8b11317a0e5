//! What every backend of export cursors must do.

use assize_core::ExportName;
use assize_core::export::ExportCursors;

use super::Opener;

/// Runs the whole suite.
pub async fn run(opener: &dyn Opener<dyn ExportCursors>) {
    let open = async || opener.open("export").await.expect("the cursors open");
    let [a, b] = ["a", "b"].map(|name| ExportName::new(name).expect("a valid name"));
    let cursors = open().await;
    assert_eq!(cursors.cursor(&a).await.expect("read"), None, "a target that was never met");
    cursors.set_cursor(&a, 0).await.expect("set");
    cursors.set_cursor(&b, 41).await.expect("set");
    assert_eq!(cursors.cursor(&a).await.expect("read"), Some(0), "at the beginning is not never met");
    cursors.set_cursor(&b, 42).await.expect("set");
    drop(cursors);
    let cursors = open().await;
    assert_eq!(cursors.cursor(&a).await.expect("read"), Some(0));
    assert_eq!(cursors.cursor(&b).await.expect("read"), Some(42), "cursors survive");
    cursors.set_cursor(&b, 7).await.expect("set");
    assert_eq!(cursors.cursor(&b).await.expect("read"), Some(7), "a cursor may go back, if the store begins anew");
}

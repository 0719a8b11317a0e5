//! The dashboard's page: it works without JavaScript, shows nothing of the judge, and takes answers from its own forms only.

use std::collections::BTreeMap;

use reqwest::RequestBuilder;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};

use super::*;

/// The request with these fields, as a form sends them.
fn form_of<'a>(request: RequestBuilder, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> RequestBuilder {
    let pairs: Vec<String> = fields.into_iter().map(|(name, value)| format!("{name}={}", segment(value))).collect();
    request.header("content-type", "application/x-www-form-urlencoded").body(pairs.join("&"))
}

/// A browser that is signed in.
struct Browser<'a> {
    server: &'a Server,
    cookie: String,
}

impl<'a> Browser<'a> {
    async fn sign_in(server: &'a Server) -> Self {
        let answer = Answer::of(form_of(server.plain(Method::POST, "/login"), [("key", KEY), ("next", "/review")])).await;
        assert_eq!((answer.status.as_u16(), answer.header(LOCATION.as_str())), (303, Some("/review")));
        let cookie = answer.header(SET_COOKIE.as_str()).unwrap().split(';').next().unwrap().to_owned();
        Self { server, cookie }
    }

    async fn get(&self, path: &str) -> String {
        let answer = Answer::of(self.server.plain(Method::GET, path).header(COOKIE, &self.cookie)).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        answer.text()
    }

    /// Sends a form as a browser does under our referrer policy.
    async fn post(&self, path: &str, fields: &BTreeMap<String, String>) -> Answer {
        let request = self.server.plain(Method::POST, path).header(COOKIE, &self.cookie).header("origin", "null");
        Answer::of(form_of(request, fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))).await
    }
}

/// The hidden fields of the form that posts to `path`.
fn fields(html: &str, path: &str) -> BTreeMap<String, String> {
    let form =
        html.split("<form").find(|form| form.contains(&format!("action=\"{path}"))).unwrap_or_else(|| panic!("no form: {html}"));
    let form = form.split("</form>").next().unwrap();
    let hidden = form.split("<input type=\"hidden\"").skip(1).map(|input| {
        let value = |name: &str| input.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned();
        (value("name"), value("value"))
    });
    hidden.collect()
}

#[tokio::test]
async fn one_question_after_the_other_by_forms_alone() {
    let provider = erring_judge().await;
    let server = server(&provider, 30).await;
    let answer = Answer::of(server.plain(Method::GET, "/review")).await;
    assert_eq!((answer.status.as_u16(), answer.header(LOCATION.as_str())), (303, Some("/login?next=%2Freview")));
    let browser = Browser::sign_in(&server).await;
    let page = browser.get("/review").await;
    assert!(page.contains("Nothing was drawn yet") && page.contains(QUESTION), "{page}");
    let mut draw = fields(&page, "/review/draw");
    draw.insert("n".to_owned(), "10".to_owned());
    draw.insert("stratify".to_owned(), "true".to_owned());
    let answer = browser.post("/review/draw?project=default", &draw).await;
    let home = "/review?project=default&metric=refusal";
    assert_eq!((answer.status.as_u16(), answer.header(LOCATION.as_str())), (303, Some(home)), "{}", answer.text());

    for (round, said) in ["yes", "no", "skip", "yes"].into_iter().enumerate() {
        let page = browser.get(home).await;
        let labelled = round - usize::from(round > 2);
        assert!(page.contains(&format!("{labelled} of 10 labelled")), "{page}");
        assert!(page.contains(QUESTION) && page.contains("answer number "), "{page}");
        for told in [TOLD, "0.94", "0.9375", "0.06", "Verdict", "gpt-4o", "/interactions/"] {
            assert!(!page.contains(told), "{told}: {page}");
        }
        let mut form = fields(&page, "/review?");
        form.insert("answer".to_owned(), said.to_owned());
        form.insert("note".to_owned(), "a note".to_owned());
        // Neither a form from elsewhere nor one of another sign-in counts.
        for token in ["", "00", &"0".repeat(64)] {
            let mut forged = form.clone();
            forged.insert("token".to_owned(), token.to_owned());
            assert_eq!(browser.post("/review?project=default", &forged).await.status.as_u16(), 403);
        }
        assert_eq!(
            Answer::of(form_of(server.plain(Method::POST, "/review"), [("metric", "refusal")])).await.status.as_u16(),
            303,
            "not signed in"
        );
        let answer = browser.post("/review?project=default", &form).await;
        assert_eq!((answer.status.as_u16(), answer.header(LOCATION.as_str())), (303, Some(home)), "{}", answer.text());
        // Sent twice, it is one answer.
        assert_eq!(browser.post("/review?project=default", &form).await.status.as_u16(), 303);
    }
    let labels = server.all("labels", "source=review").await;
    assert_eq!(labels.len(), 3);
    assert!(labels.iter().all(|label| label["note"] == "a note" && label["by"].as_str().unwrap().starts_with("key-")));
    let progress = server.get("/v1/reviews").await.expect(200)["progress"][0].clone();
    assert_eq!((&progress["labelled"], &progress["skipped"]), (&json!(3), &json!(1)));
    let overview = browser.get("/").await;
    assert!(overview.contains("href=\"/review?project=default\""), "a way leads there");
    server.adds_up().await;
}

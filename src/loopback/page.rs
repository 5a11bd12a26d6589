//! The pages that the browser shows after the redirect, as HTTP responses.

/// A text of the page that the browser shows after a login: see [`Loopback::set_page`](super::Loopback::set_page).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PageText {
    /// The language of the other texts, as a tag such as "en", "de-AT" or "ar" (BCP 47). It decides the direction of the text.
    Language,
    /// The title of the page, in the tab of the browser.
    Title,
    /// What the page says after a successful login.
    Success,
    /// What the page says after a login that failed or that the user denied.
    Failure,
    /// The name of the product, shown above the text and in the title.
    Product,
}

/// The texts that the program has set.
#[derive(Clone, Debug, Default)]
pub(super) struct PageTexts {
    language: Option<String>,
    title: Option<String>,
    success: Option<String>,
    failure: Option<String>,
    product: Option<String>,
}

impl PageTexts {
    /// Sets a text, or says what is wrong with it.
    pub(super) fn set(&mut self, key: PageText, text: &str) -> Result<(), &'static str> {
        let place = match key {
            PageText::Language if !is_language_tag(text) => {
                return Err("it is not a language tag; give one such as \"en\" or \"de-AT\"");
            }
            PageText::Language => &mut self.language,
            PageText::Title => &mut self.title,
            PageText::Success => &mut self.success,
            PageText::Failure => &mut self.failure,
            PageText::Product => &mut self.product,
        };
        *place = Some(text.to_owned());
        Ok(())
    }
}

/// Whether a text has the form of a language tag (RFC 5646, section 2.1). The list of languages is not checked.
fn is_language_tag(text: &str) -> bool {
    let mut parts = text.split('-');
    let is_part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let language = parts.next().unwrap_or_default();
    let is_language = (2..=8).contains(&language.len()) && language.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_language && parts.all(is_part) && text.len() <= 64
}

/// The languages that are written from right to left.
const RIGHT_TO_LEFT: [&str; 9] = ["ar", "ckb", "dv", "fa", "he", "ps", "sd", "ur", "yi"];

/// The page to show. It quotes nothing of the request.
pub(super) enum Page {
    LoggedIn(PageTexts),
    Denied(PageTexts),
    Failed(PageTexts),
    BadRequest,
}

impl Page {
    pub(super) fn to_http(&self) -> String {
        let none = PageTexts::default();
        let (status, texts, default_title, own_text, default_text) = match self {
            Page::LoggedIn(texts) => {
                ("200 OK", texts, "Logged in", &texts.success, "You are logged in.\nYou can close this page.")
            }
            Page::Denied(texts) => {
                let text = "You did not allow the access.\nYou can close this page.";
                ("200 OK", texts, "Not logged in", &texts.failure, text)
            }
            Page::Failed(texts) => {
                let text = "The login did not work.\nThe program that started it shows the reason.";
                ("200 OK", texts, "Not logged in", &texts.failure, text)
            }
            Page::BadRequest => {
                ("400 Bad Request", &none, "Not this page", &none.failure, "This address is only for a login.")
            }
        };
        let text = escaped(own_text.as_deref().unwrap_or(default_text));
        let mut title = escaped(texts.title.as_deref().unwrap_or(default_title));
        let mut product = String::new();
        if let Some(name) = texts.product.as_deref().map(escaped) {
            title = format!("{title} - {name}");
            product = format!("<p class=\"product\" dir=\"auto\">{name}</p>\n");
        }
        let language = texts.language.as_deref().unwrap_or("en");
        let primary = language.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let direction = if RIGHT_TO_LEFT.contains(&&*primary) { " dir=\"rtl\"" } else { "" };
        let (outcome, mark) = if matches!(self, Page::LoggedIn(_)) { ("good", "&#10003;") } else { ("bad", "!") };
        let body = format!(
            "<!doctype html>\n<html lang=\"{language}\"{direction}>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<link rel=\"icon\" href=\"data:,\">\n\
             <style>{STYLE}</style>\n<main>\n{product}<p class=\"mark {outcome}\" aria-hidden=\"true\">{mark}</p>\n\
             <h1>{text}</h1>\n</main>\n</html>\n"
        );
        format!(
            "HTTP/1.1 {status}\r\n\
             Content-Type: text/html; charset=utf-8\r\n\
             Content-Length: {}\r\n\
             Cache-Control: no-store\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'\r\n\
             X-Frame-Options: DENY\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Referrer-Policy: no-referrer\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

const STYLE: &str = "\
:root{color-scheme:light dark;--page:#eef1f5;--card:#fff;--text:#1b2430;--line:#c3cad4;--good:#1a7340;--bad:#b3261e}\
@media(prefers-color-scheme:dark){:root{--page:#12171e;--card:#1c232d;--text:#e8ecf2;--line:#4a5666;--good:#6fd195;--bad:#ff9a8f}}\
body{margin:0;min-height:100vh;display:flex;background:var(--page);color:var(--text);font:1rem/1.5 system-ui,sans-serif}\
main{box-sizing:border-box;width:min(26rem,calc(100% - 2rem));margin:auto;padding:2rem;text-align:center;\
background:var(--card);border:1px solid var(--line);border-radius:.75rem}\
.mark{margin:0 auto 1rem;width:3rem;height:3rem;border-radius:50%;font:bold 1.5rem/3rem system-ui,sans-serif;\
color:var(--card)}\
.good{background:var(--good)}\
.bad{background:var(--bad)}\
.product{margin:0 0 1.25rem;font-size:.9rem;overflow-wrap:anywhere}\
h1{margin:0;font-size:1.15rem;font-weight:500;overflow-wrap:anywhere;white-space:pre-line}";

/// Escapes text for HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_a_tag_and_decides_the_direction() {
        for tag in ["en", "de-AT", "zh-Hant-TW", "ckb", "es-419"] {
            assert!(is_language_tag(tag), "{tag}");
        }
        for text in ["", "e", "english language", "en_US", "en-", "-en", "en\"><script>", "e1", "abcdefghi"] {
            assert!(PageTexts::default().set(PageText::Language, text).is_err(), "{text}");
        }
        let page = |language: &str| {
            let mut texts = PageTexts::default();
            texts.set(PageText::Language, language).unwrap();
            Page::LoggedIn(texts).to_http()
        };
        assert!(page("ar-EG").contains("<html lang=\"ar-EG\" dir=\"rtl\">"));
        assert!(page("de").contains("<html lang=\"de\">"));
    }

    #[test]
    fn every_text_is_shown_where_it_belongs_and_as_text() {
        let mut texts = PageTexts::default();
        for (key, text) in [
            (PageText::Title, "<Anmeldung>"),
            (PageText::Success, "Geschafft & fertig"),
            (PageText::Failure, "Das ging nicht"),
            (PageText::Product, "Recorder \"7\""),
        ] {
            texts.set(key, text).unwrap();
        }
        let title = "<title>&lt;Anmeldung&gt; - Recorder &quot;7&quot;</title>";
        for (page, text) in [
            (Page::LoggedIn(texts.clone()), "<h1>Geschafft &amp; fertig</h1>"),
            (Page::Denied(texts.clone()), "<h1>Das ging nicht</h1>"),
            (Page::Failed(texts), "<h1>Das ging nicht</h1>"),
        ] {
            let http = page.to_http();
            for part in [title, text, "<p class=\"product\" dir=\"auto\">Recorder &quot;7&quot;</p>"] {
                assert!(http.contains(part), "{part} is not in {http}");
            }
        }
        assert!(!Page::BadRequest.to_http().contains("class=\"product\""));
    }
}

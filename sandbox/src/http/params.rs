//! The parameters of a request: those of its query, then those of its form body, as in a servlet.

use axum::http::{HeaderMap, Method, Uri, header};

/// Decoded names and values. The first value of a name counts.
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads the query, and the body if its type is that of a form. A GET has no body.
    pub(crate) fn read(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Params {
        let mut all = decode(uri.query().unwrap_or_default().as_bytes());
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        // Tomcat compares the case, too.
        if media_type == "application/x-www-form-urlencoded" && !matches!(*method, Method::GET | Method::HEAD) {
            all.extend(decode(body));
        }
        Params(all)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// All parameters as a query.
    pub(crate) fn to_query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

/// The pairs of a query or form. As in Tomcat, a pair with a `%` that begins no escape is left out.
fn decode(text: &[u8]) -> Vec<(String, String)> {
    let valid = text.split(|byte| *byte == b'&').filter(|pair| has_valid_escapes(pair));
    valid.flat_map(|pair| form_urlencoded::parse(pair).into_owned()).collect()
}

fn has_valid_escapes(pair: &[u8]) -> bool {
    let mut escapes = pair.split(|byte| *byte == b'%').skip(1);
    escapes.all(|rest| rest.get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, content_type: &'static str, body: &str) -> Params {
        let uri = format!("/oauth/token?{query}").parse().unwrap();
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())]);
        Params::read(&Method::POST, &uri, &headers, body.as_bytes())
    }

    #[test]
    fn the_query_comes_before_the_form() {
        let params = read("code=query", "application/x-www-form-urlencoded; charset=UTF-8", "code=form&scope=a+b%3A");
        assert_eq!(params.get("code"), Some("query"));
        assert_eq!(params.get("scope"), Some("a b:"));
    }

    #[test]
    fn a_pair_with_a_broken_escape_is_left_out() {
        let params = read("code=%ZZ&scope=%4&state=a%&redirect_uri=%41", "text/plain", "");
        assert_eq!([params.get("code"), params.get("scope"), params.get("state")], [None; 3]);
        assert_eq!(params.get("redirect_uri"), Some("A"));
    }

    #[test]
    fn a_json_body_is_ignored() {
        let params = read("", "application/json", "code=form");
        assert_eq!(params.get("code"), None);
    }
}

//! The parameters of a request: those of its query, then those of its form body, as in a servlet.

use axum::http::{HeaderMap, Uri, header};

/// Decoded names and values. The first value of a name counts.
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads the query, and the body if its type is that of a form.
    pub(crate) fn read(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Params {
        let mut all = decode(uri.query().unwrap_or_default().as_bytes());
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
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

fn decode(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).into_owned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, content_type: &'static str, body: &str) -> Params {
        let uri = format!("/oauth/token?{query}").parse().unwrap();
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())]);
        Params::read(&uri, &headers, body.as_bytes())
    }

    #[test]
    fn the_query_comes_before_the_form() {
        let params = read("code=query", "application/x-www-form-urlencoded; charset=UTF-8", "code=form&scope=a+b%3A");
        assert_eq!(params.get("code"), Some("query"));
        assert_eq!(params.get("scope"), Some("a b:"));
    }

    #[test]
    fn a_json_body_is_ignored() {
        let params = read("", "application/json", "code=form");
        assert_eq!(params.get("code"), None);
    }
}

//! Reads HTML as far as the scripted user needs it: the first form of a page, its fields, and the text of an element.

/// A form of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// The target of the form, as written.
    pub(super) action: String,
    /// The named inputs and their values, hidden ones included.
    inputs: Vec<(String, String)>,
    /// The names of the buttons. Only the pressed one is sent.
    buttons: Vec<String>,
}

impl Form {
    pub(super) fn find(page: &str) -> Option<Form> {
        let start = page.find("<form")?;
        let inside = &page[start..];
        let inside = &inside[..inside.find("</form>").unwrap_or(inside.len())];
        let mut form = Form { action: String::new(), inputs: Vec::new(), buttons: Vec::new() };
        for tag in inside.split('<').skip(1) {
            let tag = tag.split('>').next().unwrap_or_default();
            let name = attribute(tag, "name");
            match (tag.split_whitespace().next(), name) {
                (Some("form"), _) => form.action = attribute(tag, "action").unwrap_or_default(),
                (Some("input"), Some(name)) => {
                    form.inputs.push((name, attribute(tag, "value").unwrap_or_default()));
                }
                (Some("button"), Some(name)) => form.buttons.push(name),
                _ => {}
            }
        }
        Some(form)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.inputs.iter().any(|(input, _)| input == name) || self.buttons.iter().any(|button| button == name)
    }

    /// The body to send: the inputs, with the values given here, then the buttons given here.
    pub(super) fn filled(&self, given: &[(&str, &str)]) -> String {
        let mut body = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.inputs {
            let typed = given.iter().find(|(given, _)| given == name);
            body.append_pair(name, typed.map_or(value, |(_, typed)| typed));
        }
        for (name, value) in given {
            if self.buttons.iter().any(|button| button == name) {
                body.append_pair(name, value);
            }
        }
        body.finish()
    }
}

/// The text of the first element whose opening tag contains `mark`.
pub(super) fn element_text(page: &str, mark: &str) -> Option<String> {
    let rest = &page[page.find(mark)?..];
    let text = rest.split_once('>')?.1.split('<').next()?;
    Some(unescape(text).split_whitespace().collect::<Vec<_>>().join(" "))
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    tag[start..].split('"').next().map(unescape)
}

fn unescape(text: &str) -> String {
    // `&amp;` last, or an escaped entity would be unescaped twice.
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    plain.replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_fields_are_sent_back_unchanged() {
        let page = r#"<p>x</p><form method="post" action="/a?b&amp;c"><input type="hidden" name="t" value="1 &quot;&amp;lt;">
            <input name="username"><button name="go" value="true">Go</button></form><form action="/other"></form>"#;
        let form = Form::find(page).unwrap();
        assert_eq!(form.action, "/a?b&c");
        assert!(form.has("username") && form.has("go") && !form.has("password"));
        assert_eq!(form.filled(&[("username", "é"), ("go", "true")]), "t=1+%22%26lt%3B&username=%C3%A9&go=true");
    }

    #[test]
    fn the_text_of_an_alert_is_found() {
        let page = "<h1>Log in</h1><p role=\"alert\" id=\"a\">It&#39;s\n wrong.</p>";
        assert_eq!(element_text(page, "role=\"alert\"").as_deref(), Some("It's wrong."));
    }
}

//! `bindings/c/abi.json` describes the header for tools that make or check bindings. `make header` writes it.
//!
//! It has what the types of C say, and what only the comments say: whether a parameter may be NULL, who owns a result, whether a call
//! can block. The comments say it in fixed words, which this test reads.

mod common;

use std::fs;

use common::root;
use serde_json::{Map, Value, json};

#[test]
fn the_description_is_that_of_the_header() {
    let path = root().join("bindings/c/abi.json");
    let header = fs::read_to_string(root().join("include/cmauth.h")).unwrap();
    let described = serde_json::to_string_pretty(&describe(&header)).unwrap() + "\n";
    if std::env::var_os("CMAUTH_WRITE_HEADER").is_some() {
        fs::write(path, described).unwrap();
        return;
    }
    assert!(fs::read_to_string(path).unwrap() == described, "bindings/c/abi.json is stale: run `make header`");
}

#[test]
fn every_call_that_can_fail_slowly_says_that_it_can_block_and_no_other_does() {
    // These take a client, session or login, and neither send nor wait nor call a store.
    let quick = [
        "cm_client_new",
        "cm_client_check_url",
        "cm_login_new",
        "cm_login_listen",
        "cm_login_from_json",
        "cm_tokens_from_json",
    ];
    let header = fs::read_to_string(root().join("include/cmauth.h")).unwrap();
    for function in describe(&header)["functions"].as_array().unwrap() {
        let name = function["name"].as_str().unwrap();
        let can_fail = function["parameters"].as_array().unwrap().iter().any(|one| one["type"] == "cm_error **");
        assert_eq!(function["blocks"] == true, can_fail && !quick.contains(&name), "{name}");
    }
}

#[test]
fn the_description_has_what_a_binding_needs() {
    let header = fs::read_to_string(root().join("include/cmauth.h")).unwrap();
    let all = describe(&header);
    let find = |kind: &str, name: &str| {
        let found = all[kind].as_array().unwrap().iter().find(|one| one["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is not in {kind}")).clone()
    };
    let tokens = find("functions", "cm_session_tokens");
    assert_eq!(tokens["result"], json!({"type": "cm_status"}));
    assert_eq!(tokens["since"], "0.1");
    assert_eq!(
        tokens["parameters"][1],
        json!({"name": "tokens", "type": "cm_tokens **", "direction": "out", "owned": true})
    );
    assert_eq!(
        tokens["parameters"][2],
        json!({"name": "error", "type": "cm_error **", "direction": "out", "owned": true, "nullable": true})
    );
    let refresh_token = find("functions", "cm_tokens_refresh_token");
    assert_eq!(refresh_token["result"], json!({"type": "const char *", "owned": false, "nullable": true}));
    assert_eq!(find("functions", "cm_tokens_expires_at")["result"], json!({"type": "int64_t", "none": -1}));
    assert_eq!(find("functions", "cm_session_tokens_at_hand")["result"]["owned"], true);
    assert_eq!(find("functions", "cm_config_set_proxy")["parameters"][1]["nullable"], true);
    assert!(find("functions", "cm_refresh")["parameters"][1].get("nullable").is_none());
    let status = find("enums", "cm_status");
    assert!(status["values"].as_array().unwrap().contains(&json!({"name": "CM_STATUS_CANCELLED", "value": 15})));
    assert_eq!(find("callbacks", "cm_destroy_callback")["type"], "void (*)(void *context)");
    assert!(find("structs", "cm_store_callbacks")["members"].as_array().unwrap().len() == 7);
    assert!(find("handles", "cm_session")["free"] == "cm_session_free");
    assert!(find("constants", "CM_NONE")["value"] == -1);
}

/// A declaration of the header, and the comment before it.
struct Declaration {
    comment: String,
    code: String,
}

/// The text of a comment, without its stars.
fn text_of(comment: &str) -> String {
    let lines = comment.lines().map(|line| line.trim().trim_start_matches('*').trim_start());
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// Splits the header at the semicolons outside of braces.
fn declarations(header: &str) -> Vec<Declaration> {
    let mut found = Vec::new();
    let (mut comment, mut code, mut depth) = (String::new(), String::new(), 0);
    let mut rest = header;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("/*") {
            let (text, after) = after.split_once("*/").expect("a comment ends");
            // A comment inside of a structure belongs to a member.
            if depth == 0 {
                comment = text_of(text);
            }
            rest = after;
            continue;
        }
        if rest.starts_with('#') {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            if line.starts_with("#define CM_") && line.split_whitespace().count() == 3 && !line.contains("MUST_USE") {
                found.push(Declaration { comment: std::mem::take(&mut comment), code: line.to_owned() });
            }
            rest = after;
            continue;
        }
        let c = rest.chars().next().unwrap();
        rest = &rest[c.len_utf8()..];
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ';' && depth == 0 {
            let words: Vec<&str> = code.split_whitespace().filter(|word| *word != "CM_MUST_USE").collect();
            found.push(Declaration { comment: std::mem::take(&mut comment), code: words.join(" ") });
            code.clear();
        } else if !(c == '{' && code.trim_end().ends_with("extern \"C\"")) {
            code.push(c);
        } else {
            code.clear();
            depth = 0;
        }
    }
    found
}

fn describe(header: &str) -> Value {
    let (mut functions, mut enums, mut callbacks) = (Vec::new(), Vec::new(), Vec::new());
    let (mut structs, mut handles, mut constants) = (Vec::new(), Vec::new(), Vec::new());
    let mut last_type = String::new();
    for Declaration { comment, code } in declarations(header) {
        if let Some(constant) = code.strip_prefix("#define ") {
            let (name, value) = constant.split_once(' ').unwrap();
            constants.push(json!({"name": name, "value": value.parse::<i64>().unwrap()}));
        } else if let Some(body) = code.strip_prefix("enum {") {
            let values = body.trim_end_matches('}').split(',').filter_map(|value| value.split_once('='));
            let values: Vec<_> = values
                .map(|(name, value)| json!({"name": name.trim(), "value": value.trim().parse::<i64>().unwrap()}))
                .collect();
            enums.push(json!({"name": last_type, "type": "int32_t", "values": values}));
        } else if let Some(body) = code.strip_prefix("typedef struct {") {
            let (members, name) = body.rsplit_once('}').unwrap();
            let members: Vec<_> = members
                .split(';')
                .map(str::trim)
                .filter(|member| !member.is_empty())
                .map(|member| json!(member))
                .collect();
            structs.push(json!({"name": name.trim(), "members": members}));
        } else if let Some(name) = code.strip_prefix("typedef struct ") {
            let name = name.split_whitespace().next().unwrap();
            // A reply belongs to the callback that gets it.
            let free = format!("{name}_free");
            let free = header.contains(&format!("void {free}(")).then_some(free);
            handles.push(json!({"name": name, "free": free}));
        } else if let Some(callback) = code.strip_prefix("typedef ").filter(|code| code.contains("(*")) {
            let (before, rest) = callback.split_once("(*").unwrap();
            let (name, parameters) = rest.split_once(')').unwrap();
            callbacks.push(json!({"name": name, "type": format!("{before}(*){parameters}")}));
        } else if let Some(name) = code.strip_prefix("typedef int32_t ") {
            name.clone_into(&mut last_type);
        } else if code.contains('(') {
            functions.push(function(&comment, &code));
        }
    }
    json!({
        "about": "Generated from include/cmauth.h by `make header`. docs/abi.md says what the keys mean.",
        "constants": constants,
        "handles": handles,
        "enums": enums,
        "callbacks": callbacks,
        "structs": structs,
        "functions": functions,
    })
}

/// "const char *name" as a type and a name.
fn type_and_name(text: &str) -> (String, String) {
    let at = text.rfind([' ', '*']).expect("a type and a name") + 1;
    (text[..at].trim_end().to_owned(), text[at..].to_owned())
}

/// The text of a tag such as "@param tokens" up to the next tag.
fn tag<'a>(comment: &'a str, name: &str) -> &'a str {
    let Some(at) = comment.find(name) else { return "" };
    let text = &comment[at + name.len()..];
    text.split("\n@").next().unwrap_or_default()
}

fn function(comment: &str, code: &str) -> Value {
    let (before, parameters) = code.split_once('(').unwrap();
    let (result_type, name) = type_and_name(before);
    let parameters = parameters.trim_end_matches(')');
    let list: Vec<Value> = parameters
        .split(',')
        .map(str::trim)
        .filter(|parameter| *parameter != "void")
        .map(|parameter| {
            let (c_type, name) = type_and_name(parameter);
            let is_result = c_type.ends_with("**");
            let told = tag(comment, &format!("@param {name} "));
            let mut described = Map::new();
            described.insert("name".into(), json!(name));
            described.insert("type".into(), json!(c_type));
            described.insert("direction".into(), json!(if is_result { "out" } else { "in" }));
            if is_result {
                described.insert("owned".into(), json!(true));
            }
            if name == "error" || told.contains("NULL") && !is_result || name == "context" {
                described.insert("nullable".into(), json!(true));
            }
            Value::Object(described)
        })
        .collect();
    let told = tag(comment, "@return ");
    let mut result = Map::new();
    result.insert("type".into(), json!(result_type));
    if result_type.ends_with('*') {
        // A handle without const is a new one. A text, or a handle with const, belongs to the handle that it is read from.
        result.insert("owned".into(), json!(!result_type.starts_with("const ")));
        if told.contains("NULL") {
            result.insert("nullable".into(), json!(true));
        }
    }
    if told.contains("CM_NONE") {
        result.insert("none".into(), json!(-1));
    }
    let first = comment.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let brief = first.split_once(". ").map_or(first.as_str(), |(sentence, _)| sentence).trim_end_matches('.');
    let digits = |text: &str| text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect::<String>();
    let since = comment.split_once("Since ").map_or("0.1".to_owned(), |(_, after)| digits(after));
    let since = since.trim_end_matches('.');
    assert!(!brief.is_empty(), "{name} has no comment");
    json!({
        "name": name,
        "brief": brief,
        "parameters": list,
        "result": result,
        "blocks": comment.contains("Can block"),
        "since": since,
    })
}

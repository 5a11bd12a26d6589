//! Any URL as the redirect of a login: the check does not panic, and without the right state nothing is sent.

#![no_main]

use std::sync::LazyLock;

use cmauth::{Client, Config, Login};
use libfuzzer_sys::fuzz_target;

static LOGIN: LazyLock<Login> = LazyLock::new(|| {
    let mut config = Config::new("id", "secret");
    config.set_base_url("http://127.0.0.1:1").set_proxy(Some(""));
    Login::new(&Client::new(&config).unwrap(), "https://example.com/cb?site=7").unwrap()
});

fuzz_target!(|url: &str| {
    let is_redirect = LOGIN.is_redirect(url);
    let error = LOGIN.finish(url).unwrap_err();
    assert!(!error.request_sent());
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
    if is_redirect {
        // It has a code or an error, so its state is wrong, or a parameter is repeated.
        assert!(!error.message().contains("no query"), "{error}");
    }
    let _ = Login::new(&client(), url);
});

fn client() -> Client {
    static CLIENT: LazyLock<Client> = LazyLock::new(|| {
        let mut config = Config::new("id", "secret");
        config.set_base_url("http://127.0.0.1:1").set_proxy(Some(""));
        Client::new(&config).unwrap()
    });
    CLIENT.clone()
}

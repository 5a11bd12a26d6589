//! Any JSON as saved tokens: the error quotes nothing of it, or the tokens survive a round trip.

#![no_main]

use cmauth::Tokens;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &str| {
    match Tokens::from_json(json) {
        Ok(tokens) => {
            let again = Tokens::from_json(tokens.to_json().expose()).unwrap();
            assert_eq!(again, tokens);
            assert!(tokens.expires_in().is_none_or(|left| left >= 0));
            assert!(!format!("{tokens:?}").contains(tokens.access_token().expose()) || tokens.access_token().expose().len() < 12);
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control)),
    }
});

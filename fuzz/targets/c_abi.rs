//! The C functions with any text: each call returns, and each handle can be freed. Nothing is sent.

#![no_main]

use std::ffi::{CStr, CString, c_char};
use std::ptr::{null, null_mut};

use cmauth_c_abi::{client::*, config::*, error::*, login::*, tokens::*};
use libfuzzer_sys::fuzz_target;

/// The texts of the input, separated by NUL. An empty text stands for NULL.
fn texts(data: &[u8]) -> Vec<Option<CString>> {
    let text = |piece: &[u8]| (!piece.is_empty()).then(|| CString::new(piece).unwrap());
    data.split(|byte| *byte == 0).map(text).chain(std::iter::repeat_n(None, 10)).collect()
}

fuzz_target!(|data: &[u8]| {
    let texts = texts(data);
    let at = |i: usize| -> *const c_char { texts[i].as_ref().map_or(null(), |text| text.as_ptr()) };
    // SAFETY: the strings are NUL-terminated or NULL, and the handles come from the library.
    unsafe {
        let public = data.len() % 7 == 0;
        let config = if public { cm_config_new_public(at(0)) } else { cm_config_new(at(0), at(1)) };
        if data.first().is_some_and(|byte| byte % 2 == 0) {
            cm_config_set_scope(config, at(2));
            cm_config_set_user_agent(config, at(3));
            cm_config_set_proxy(config, at(4));
            cm_config_set_timeout_ms(config, data.len() as i64 - 3);
        }
        cm_config_set_base_url(config, c"http://127.0.0.1:1".as_ptr());
        let (mut client, mut login, mut tokens, mut error) = (null_mut(), null_mut(), null_mut(), null_mut());
        if cm_client_new(config, &mut client, &mut error) == cm_status::Ok {
            // After the cancel, no call sends anything.
            cm_client_cancel(client);
            let _ = cm_login_new(client, at(5), &mut login, &mut error);
            read(error);
            let _ = cm_login_is_redirect(login, at(6));
            let _ = cm_login_finish(login, at(6), &mut tokens, &mut error);
            read(error);
            let mut taken = null_mut();
            if cm_login_from_json(client, at(9), &mut taken, &mut error) == cm_status::Ok {
                assert!(!cm_login_to_json(taken).is_null());
            }
            read(error);
            cm_login_free(taken);
            let _ = cm_exchange_code(client, at(7), at(5), &mut tokens, &mut error);
            read(error);
            let _ = cm_refresh(client, at(7), &mut tokens, &mut error);
            read(error);
            let _ = cm_logout(client, at(7), &mut error);
        }
        read(error);
        if cm_tokens_from_json(at(8), &mut tokens, &mut error) == cm_status::Ok {
            assert!(!cm_tokens_to_json(tokens).is_null());
        }
        read(error);
        cm_tokens_free(tokens);
        cm_login_free(login);
        cm_client_free(client);
        cm_config_free(config);
    }
});

/// # Safety
/// `error` is NULL or a handle, and is freed.
unsafe fn read(error: *mut cm_error) {
    // SAFETY: the caller keeps the rule above.
    unsafe {
        let message = CStr::from_ptr(cm_error_message(error)).to_str().unwrap();
        assert!(!message.contains(char::is_control), "{message:?}");
        cm_error_free(error);
    }
}

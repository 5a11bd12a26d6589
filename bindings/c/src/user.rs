//! User. You need one in a program that serves many users: it says who has logged in.
//! Keep one session for each user, by the ID, however many browsers the user has.

use std::ptr::null;

use cmauth::User;
use libc::c_char;

use crate::call;
use crate::client::cm_client;
use crate::error::{cm_error, cm_status};
use crate::guard;
use crate::handle;
use crate::text::{Text, or_null};

/// Who a login is of. It contains no secret.
pub struct cm_user {
    id: Text,
    name: Option<Text>,
    email: Option<Text>,
}

impl cm_user {
    fn make(user: &User) -> *mut cm_user {
        let text = |text: &Option<String>| text.as_deref().map(Text::new);
        guard::make(cm_user { id: Text::new(&user.id), name: text(&user.name), email: text(&user.email) })
    }
}

/// Asks the API who the user of an access token is (GET /rest/v2.0/users/self). Can block until the timeout of the client.
///
/// @param user  receives the user
/// @retval CM_STATUS_TOKEN_REJECTED    the access token is unknown or has expired
/// @retval CM_STATUS_ACCESS_DENIED     the server answered 403: the scope of the token does not allow it
/// @retval CM_STATUS_REQUEST_REJECTED  the server rejects the request for another reason
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_get_user(
    client: *const cm_client,
    access_token: *const c_char,
    user: *mut *mut cm_user,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("user", user, error, || {
            let client = handle::of("client", client)?;
            let access_token = guard::text("access_token", access_token)?;
            Ok(cm_user::make(&client.user(access_token)?))
        })
    }
}

/// Frees a user.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_user_free(user: *mut cm_user) {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::free(user) }
}

/// The ID of the user, the same for every login: "20003".
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_user_id(user: *const cm_user) -> *const c_char {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(user, null(), |user| user.id.as_ptr()) }
}

/// The name with which the user logs in.
///
/// @return the name; NULL if the API did not send it
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_user_name(user: *const cm_user) -> *const c_char {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(user, null(), |user| or_null(user.name.as_ref())) }
}

/// The e-mail address of the user.
///
/// @return the address; NULL if the API did not send it
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_user_email(user: *const cm_user) -> *const c_char {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(user, null(), |user| or_null(user.email.as_ref())) }
}

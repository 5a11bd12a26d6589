//! libcmauth: the CameraManager login for C and C++.
//!
//! Sends a user to the login page, turns the code that comes back into tokens, refreshes them, logs out:
//!
//!     #include <cmauth.h>
//!     #include <stdio.h>
//!
//!     int main(void) {
//!         cm_config *config = cm_config_new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
//!         cm_client *client = NULL; cm_login *login = NULL; cm_tokens *tokens = NULL; cm_error *error = NULL;
//!         char redirected[2048];
//!         if (cm_client_new(config, &client, &error)) goto cleanup;
//!         if (cm_login_new(client, "https://example.com", &login, &error)) goto cleanup;
//!         printf("Open %s\nand paste the address you land on: ", cm_login_url(login));
//!         if (!fgets(redirected, sizeof redirected, stdin)) goto cleanup;
//!         if (cm_login_finish(login, redirected, &tokens, &error)) goto cleanup;
//!         printf("logged in, %lld s left\n", (long long)cm_tokens_expires_in(tokens));
//!         if (cm_logout(client, cm_tokens_access_token(tokens), &error)) goto cleanup;
//!     cleanup:
//!         if (error) fprintf(stderr, "%s\n", cm_error_message(error));
//!         int failed = error != NULL;
//!         cm_error_free(error); cm_tokens_free(tokens); cm_login_free(login); cm_client_free(client);
//!         cm_config_free(config); return failed;
//!     }
//!
//! Build it with `cc program.c -lcmauth`. A program that runs for long keeps its user in a session (`cm_session_open`),
//! which refreshes the tokens for all threads and processes and keeps them in a file.
//!
//! The conventions, which hold for every function:
//!
//! - Handles are opaque. Each has one `_new` (or the call that made it) and one `_free`; `_free(NULL)` does nothing. No
//!   call takes a handle over: what you made, you free, in any order, but not while a call on it runs.
//! - A call that can fail returns a `cm_status`, which is 0 (`CM_STATUS_OK`) or says what kind of failure it was. Its
//!   last parameter, `error`, receives an object with the details, or may be NULL. Results and `*error` are set to NULL
//!   on entry, so one `goto cleanup` serves. What they pointed at is not freed: refresh into a second variable.
//! - Setting up takes no error handling: `cm_config_new` and its setters never fail; `cm_client_new` reports the first
//!   bad value that one of them was given.
//! - Strings in are UTF-8, end with NUL, and are copied. Strings out belong to the handle they came from, until its
//!   `_free`, which wipes them from memory; never free or change one.
//! - A handle passed as `const` may be used by many threads at once; one that is not, by one thread at a time.
//! - Pass only NULL or what this library gave you and you have not freed. NULL is then never a crash: where it is not
//!   allowed, it is `CM_STATUS_INVALID_ARGUMENT`.
//! - Nothing is printed, no signal handler is installed, no bug in here unwinds into your code: it becomes
//!   `CM_STATUS_INTERNAL`. No message, description or name holds a client secret, code or token.
//! - The library starts threads of its own: to look up names and make connections; to refresh the tokens of a session with a
//!   memory or file store; and one that closes connections which were not used for 15 s and ends with the last of them. A
//!   process has at most 64. They call none of your functions but the log's (`cm_set_log`). A call that needs one more waits
//!   for a free one within its timeout.
//! - The library grows by new functions, statuses and setters: treat a status that you do not know as a failure.

// The conventions above are the safety contract of every function; a section for each would only repeat them in the
// header.
#![allow(clippy::missing_safety_doc, non_camel_case_types)]

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

// A request and its answer pass through buffers of the HTTP and TLS libraries, which know nothing of secrets.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

mod call;
mod guard;
mod text;

pub mod client;
pub mod config;
pub mod error;
pub mod log;
pub mod login;
pub mod session;
pub mod store;
pub mod tokens;
pub mod version;

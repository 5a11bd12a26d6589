//! libcmauth: the CameraManager login for C and C++.
//!
//! The library makes the URL of the login page of Eagle Eye Networks CameraManager, which your program opens in a
//! browser. It exchanges the code of the redirect for tokens, refreshes the tokens, and logs the user out. It follows the vendor's guide "OAuth login panel + refresh token",
//! https://developer.cameramanager.com/docs/oauth-login-panel-refresh-token ("the guide" below).
//!
//!     #include <cmauth.h>
//!     #include <stdio.h>
//!
//!     int main(void) {
//!         cm_config *config = cm_config_new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
//!         cm_client *client = NULL;
//!         cm_login *login = NULL;
//!         cm_tokens *tokens = NULL;
//!         cm_error *error = NULL;
//!         char url[2048];
//!         if (!cm_client_new(config, &client, &error) && !cm_login_new(client, "https://example.com", &login, &error))
//!             printf("Open %s\nand paste the address you land on: ", cm_login_url(login));
//!         if (login && fgets(url, sizeof url, stdin) && !cm_login_finish(login, url, &tokens, &error))
//!             puts("logged in");
//!         if (error) fprintf(stderr, "%s\n", cm_error_message(error));
//!         cm_error_free(error);
//!         cm_tokens_free(tokens);
//!         cm_login_free(login);
//!         cm_client_free(client);
//!         cm_config_free(config);
//!     }
//!
//! Build it with `cc program.c -lcmauth`. If your program runs for longer than the access token lives, use a
//! session: see `cm_session_open`. A session refreshes the tokens for all threads and processes, and saves them in
//! a store, such as a file.
//!
//! The following rules hold for every function. The comment of a function does not repeat them; it
//! states only where the function differs.
//!
//! Ownership
//! - A handle is a pointer to an opaque type, such as `cm_client`. You own each handle that the library gives you.
//!   Free it with the `_free` function of its type. Freeing NULL does nothing.
//! - The library never takes ownership of a handle that you pass. You may free handles in any order: a handle
//!   stays usable after you free the handles that it was made from.
//! - You may free a client, login, store or session while calls use it: they go on to their end. A call that begins
//!   afterwards fails with `CM_STATUS_INVALID_ARGUMENT`, and freeing again does nothing, until the library gives the
//!   same address to a new handle. It does so only after 1024 later frees. Free every other handle when no call uses it,
//!   and do not use it afterwards.
//! - Strings that you pass are UTF-8 and end with NUL. The library copies them. It cannot see what follows a NUL.
//! - Strings that you get belong to the handle that gave them. They are valid until you free that handle. Do not
//!   change or free them.
//! - Freeing a handle overwrites its secrets in memory, when the last call that uses it has ended.
//! - A function that returns a number returns `CM_NONE` (-1) if there is none. Check this before you compare: -1 is less
//!   than every time. All numbers fit into the date types of other languages, and generations are less than 2^53.
//!
//! Failures
//! - A call that can fail returns a `cm_status`: 0 (`CM_STATUS_OK`) for success, otherwise the kind of the failure.
//! - Its last parameter, `error`, receives an error with the details: see `cm_error_message`. You may
//!   pass NULL for this parameter.
//! - A call first sets the variables for its results (the result handle and `*error`) to NULL. It does not free a
//!   handle that such a variable held before. So do not use the variable that holds the old tokens to receive the new
//!   ones.
//! - The `cm_config` functions report no failures. `cm_client_new` reports the first bad value that you passed to
//!   them.
//! - A call that sends a request, or waits, can return `CM_STATUS_NETWORK`, `_TLS`, `_TIMEOUT`, `_SERVER`,
//!   `_PROTOCOL` or `_CANCELLED`. Every call can return `CM_STATUS_INVALID_ARGUMENT`, and `CM_STATUS_INTERNAL` for
//!   a bug in the library.
//! - Later versions can add statuses and advice. Treat a status that you do not know as a failure, and an advice that you
//!   do not know as `CM_ADVICE_REPORT`.
//!
//! NULL
//! - Do not pass NULL unless the comment of the function says what NULL means for this parameter. NULL never crashes
//!   the program.
//! - A call that returns a `cm_status` returns `CM_STATUS_INVALID_ARGUMENT` for a NULL that is not allowed.
//! - A function that reads from a handle returns what stands for "none" if the handle is NULL: NULL, `CM_NONE`, or 0 for
//!   a count or a yes. A function without a result then does nothing.
//! - A function that makes a config or a store returns NULL only because of a bug in the library. You need not
//!   check for this NULL: if you pass it to `cm_client_new` or `cm_session_open`, that function fails.
//!
//! Threads
//! - Any thread may call any function. A signal handler may call `cm_cancel_now`, and no other function.
//! - A function whose comment says "Can block" sends a request, waits, or calls a store. All others return at once.
//! - Functions that take a handle as `const` may run in many threads at once on the same handle. The setters of
//!   `cm_config`, the `cm_store_reply_set_` functions and the `_free` functions take their handle without `const`: while
//!   such a function runs, no other thread may use the handle. The exceptions are the `_free` functions of client, login,
//!   store and session.
//! - The library has threads of its own, at most 64 in a process. They look up host names and make connections
//!   (cmauth-dial), close a connection at most 15 s after its last use (cmauth-idle), refresh the tokens of sessions that
//!   have a memory or file store (cmauth-refresh), and keep sessions fresh (cmauth-keeper). A session refreshes only when
//!   it is called, unless `cm_session_keep_fresh` is on. If all threads of the library are busy, a new connection waits
//!   for a free thread, at most for the connect timeout. A session then refreshes on the thread that called the session.
//! - After `fork`, the parent and the child each have a copy of every handle. Both may use their copies, and each must
//!   free its own.
//!
//! Callbacks
//! - The library calls a callback on one of your threads, while that thread is in a function of the library. The log
//!   callback also runs on threads of the library, and so do the callbacks of a session that `cm_session_keep_fresh`
//!   keeps fresh.
//! - A callback must not throw an exception or leave by `longjmp`.
//! - A callback receives the `context` that you set together with it. The library does not use it as a pointer, so it
//!   can be any number.
//! - A function that keeps a context takes a `destroy` function with it. The library calls it exactly once, on any
//!   thread, when it will not use the context again; at once if the function could not keep the context, for example
//!   because a handle is NULL. `cm_store_callbacks` has its own rule.
//!
//! The library prints nothing and installs no signal handler. No error or log line contains a client secret,
//! a code or a token. Every function exists since version 0.1 unless its comment says otherwise.

// The rules above are the safety contract of every function. A "Safety" section at each would repeat them in the
// header.
#![allow(clippy::missing_safety_doc, non_camel_case_types)]

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

// Requests and responses pass through buffers of the HTTP and TLS libraries, which do not wipe secrets.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

mod call;
mod guard;
mod handle;
mod text;

pub mod browser;
pub mod cancel;
pub mod client;
pub mod config;
pub mod context;
pub mod error;
pub mod log;
pub mod login;
pub mod session;
pub mod signed_url;
pub mod store;
pub mod tokens;
pub mod user;
pub mod version;

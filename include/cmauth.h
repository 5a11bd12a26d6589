/*
 * libcmauth: the CameraManager login for C and C++.
 *
 * The library makes the URL of the login page of Eagle Eye Networks CameraManager, which your program opens in a
 * browser. It exchanges the code of the redirect for tokens, refreshes the tokens, and logs the user out. It follows the vendor's guide "OAuth login panel + refresh token",
 * https://developer.cameramanager.com/docs/oauth-login-panel-refresh-token ("the guide" below).
 *
 *     #include <cmauth.h>
 *     #include <stdio.h>
 *
 *     int main(void) {
 *         cm_config *config = cm_config_new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
 *         cm_client *client = NULL;
 *         cm_login *login = NULL;
 *         cm_tokens *tokens = NULL;
 *         cm_error *error = NULL;
 *         char url[2048];
 *         if (!cm_client_new(config, &client, &error) && !cm_login_new(client, "https://example.com", &login, &error))
 *             printf("Open %s\nand paste the address you land on: ", cm_login_url(login));
 *         if (login && fgets(url, sizeof url, stdin) && !cm_login_finish(login, url, &tokens, &error))
 *             puts("logged in");
 *         if (error) fprintf(stderr, "%s\n", cm_error_message(error));
 *         cm_error_free(error);
 *         cm_tokens_free(tokens);
 *         cm_login_free(login);
 *         cm_client_free(client);
 *         cm_config_free(config);
 *     }
 *
 * Build it with `cc program.c -lcmauth`. If your program runs for longer than the access token lives, use a
 * session: see `cm_session_open`. A session refreshes the tokens for all threads and processes, and saves them in
 * a store, such as a file.
 *
 * The following rules hold for every function. The comment of a function does not repeat them; it
 * states only where the function differs.
 *
 * Ownership
 * - A handle is a pointer to an opaque type, such as `cm_client`. You own each handle that the library gives you.
 *   Free it with the `_free` function of its type. Freeing NULL does nothing.
 * - The library never takes ownership of a handle that you pass. You may free handles in any order: a handle
 *   stays usable after you free the handles that it was made from.
 * - You may free a client, login, store or session while calls use it: they go on to their end. A call that begins
 *   afterwards fails with `CM_STATUS_INVALID_ARGUMENT`, and freeing again does nothing, until the library gives the
 *   same address to a new handle. It does so only after 1024 later frees. Free every other handle when no call uses it,
 *   and do not use it afterwards.
 * - Strings that you pass are UTF-8 and end with NUL. The library copies them. It cannot see what follows a NUL.
 * - Strings that you get belong to the handle that gave them. They are valid until you free that handle. Do not
 *   change or free them.
 * - Freeing a handle overwrites its secrets in memory, when the last call that uses it has ended.
 * - A function that returns a number returns `CM_NONE` (-1) if there is none. Check this before you compare: -1 is less
 *   than every time. All numbers fit into the date types of other languages, and generations are less than 2^53.
 *
 * Failures
 * - A call that can fail returns a `cm_status`: 0 (`CM_STATUS_OK`) for success, otherwise the kind of the failure.
 * - Its last parameter, `error`, receives an error with the details: see `cm_error_message`. You may
 *   pass NULL for this parameter.
 * - A call first sets the variables for its results (the result handle and `*error`) to NULL. It does not free a
 *   handle that such a variable held before. So do not use the variable that holds the old tokens to receive the new
 *   ones.
 * - The `cm_config` functions report no failures. `cm_client_new` reports the first bad value that you passed to
 *   them.
 * - A call that sends a request, or waits, can return `CM_STATUS_NETWORK`, `_TLS`, `_TIMEOUT`, `_SERVER`,
 *   `_PROTOCOL` or `_CANCELLED`. Every call can return `CM_STATUS_INVALID_ARGUMENT`, and `CM_STATUS_INTERNAL` for
 *   a bug in the library.
 * - Later versions can add statuses and advice. Treat a status that you do not know as a failure, and an advice that you
 *   do not know as `CM_ADVICE_REPORT`.
 *
 * NULL
 * - Do not pass NULL unless the comment of the function says what NULL means for this parameter. NULL never crashes
 *   the program.
 * - A call that returns a `cm_status` returns `CM_STATUS_INVALID_ARGUMENT` for a NULL that is not allowed.
 * - A function that reads from a handle returns what stands for "none" if the handle is NULL: NULL, `CM_NONE`, or 0 for
 *   a count or a yes. A function without a result then does nothing.
 * - A function that makes a config or a store returns NULL only because of a bug in the library. You need not
 *   check for this NULL: if you pass it to `cm_client_new` or `cm_session_open`, that function fails.
 *
 * Threads
 * - Any thread may call any function. A signal handler may call `cm_cancel_now`, and no other function.
 * - A function whose comment says "Can block" sends a request, waits, or calls a store. All others return at once.
 * - Functions that take a handle as `const` may run in many threads at once on the same handle. The setters of
 *   `cm_config`, the `cm_store_reply_set_` functions and the `_free` functions take their handle without `const`: while
 *   such a function runs, no other thread may use the handle. The exceptions are the `_free` functions of client, login,
 *   store and session.
 * - The library has threads of its own, at most 64 in a process. They look up host names and make connections
 *   (cmauth-dial), close a connection at most 15 s after its last use (cmauth-idle), refresh the tokens of sessions that
 *   have a memory or file store (cmauth-refresh), and keep sessions fresh (cmauth-keeper). A session refreshes only when
 *   it is called, unless `cm_session_keep_fresh` is on. If all threads of the library are busy, a new connection waits
 *   for a free thread, at most for the connect timeout. A session then refreshes on the thread that called the session.
 * - After `fork`, the parent and the child each have a copy of every handle. Both may use their copies, and each must
 *   free its own.
 *
 * Callbacks
 * - The library calls a callback on one of your threads, while that thread is in a function of the library. The log
 *   callback also runs on threads of the library, and so do the callbacks of a session that `cm_session_keep_fresh`
 *   keeps fresh.
 * - A callback must not throw an exception or leave by `longjmp`.
 * - A callback receives the `context` that you set together with it. The library does not use it as a pointer, so it
 *   can be any number.
 * - A function that keeps a context takes a `destroy` function with it. The library calls it exactly once, on any
 *   thread, when it will not use the context again; at once if the function could not keep the context, for example
 *   because a handle is NULL. `cm_store_callbacks` has its own rule.
 *
 * The library prints nothing and installs no signal handler. No error or log line contains a client secret,
 * a code or a token. Every function exists since version 0.1 unless its comment says otherwise.
 */
/* Generated from bindings/c/src by `make header`. Do not edit. */

#ifndef CMAUTH_H
#define CMAUTH_H

#include <stddef.h>
#include <stdint.h>

/* Lets compilers warn if a program ignores a status or a result. */
#if defined(__GNUC__) || defined(__clang__)
#define CM_MUST_USE __attribute__((warn_unused_result))
#else
#define CM_MUST_USE
#endif

/**
 * The version of this header. `cm_version` gives the version of the loaded library.
 */
#define CM_VERSION_MAJOR 0

/**
 * See CM_VERSION_MAJOR.
 */
#define CM_VERSION_MINOR 1

/**
 * See CM_VERSION_MAJOR.
 */
#define CM_VERSION_PATCH 0

/**
 * What a function that gives a number returns if there is no such number.
 */
#define CM_NONE -1

/**
 * Result of a call. 0 is success. The numbers never change and are never used again for another meaning.
 */
typedef int32_t cm_status;
enum {
    /**
     * The call succeeded.
     */
    CM_STATUS_OK = 0,
    /**
     * A parameter is NULL, not UTF-8, empty or out of range, or the login is already finished. Nothing was sent.
     */
    CM_STATUS_INVALID_ARGUMENT = 1,
    /**
     * Nobody is logged in, or the code or refresh token is no longer valid. Send the user to the login page.
     */
    CM_STATUS_LOGIN_REQUIRED = 2,
    /**
     * The access token is unknown or expired. At logout: refresh first. From `cm_session_rejected`: it is too
     * young to be refreshed again.
     */
    CM_STATUS_TOKEN_REJECTED = 3,
    /**
     * The user denied the access, or the server answered 403.
     */
    CM_STATUS_ACCESS_DENIED = 4,
    /**
     * The API key is wrong or lacks a permission: the token endpoint answered 401.
     */
    CM_STATUS_CLIENT_REJECTED = 5,
    /**
     * The server rejects the request for another reason: another 4xx, or an error in the redirect.
     */
    CM_STATUS_REQUEST_REJECTED = 6,
    /**
     * The redirect does not belong to this login. The login stays open.
     */
    CM_STATUS_STATE_MISMATCH = 7,
    /**
     * The network failed: host unknown, no route, connection refused or lost, or the proxy failed.
     */
    CM_STATUS_NETWORK = 8,
    /**
     * The TLS handshake failed, or the certificate of the server is not trusted.
     */
    CM_STATUS_TLS = 9,
    /**
     * The call did not finish within its timeout.
     */
    CM_STATUS_TIMEOUT = 10,
    /**
     * The server answered 5xx or 429.
     */
    CM_STATUS_SERVER = 11,
    /**
     * The response is not one of this API: a redirect, HTML, no usable token, or more than 64 KiB.
     */
    CM_STATUS_PROTOCOL = 12,
    /**
     * The store of a session could not be read, locked or written, or its content cannot be used.
     */
    CM_STATUS_STORE = 13,
    /**
     * There is a bug in the library.
     */
    CM_STATUS_INTERNAL = 14,
    /**
     * `cm_client_cancel`, `cm_login_cancel` or `cm_cancel_now` was called.
     */
    CM_STATUS_CANCELLED = 15,
};

/**
 * What the last change of a session was. Later versions can add values: treat one that you do not know as a reason to call
 * `cm_session_tokens`.
 */
typedef int32_t cm_change;
enum {
    /**
     * The session has other tokens: by a login, by a refresh, or from the store.
     */
    CM_CHANGE_TOKENS = 1,
    /**
     * `cm_session_logout` or `cm_session_forget` of this session ended the login.
     */
    CM_CHANGE_ENDED_HERE = 2,
    /**
     * The server rejected the refresh token: send the user to the login page.
     */
    CM_CHANGE_ENDED_BY_SERVER = 3,
    /**
     * Another session, process or machine removed the tokens from the store.
     */
    CM_CHANGE_ENDED_ELSEWHERE = 4,
};

/**
 * What to do about a failure.
 */
typedef int32_t cm_advice;
enum {
    /**
     * Nothing: there is no error, or your program cancelled the call.
     */
    CM_ADVICE_NONE = 0,
    /**
     * Somebody must correct the program, its settings, the network or the API key. Until then the same call fails
     * again.
     */
    CM_ADVICE_FIX = 1,
    /**
     * Send the user to the login page.
     */
    CM_ADVICE_LOG_IN = 2,
    /**
     * Get a new access token with the refresh token, then make the call again.
     */
    CM_ADVICE_REFRESH = 3,
    /**
     * Make the call again later. If `cm_error_retry_after` is not `CM_NONE`, wait for that time.
     */
    CM_ADVICE_RETRY = 4,
    /**
     * Report a bug in the library, with the message.
     */
    CM_ADVICE_REPORT = 5,
};

/**
 * Which events are logged. Each level includes the previous ones.
 */
typedef int32_t cm_log_level;
enum {
    /**
     * None.
     */
    CM_LOG_LEVEL_OFF = 0,
    /**
     * Requests that failed or were cancelled; new tokens that the store did not save.
     */
    CM_LOG_LEVEL_ERROR = 1,
    /**
     * Requests that are sent again, with the reason; waits for a browser that failed; redirects of another login; a
     * store that could not be cleared or unlocked, or that took longer than the timeout.
     */
    CM_LOG_LEVEL_WARN = 2,
    /**
     * Calls that succeeded; changes of a session; progress of a listening login.
     */
    CM_LOG_LEVEL_INFO = 3,
    /**
     * Every request and response.
     */
    CM_LOG_LEVEL_DEBUG = 4,
};

/**
 * What a store callback returns. Any other number counts as `CM_STORE_RESULT_FAILED`.
 */
typedef int32_t cm_store_result;
enum {
    /**
     * The callback succeeded.
     */
    CM_STORE_RESULT_OK = 0,
    /**
     * The callback failed. `cm_store_reply_set_message` can give the reason.
     */
    CM_STORE_RESULT_FAILED = 1,
    /**
     * From `try_lock`: another holder has the lock.
     */
    CM_STORE_RESULT_BUSY = 2,
    /**
     * From `save` and `clear`: the store has this generation or a larger one.
     */
    CM_STORE_RESULT_NEWER = 3,
};

/**
 * What a `cm_tokens_callback` returns. Any other number counts as `CM_ANSWER_DONE`.
 */
typedef int32_t cm_answer;
enum {
    /**
     * Any result, also a failure for another reason than the tokens.
     */
    CM_ANSWER_DONE = 0,
    /**
     * The API answered 401.
     */
    CM_ANSWER_REJECTED = 1,
};

/**
 * The texts of the page at the end of a login: see `cm_login_set_page`.
 */
typedef int32_t cm_page_text;
enum {
    /**
     * The language of the other texts, as a tag such as "en", "de-AT" or "ar" (BCP 47). It decides the direction of the
     * text.
     */
    CM_PAGE_TEXT_LANGUAGE = 1,
    /**
     * The title of the page, in the tab of the browser.
     */
    CM_PAGE_TEXT_TITLE = 2,
    /**
     * What the page says after a successful login. `cm_login_set_message` sets the same text.
     */
    CM_PAGE_TEXT_SUCCESS = 3,
    /**
     * What the page says after a login that failed or that the user denied.
     */
    CM_PAGE_TEXT_FAILURE = 4,
    /**
     * The name of the product, shown above the text and in the title.
     */
    CM_PAGE_TEXT_PRODUCT = 5,
};

/**
 * Ends calls from outside: those that a thread makes in the scope of this handle.
 */
typedef struct cm_cancel cm_cancel;

/**
 * Sends requests to the server for one API key. It never changes.
 */
typedef struct cm_client cm_client;

/**
 * The settings of a client.
 */
typedef struct cm_config cm_config;

/**
 * Details of a failure. It never changes.
 */
typedef struct cm_error cm_error;

/**
 * The state of a session at one moment. It contains no secret.
 */
typedef struct cm_health cm_health;

/**
 * One login of a user. It is finished when it has sent the first byte of an exchange. A failure before that, such
 * as a wrong state, leaves it open: pass another redirect.
 */
typedef struct cm_login cm_login;

/**
 * One logged-in user. Sessions in several processes, or on several machines, share the user if they share the
 * store.
 */
typedef struct cm_session cm_session;

/**
 * A URL with an access token in its query. It is as secret as the token.
 */
typedef struct cm_signed_url cm_signed_url;

/**
 * Keeps the tokens of one user. Many sessions can use it.
 */
typedef struct cm_store cm_store;

/**
 * Receives the results of a store callback. It is valid until the callback returns.
 */
typedef struct cm_store_reply cm_store_reply;

/**
 * The tokens of one logged-in user.
 */
typedef struct cm_tokens cm_tokens;

/**
 * Who a login is of. It contains no secret.
 */
typedef struct cm_user cm_user;

/**
 * Uses tokens for a request to the API, and returns a `cm_answer`. `tokens` are valid until the callback returns: do not free
 * them. See `cm_session_with_tokens`.
 */
typedef int32_t (*cm_tokens_callback)(void *context, const cm_tokens *tokens);

/**
 * Called when a session has other tokens, or none any more. See `cm_session_on_change`.
 *
 * `generation` is a different number after each change, in most cases a larger one. If two calls happen at the
 * same time, their order has no meaning: `cm_session_tokens` gives the current tokens. The callback may call
 * functions of the session.
 */
typedef void (*cm_change_callback)(void *context, cm_change change, int64_t generation);

/**
 * Frees the context of a callback. It is called exactly once, on any thread, when the library will not use the context again. It
 * must not call the library.
 */
typedef void (*cm_destroy_callback)(void *context);

/**
 * The functions of a store of your own. `cm_store_custom` copies this table. Only `destroy` may be NULL.
 *
 * A session saves a record: a text of a few hundred bytes. The record contains the tokens, so keep it secret, and
 * do not depend on its form. A session calls `load` at any time, and `save` and `clear` only while it holds the
 * lock.
 *
 * If the lock can expire, as in Redis, the store must track generations: it keeps the generation of the last
 * `save` or `clear`, and rejects a call with one that is not larger. So it rejects a `save` from a holder whose
 * lock has expired. examples/c/redis_store.c shows such a store.
 *
 * The session calls these functions, except `destroy`, on the threads that call the session. It makes one call at
 * a time. Sessions that share a store can call it from several threads at the same time. A callback may only call
 * the `cm_store_reply_...` functions, not the session. Neither the timeout of a call nor a cancel
 * ends a callback: its time is its own. `cm_store_time_left_ms` says how long it may take.
 */
typedef struct {
    /**
     * `sizeof(cm_store_callbacks)`. It tells the library which members your program knows. Later versions add
     * members at the end.
     */
    size_t size;
    /**
     * Passes the last saved record to `cm_store_reply_set_record`, if there is one, and never a part of it. A
     * store that tracks generations passes the generation to `cm_store_reply_set_generation`, even if there is no
     * record.
     */
    int32_t (*load)(void *context, cm_store_reply *reply);
    /**
     * Saves `record` in place of the previous one. `record` ends with NUL and is valid until the callback returns.
     * A store that tracks generations saves `generation` too. It returns `CM_STORE_RESULT_NEWER` if it already has
     * this generation or a larger one, but `CM_STORE_RESULT_OK` if it has the same record with the same
     * generation.
     */
    int32_t (*save)(void *context, const char *record, int64_t generation, cm_store_reply *reply);
    /**
     * Removes the record. A store that tracks generations keeps this generation, and returns
     * `CM_STORE_RESULT_NEWER` as `save` does.
     */
    int32_t (*clear)(void *context, int64_t generation, cm_store_reply *reply);
    /**
     * Takes the lock if it is free, and returns `CM_STORE_RESULT_BUSY` if it is not. It does not wait. The lock
     * lasts for at least `hold_ms` milliseconds, or until its holder ends.
     */
    int32_t (*try_lock)(void *context, int64_t hold_ms, cm_store_reply *reply);
    /**
     * Releases the lock, on the thread that took it with `try_lock`. If the lock can expire, another session may
     * hold it by now: release only the lock that this thread took. A failure is logged as a warning.
     */
    int32_t (*unlock)(void *context, cm_store_reply *reply);
    /**
     * Frees `context`. It is called exactly once: when the store and the last session that uses it are freed. This
     * also holds if the table was rejected. It is not called if `size` is too small to contain it, or if
     * `cm_store_custom` returned NULL.
     */
    cm_destroy_callback destroy;
} cm_store_callbacks;

/**
 * Receives one line of the log, without a line end. `line` is valid until the callback returns. Several threads
 * can call it at the same time, also threads of the library. It may call the library, but the lines of these calls are
 * dropped.
 */
typedef void (*cm_log_callback)(void *context, cm_log_level level, const char *line);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 * Config. You need one to make a client: it holds the API key, the server's address and the limits.
 * Set it up, pass it to `cm_client_new`, then free it.
 */

/**
 * Makes the settings for an API key. All other settings have their defaults.
 *
 * An API key is an id and a secret (step 1 of the guide). Request one at https://dealer.cameramanager.com. The
 * secret belongs on your server, never in a browser.
 *
 * @param client_id      the id of the key, without ':'
 * @param client_secret  the secret of the key
 * @return the settings
 */
CM_MUST_USE
cm_config *cm_config_new(const char *client_id,
                         const char *client_secret);

/**
 * Makes the settings for a machine that must not have the secret of the key, such as a workstation: a public
 * client (RFC 6749, section 2.1).
 *
 * Such a client can begin logins and log out. A machine with the secret finishes the logins: see
 * `cm_login_to_json`. Exchanges and refreshes fail with `CM_STATUS_INVALID_ARGUMENT`, and nothing is sent.
 *
 * @param client_id  the id of the key, without ':'
 * @return the settings
 */
CM_MUST_USE cm_config *cm_config_new_public(const char *client_id);

/**
 * Frees settings.
 */
void cm_config_free(cm_config *config);

/**
 * Sets the server. Default "https://rest.cameramanager.com".
 *
 * It has a host, and can have a port from 1 to 65535 and a path, to which the paths of the API are added. It has no user name,
 * query or fragment. Write a host name that is not ASCII as punycode ("xn--..."), and an IPv6 address in brackets:
 * "https://[2001:db8::1]:8443/prefix".
 *
 * @param base_url  https://..., or for tests http://... to a loopback host
 */
void cm_config_set_base_url(cm_config *config,
                            const char *base_url);

/**
 * Allows another origin (scheme, host and port) to get the access token of a user. Without it, only URLs of the server may. See
 * `cm_client_check_url` and `cm_session_sign_url`. Call it once for each origin.
 *
 * @param origin  "https://media.example:8443"; or http://... of a loopback host
 */
void cm_config_allow_origin(cm_config *config,
                            const char *origin);

/**
 * Sets the scope to ask for. Default "write", as in the guide.
 *
 * @param scope  "read", "write" or another scope; several are separated by one space each
 */
void cm_config_set_scope(cm_config *config, const char *scope);

/**
 * Sets how long a whole call may take, including its retries. Default 30000.
 *
 * @param timeout_ms  1 to 86400000 (a day), in milliseconds
 */
void cm_config_set_timeout_ms(cm_config *config, int64_t timeout_ms);

/**
 * Sets how long it may take to make one connection: name lookup, all addresses, proxy and TLS. Default 10000.
 *
 * @param timeout_ms  1 to 86400000 (a day), in milliseconds
 */
void cm_config_set_connect_timeout_ms(cm_config *config, int64_t timeout_ms);

/**
 * Sets the certificates to trust, in place of those of the system.
 *
 * @param path  a PEM file, which `cm_client_new` reads
 */
void cm_config_set_ca_file(cm_config *config, const char *path);

/**
 * Adds certificates to trust, beside those of the system or of `cm_config_set_ca_file`. Can be called several
 * times.
 *
 * @param path  a PEM file, which `cm_client_new` reads
 */
void cm_config_add_ca_file(cm_config *config, const char *path);

/**
 * Sets the proxy. By default, `cm_client_new` takes it from the environment, as curl does.
 *
 * The first of these environment variables that is not empty gives the proxy: https_proxy, HTTPS_PROXY, all_proxy,
 * ALL_PROXY. `cm_client_new` reports a value that is not a proxy URL. HTTP_PROXY is ignored. A server with an
 * http:// base URL is on this machine and needs no proxy.
 *
 * no_proxy, or NO_PROXY if no_proxy is empty, lists the servers that need no proxy. It is "*" for all servers, or
 * a list that is separated by commas:
 * - "example.com" stands for this host and its subdomains. A dot before or after it is ignored.
 * - "10.1.2.3", "10.0.0.0/8", "::1" and "2001:db8::/32" stand for an address or a network.
 * - Each of them can have a port, as in "example.com:8443". It then stands for this port only.
 *
 * curl ignores ports in this list, and Python's urllib ignores networks. If one of the two needs no proxy for a
 * server, this library needs none. Wildcards such as "*.example.com" have no meaning in any of the three.
 *
 * @param proxy  NULL: from the environment; "": no proxy; otherwise a URL: "http://[user:password@]host:port" or "host:port",
 *               "https://...", "socks5://...", "socks5h://...", "socks4://..." or "socks4a://...". With socks5 and socks4,
 *               this machine looks up the name of the server; with socks5h and socks4a the proxy does.
 */
void cm_config_set_proxy(cm_config *config,
                         const char *proxy);

/**
 * Sets the name and version of your product. The User-Agent header has them after "libcmauth/x.y.z".
 *
 * @param product  for example "Recorder/1.0"; ASCII, at most 1000 bytes
 */
void cm_config_set_user_agent(cm_config *config, const char *product);

/**
 * Sets how often a refresh or a logout is sent again after a network failure, HTTP 5xx or 429. Default 2.
 *
 * An exchange of a code is not sent again once one byte of it was sent, because the server accepts a code only
 * once.
 *
 * @param max_retries  0 (never) to 10
 */
void cm_config_set_max_retries(cm_config *config,
                               int32_t max_retries);

/**
 * Sets where the parameters of a token request are sent.
 *
 * @param in_body  0 (default): in the query, as the guide documents; 1: in a form body, as RFC 6749 specifies.
 *                 Servers and proxies often log the query, but not the body.
 */
void cm_config_set_params_in_body(cm_config *config,
                                  int32_t in_body);

/*
 * Client. You need one for each API key; all threads of your program can share it.
 * It makes the three requests of the guide: exchange a code, refresh, log out. It stores no user and no token.
 */

/**
 * Makes a client from a copy of the settings. Reads the CA files and the certificates that the system trusts.
 * Sends nothing.
 *
 * @param config  the settings; you can free them at once
 * @param client  receives the client
 * @retval CM_STATUS_INVALID_ARGUMENT  a setting is bad; the message names it
 * @retval CM_STATUS_TLS               the system has no trusted root certificates
 */
CM_MUST_USE cm_status cm_client_new(const cm_config *config, cm_client **client, cm_error **error);

/**
 * Frees a client. Its logins and sessions go on: they keep what they need.
 */
void cm_client_free(cm_client *client);

/**
 * Cancels this client, for a program that must stop. Calls in progress return `CM_STATUS_CANCELLED` within 100 ms.
 * Later calls return it at once, also if they would not have to wait: `while (cm_session_tokens(...) == 0)` ends. This
 * includes the calls of the client's logins and sessions, and `cm_session_open`. To end one call only, see
 * `cm_cancel_new`.
 *
 * These calls send nothing and do not wait, so they work on a cancelled client: `cm_login_new`, `_listen` and
 * `_from_json`, `cm_session_health`, and all functions that only read from a handle.
 *
 * Two calls in progress end later. A call that waits for a SOCKS proxy to accept its connection ends with the connect
 * timeout. A call that is in a callback of a custom store continues until the callback returns.
 *
 * A cancelled client stays cancelled: make a new one to continue. Free the cancelled client when its calls have
 * returned.
 */
void cm_client_cancel(const cm_client *client);

/**
 * Exchanges a code for tokens (step 4 of the guide, RFC 6749 section 4.1.3). Can block until the timeout of the
 * client.
 *
 * Most programs call `cm_login_finish` instead, which also checks the state of the redirect. Use this function if
 * you check the state yourself.
 *
 * @param code          the code from the redirect
 * @param redirect_uri  the redirect URI that the login page was opened with, byte for byte
 * @param tokens        receives the tokens
 * @retval CM_STATUS_LOGIN_REQUIRED    the code is not valid, was used before, or belongs to another redirect URI
 * @retval CM_STATUS_CLIENT_REJECTED   the server rejects the API key
 * @retval CM_STATUS_ACCESS_DENIED     the server answered 403
 * @retval CM_STATUS_REQUEST_REJECTED  the server rejects the request for another reason
 */
CM_MUST_USE
cm_status cm_exchange_code(const cm_client *client,
                           const char *code,
                           const char *redirect_uri,
                           cm_tokens **tokens,
                           cm_error **error);

/**
 * Gets a new access token (step 5 of the guide, RFC 6749 section 6). The server ends the old access token at once.
 * Can block until the timeout of the client.
 *
 * If the server sends no new refresh token, the new tokens contain the old one.
 *
 * @param tokens  receives the new tokens
 * @retval CM_STATUS_LOGIN_REQUIRED    the refresh token is no longer valid
 * @retval CM_STATUS_CLIENT_REJECTED   the server rejects the API key
 * @retval CM_STATUS_ACCESS_DENIED     the server answered 403
 * @retval CM_STATUS_REQUEST_REJECTED  the server rejects the request for another reason
 */
CM_MUST_USE
cm_status cm_refresh(const cm_client *client,
                     const char *refresh_token,
                     cm_tokens **tokens,
                     cm_error **error);

/**
 * Ends the access token and its refresh token (step 6 of the guide). Can block until the timeout of the client.
 *
 * @retval CM_STATUS_TOKEN_REJECTED    the access token is unknown or has expired. If it has expired, the refresh
 *                                     token is still valid: refresh, then log out.
 * @retval CM_STATUS_ACCESS_DENIED     the server answered 403
 * @retval CM_STATUS_REQUEST_REJECTED  the server rejects the request for another reason
 */
CM_MUST_USE
cm_status cm_logout(const cm_client *client,
                    const char *access_token,
                    cm_error **error);

/**
 * Checks that a URL may get the access token of a user: it is a URL of the server, by scheme, host and port, or of an origin of
 * `cm_config_allow_origin`. Call it before each request to a URL that your program did not write itself, such as the target of
 * a redirect: whoever gets the token can use it. Sends nothing.
 *
 * @retval CM_STATUS_INVALID_ARGUMENT  it may not get the token, or it is no URL; the message names its origin
 */
CM_MUST_USE
cm_status cm_client_check_url(const cm_client *client,
                              const char *url,
                              cm_error **error);

/*
 * Cancel. You need it to end one call and not the whole client, for example when a user presses Cancel in a dialog.
 * Set it for the thread that makes the call. Any thread, or a signal handler, can then end the call.
 */

/**
 * Makes a handle that is not cancelled.
 *
 * @return the handle
 */
CM_MUST_USE cm_cancel *cm_cancel_new(void);

/**
 * Frees a cancel handle, which may still be the scope of a thread. Make sure that no other thread and no signal handler calls
 * `cm_cancel_now` at the same time or later.
 */
void cm_cancel_free(cm_cancel *cancel);

/**
 * Ends the calls in the scope of this handle. They return `CM_STATUS_CANCELLED` within 100 ms, with the exceptions that
 * `cm_client_cancel` has. Later calls in its scope return it at once. The client and its other calls go on.
 *
 * The handle stays cancelled: make a new one for the next call. It does not depend on a client, so you may call this
 * after the client was freed.
 *
 * A signal handler may call this function, and no other: it is one atomic store.
 */
void cm_cancel_now(const cm_cancel *cancel);

/**
 * Makes the calls of the calling thread end when this handle is cancelled, until the next call of this function on the same
 * thread. The calls of callbacks on this thread count as well. A refresh that a thread of the library makes for other
 * callers goes on.
 *
 *     cm_cancel_scope(cancel);
 *     status = cm_session_logout(session, &error);
 *     cm_cancel_scope(NULL);
 *
 * @param cancel  the handle; NULL: ends the scope
 * @return the handle that was set before on this thread, to restore it; NULL if there was none, or if it was freed
 */
const cm_cancel *cm_cancel_scope(const cm_cancel *cancel);

/*
 * Login. You need one each time a user logs in.
 * Open `cm_login_url` in a browser, then pass the redirect to `cm_login_finish`, or receive it with `cm_login_wait`.
 */

/**
 * Begins a login (step 2 of the guide). Makes a state of 256 random bits, by which `cm_login_finish` recognizes
 * the redirect. Sends nothing.
 *
 * @param redirect_uri  where the browser returns: http://... or https://..., without a fragment
 * @param login         receives the login
 * @retval CM_STATUS_INVALID_ARGUMENT  the redirect URI cannot be used
 */
CM_MUST_USE
cm_status cm_login_new(const cm_client *client,
                       const char *redirect_uri,
                       cm_login **login,
                       cm_error **error);

/**
 * Begins a login whose redirect this machine receives (RFC 8252). Open `cm_login_url` in a browser, then call
 * `cm_login_wait`.
 *
 * The login listens on 127.0.0.1, which other machines cannot reach. Its redirect URI is `http://127.0.0.1:PORT/`.
 * Several such logins can exist at the same time. Sends nothing.
 *
 * @param port   1 to 65535, or 0 for a free port. If your API key allows only one redirect URI, use its port.
 * @param login  receives the login
 * @retval CM_STATUS_INVALID_ARGUMENT  the port is in use or not allowed
 */
CM_MUST_USE
cm_status cm_login_listen(const cm_client *client,
                          int32_t port,
                          cm_login **login,
                          cm_error **error);

/**
 * Continues a login that another process or machine began: that machine shows the page, this one has the secret.
 * Both clients must have the same client id and base URL.
 *
 * @param json   what `cm_login_to_json` returned
 * @param login  receives the login. It does not listen.
 * @retval CM_STATUS_INVALID_ARGUMENT  the text is not a login of this client; the message names the key
 * @retval CM_STATUS_LOGIN_REQUIRED    the login began more than an hour ago, or the clocks differ
 */
CM_MUST_USE
cm_status cm_login_from_json(const cm_client *client,
                             const char *json,
                             cm_login **login,
                             cm_error **error);

/**
 * Frees a login. If it listens, this closes its port.
 */
void cm_login_free(cm_login *login);

/**
 * The URL of the login page, for the user's browser. The browser must follow redirects. The URL contains the state
 * of the login: do not log it.
 */
CM_MUST_USE
const char *cm_login_url(const cm_login *login);

/**
 * Whether a URL is the redirect of this login, for a browser inside your product. When this returns 1, close the
 * browser and call `cm_login_finish`, which checks the rest.
 *
 * @param url  the URL that the browser is about to open
 * @return 1 if the URL matches the redirect URI and its query has a code or an error; otherwise 0
 */
CM_MUST_USE
int32_t cm_login_is_redirect(const cm_login *login,
                             const char *url);

/**
 * Checks the redirect and exchanges its code for tokens (steps 3 and 4 of the guide). Can block until the timeout
 * of the client.
 *
 * A whole URL must have the scheme, host, port and path of the redirect URI; a slash at the end of the path makes no
 * difference. A web server behind a proxy sees another URL than the browser: pass the part from the path on, of which only the
 * query is used.
 *
 * @param redirected_url  the URL that the browser returned to, or its part from the path on
 * @param tokens          receives the tokens
 * @retval CM_STATUS_STATE_MISMATCH    the redirect belongs to another login or place, or is forged
 * @retval CM_STATUS_ACCESS_DENIED     the user denied the access, or the server answered 403
 * @retval CM_STATUS_INVALID_ARGUMENT  the redirect has no code, or has a parameter twice; or the login is
 *                                     finished, or another thread is finishing it
 * @retval CM_STATUS_REQUEST_REJECTED  the redirect contains another error, or the server rejects the request
 * @retval CM_STATUS_LOGIN_REQUIRED    the code is no longer valid
 * @retval CM_STATUS_CLIENT_REJECTED   the server rejects the API key
 */
CM_MUST_USE
cm_status cm_login_finish(const cm_login *login,
                          const char *redirected_url,
                          cm_tokens **tokens,
                          cm_error **error);

/**
 * Waits until the browser returns to a login that listens, and finishes the login. The browser then shows the
 * result. Other requests to the port get an HTTP 400, and the wait continues. Only one thread at a time can wait.
 * Can block until its own timeout, and then until that of the client.
 *
 * @param login       a login from `cm_login_listen`
 * @param timeout_ms  how long to wait for the browser, in milliseconds, more than 0. The exchange of the code has
 *                    the timeout of the client in addition.
 * @param tokens      receives the tokens. The port is then closed.
 * @retval CM_STATUS_TIMEOUT           the browser did not return in time: wait again, or give up
 * @retval CM_STATUS_CANCELLED         `cm_login_cancel` or `cm_client_cancel` was called
 * @retval CM_STATUS_INVALID_ARGUMENT  the login does not listen or is finished, or another thread waits for it
 * @return otherwise as `cm_login_finish`
 */
CM_MUST_USE
cm_status cm_login_wait(const cm_login *login,
                        int64_t timeout_ms,
                        cm_tokens **tokens,
                        cm_error **error);

/**
 * Cancels `cm_login_wait` within 100 ms, also while it exchanges the code, except while it waits for a SOCKS proxy.
 * Later waits fail at once. Other calls of the client continue.
 *
 * @param login  a login from `cm_login_listen`; for another login, nothing happens
 */
void cm_login_cancel(const cm_login *login);

/**
 * Sets the text that the browser shows after a successful `cm_login_wait`. Default: "You are logged in." and "You
 * can close this page." on two lines.
 *
 * @param login  a login from `cm_login_listen`; for another login, nothing happens
 * @param text   plain text; line breaks are kept. If it is NULL or not UTF-8, nothing happens.
 */
void cm_login_set_message(const cm_login *login,
                          const char *text);

/**
 * Sets a text of the page that the browser shows after `cm_login_wait`. Without it, the page is in English and names no
 * product.
 *
 * `cm_login_wait` reports the first bad value, with `CM_STATUS_INVALID_ARGUMENT`, before it waits.
 *
 * @param login  a login from `cm_login_listen`; for another login, nothing happens
 * @param key    a `cm_page_text`
 * @param text   plain text
 */
void cm_login_set_page(const cm_login *login,
                       int32_t key,
                       const char *text);

/**
 * The login as JSON, for `cm_login_from_json` in another process or on another machine within an hour. It contains
 * the state, but not the secret of the API key. Protect it like a password.
 */
CM_MUST_USE
const char *cm_login_to_json(const cm_login *login);

/*
 * Browser. You need it to show the login page to a user at this machine.
 * It opens the page in the browser that the user has chosen in the settings of the system.
 */

/**
 * Opens a web page in the user's browser: `cm_login_url`, or another page. Runs xdg-open, or another program of the desktop that
 * does the same, with its standard input and output closed. Can block for some seconds: half a second for each of these programs.
 *
 * If that program runs on, a thread waits for its end, so that it leaves no zombie.
 *
 * Success means that such a program was started and did not fail at once. The browser may still not show the page, for example
 * because it runs on another screen. So show the URL to the user as well.
 *
 * @param url  http://... or https://...
 * @retval CM_STATUS_INVALID_ARGUMENT  the URL is no address of a web page, or this machine has no program that opens one
 */
CM_MUST_USE
cm_status cm_open_browser(const char *url,
                          cm_error **error);

/*
 * Tokens. You need these functions to read the access token for your requests, and when it expires.
 * Tokens never change, because a refresh makes new ones. Save them in a session, or as JSON.
 */

/**
 * Frees tokens. The server is not told: see `cm_logout`.
 */
void cm_tokens_free(cm_tokens *tokens);

/**
 * The access token. Those of CameraManager look like "<UUID>:<zone>", but do not rely on it. `cm_tokens_authorization`
 * gives the header for a request.
 */
CM_MUST_USE
const char *cm_tokens_access_token(const cm_tokens *tokens);

/**
 * The value of the header `Authorization` for a request to the API: "Bearer " and the access token (RFC 6750, section 2.1).
 */
CM_MUST_USE
const char *cm_tokens_authorization(const cm_tokens *tokens);

/**
 * The refresh token, for `cm_refresh`. It works until the user logs out.
 *
 * @return the refresh token; NULL if the server sent none
 */
CM_MUST_USE const char *cm_tokens_refresh_token(const cm_tokens *tokens);

/**
 * The token type, "bearer" in the spelling of the server.
 */
CM_MUST_USE const char *cm_tokens_token_type(const cm_tokens *tokens);

/**
 * The scope that the user granted, in the words of the server: "write", "read write".
 *
 * @return the scope; NULL if the server did not send it
 */
CM_MUST_USE const char *cm_tokens_scope(const cm_tokens *tokens);

/**
 * When the access token expires. Its lifetime counts from before the request was sent.
 *
 * @return Unix seconds, at most 253402300799 (the year 9999); `CM_NONE`: never
 */
CM_MUST_USE int64_t cm_tokens_expires_at(const cm_tokens *tokens);

/**
 * How long the access token is still valid, by the clock of this machine.
 *
 * @return seconds, from 0 to 2147483647 (68 years); `CM_NONE`: it never expires
 */
CM_MUST_USE int64_t cm_tokens_expires_in(const cm_tokens *tokens);

/**
 * The tokens as JSON, to save them yourself. Protect it as you protect the tokens.
 *
 * The JSON is an object with the keys "access_token" and "token_type", and if they are known "refresh_token",
 * "scope" and "expires_at" (Unix seconds). Later versions may add keys.
 */
CM_MUST_USE const char *cm_tokens_to_json(const cm_tokens *tokens);

/**
 * Makes tokens from the JSON of `cm_tokens_to_json`. Unknown keys are ignored.
 *
 * @param tokens  receives the tokens
 * @retval CM_STATUS_INVALID_ARGUMENT  the JSON contains no tokens; the message names the key
 */
CM_MUST_USE cm_status cm_tokens_from_json(const char *json, cm_tokens **tokens, cm_error **error);

/*
 * User. You need one in a program that serves many users: it says who has logged in.
 * Keep one session for each user, by the ID, however many browsers the user has.
 */

/**
 * Asks the API who the user of an access token is (GET /rest/v2.0/users/self). Can block until the timeout of the client.
 *
 * @param user  receives the user
 * @retval CM_STATUS_TOKEN_REJECTED    the access token is unknown or has expired
 * @retval CM_STATUS_ACCESS_DENIED     the server answered 403: the scope of the token does not allow it
 * @retval CM_STATUS_REQUEST_REJECTED  the server rejects the request for another reason
 */
CM_MUST_USE
cm_status cm_get_user(const cm_client *client,
                      const char *access_token,
                      cm_user **user,
                      cm_error **error);

/**
 * Frees a user.
 */
void cm_user_free(cm_user *user);

/**
 * The ID of the user, the same for every login: "20003".
 */
CM_MUST_USE const char *cm_user_id(const cm_user *user);

/**
 * The name with which the user logs in.
 *
 * @return the name; NULL if the API did not send it
 */
CM_MUST_USE const char *cm_user_name(const cm_user *user);

/**
 * The e-mail address of the user.
 *
 * @return the address; NULL if the API did not send it
 */
CM_MUST_USE const char *cm_user_email(const cm_user *user);

/*
 * Session. You need one if your program runs longer than an access token lives, or if several processes share a user.
 * It refreshes the tokens, saves them in a store, and gives every caller tokens that are valid now.
 */

/**
 * Opens a session with the tokens that are in the store. If there are none, nobody is logged in until
 * `cm_session_start`. Sends nothing. Can block until the timeout of the client.
 *
 * The session also opens if the content of the store is damaged, or belongs to another API key or server. Nobody
 * is logged in then, and `cm_health_last_error` gives the reason (`CM_STATUS_STORE`, advice fix).
 * `cm_session_start`, `_tokens`, `_rejected` and `_logout` fail with that error; they send nothing and change
 * nothing. `cm_session_forget` clears the store.
 *
 * @param session  receives the session
 * @retval CM_STATUS_INVALID_ARGUMENT  the path or the callbacks of the store are bad
 * @retval CM_STATUS_STORE             the store cannot be read
 */
CM_MUST_USE
cm_status cm_session_open(const cm_client *client,
                          const cm_store *store,
                          cm_session **session,
                          cm_error **error);

/**
 * Frees a session. The tokens remain in the store.
 */
void cm_session_free(cm_session *session);

/**
 * Starts the session with the tokens of a login. When the call returns, they are in the store. If the call fails,
 * the session is unchanged, and you can call it again with the same tokens. Can block until the timeout of the
 * client.
 *
 * @param tokens  the tokens
 * @retval CM_STATUS_STORE  the store could not be locked or written. With advice fix, its content is damaged or
 *                          belongs to another API key or server: `cm_session_forget` clears it.
 */
CM_MUST_USE
cm_status cm_session_start(const cm_session *session,
                           const cm_tokens *tokens,
                           cm_error **error);

/**
 * Gives tokens that are valid now. It refreshes them before they expire, once for all callers, within the timeout
 * of the client. If the refresh fails and the old tokens have not expired, it gives the old ones;
 * `cm_session_health` reports the failure. Can block until the timeout of the client.
 *
 * With a memory or file store, a thread of the library refreshes. A caller whose tokens have not expired waits for
 * it for at most one second. With a store of your own, the thread of one caller refreshes, because your callbacks
 * run only on your threads.
 *
 * After a failure the session does not ask the server again until its back-off is over. Until then, calls that need new
 * tokens fail at once with the same error; its `cm_error_retry_after` is the rest of the back-off. The first one is
 * at most one second. Each further failure doubles it, up to one minute. If the server asks for a longer one,
 * that counts, up to one hour. While the old tokens have not expired, the back-off is longer: at most 30
 * seconds at first, then doubled up to 10 minutes.
 *
 * @param tokens  receives the tokens
 * @retval CM_STATUS_LOGIN_REQUIRED  nobody is logged in, or the server ended the login
 * @retval CM_STATUS_STORE           the store could not be locked or read
 * @return otherwise as `cm_refresh`
 */
CM_MUST_USE
cm_status cm_session_tokens(const cm_session *session,
                            cm_tokens **tokens,
                            cm_error **error);

/**
 * Gives tokens that are valid for at least `seconds`, and refreshes them first if they are not. For a job that must end with the
 * tokens that it began with, such as an export of a recording: `cm_session_hold` keeps other refreshes away meanwhile. Can block
 * until the timeout of the client.
 *
 * @param seconds  at least 0
 * @param tokens   receives the tokens
 * @retval CM_STATUS_INVALID_ARGUMENT  new tokens do not last that long; the message says how much can be asked for
 * @retval CM_STATUS_TOKEN_REJECTED    the tokens are held and end too early (advice retry). `cm_error_retry_after` says when the
 *                                     hold ends.
 * @return otherwise as `cm_session_tokens`
 */
CM_MUST_USE
cm_status cm_session_tokens_for(const cm_session *session,
                                int64_t seconds,
                                cm_tokens **tokens,
                                cm_error **error);

/**
 * Holds early refreshes off until `until`, for all sessions on the store, and gives the tokens that are held. A refresh ends the
 * old access token at once, so hold the tokens while a long download runs. Can block until the timeout of the client.
 *
 * A hold ends with the tokens at the latest. A shorter hold does not end a longer one. It does not prevent a refresh after a 401, a
 * logout, or a refresh by a program that does not use this store. `cm_health_held_until` says until when it lasts.
 *
 * @param until   Unix seconds
 * @param tokens  receives the tokens
 * @retval CM_STATUS_STORE  the hold could not be saved
 * @return otherwise as `cm_session_tokens`
 */
CM_MUST_USE
cm_status cm_session_hold(const cm_session *session,
                          int64_t until,
                          cm_tokens **tokens,
                          cm_error **error);

/**
 * Gives `url` with the access token as the query parameter `access_token`, which the vendor's API requires for downloads of
 * recordings. The token is percent-encoded, and replaces one that is there. The rest of the URL stays as it is, so encode the '+'
 * of a time as "%2B". Prefer the header where the API accepts it: servers and proxies log URLs. Can block until the timeout of
 * the client.
 *
 * @param signed_url  receives the signed URL
 * @retval CM_STATUS_INVALID_ARGUMENT  the URL may not get the token: see `cm_client_check_url`
 * @return otherwise as `cm_session_tokens`
 */
CM_MUST_USE
cm_status cm_session_sign_url(const cm_session *session,
                              const char *url,
                              cm_signed_url **signed_url,
                              cm_error **error);

/**
 * Gives the tokens if they are valid now and no work is due. Never waits, but calls the callback of `cm_session_on_change` if
 * a change was not reported yet. For event loops.
 *
 * @return the tokens, which you own; NULL if there is work to do, nobody is logged in or the client is cancelled: call
 *         `cm_session_tokens` on another thread
 */
CM_MUST_USE
cm_tokens *cm_session_tokens_at_hand(const cm_session *session);

/**
 * Gives other tokens, after the API answered 401 to `rejected`: newer ones if there are any, otherwise refreshed
 * ones. There is one refresh for all callers. Do not call it after a 403, because other tokens would get a 403
 * too. Can block until the timeout of the client.
 *
 * If refreshed tokens are rejected too, they are refreshed again only when they are 15 seconds old. Each further
 * rejection doubles this age, up to 10 minutes. So an API that rejects all tokens causes few requests, and so do
 * two installations whose refreshes end each other's tokens.
 *
 * @param rejected  the rejected tokens; the call never gives these again
 * @param tokens    receives the tokens
 * @retval CM_STATUS_TOKEN_REJECTED  the tokens are too young to be refreshed again (advice retry).
 *                                   `cm_error_retry_after` says how long to wait. `cm_session_tokens` still gives
 *                                   them, because the API may accept them for other requests.
 * @return otherwise as `cm_session_tokens`
 */
CM_MUST_USE
cm_status cm_session_rejected(const cm_session *session,
                              const cm_tokens *rejected,
                              cm_tokens **tokens,
                              cm_error **error);

/**
 * The same as `cm_session_rejected`, for a program that has only the access token, such as a middleware of an HTTP library.
 * Can block until the timeout of the client.
 *
 * @param access_token  the rejected access token
 * @param tokens        receives the tokens
 * @return as `cm_session_rejected`
 */
CM_MUST_USE
cm_status cm_session_rejected_token(const cm_session *session,
                                    const char *access_token,
                                    cm_tokens **tokens,
                                    cm_error **error);

/**
 * Calls your function with the tokens of `cm_session_tokens`. If it returns `CM_ANSWER_REJECTED`, calls it once more, with the
 * tokens of `cm_session_rejected`. Use it for a request to the API. Can block until the timeout of the client, before each
 * call of your function.
 *
 * @param callback  the function, which this call calls before it returns
 * @param context   passed to the callback; may be NULL
 * @retval CM_STATUS_OK              the callback returned `CM_ANSWER_DONE`
 * @retval CM_STATUS_TOKEN_REJECTED  the API rejected both (advice retry)
 * @return otherwise as `cm_session_rejected`
 */
CM_MUST_USE
cm_status cm_session_with_tokens(const cm_session *session,
                                 cm_tokens_callback callback,
                                 void *context,
                                 cm_error **error);

/**
 * Ends the login at the server, in the store and in this session, and thereby for all who share it. An expired
 * access token is refreshed first: with an expired token, the server would not end the refresh token. Can block
 * until the timeout of the client.
 *
 * @retval CM_STATUS_LOGIN_REQUIRED  the login had already ended; it is now removed here too
 * @retval CM_STATUS_STORE           the store could not be locked or read; or the server ended the login, but the
 *                                   store could not be cleared
 * @return any other status: the server could not be told, and nothing has changed. Call it again, or call
 *         `cm_session_forget`.
 */
CM_MUST_USE
cm_status cm_session_logout(const cm_session *session,
                            cm_error **error);

/**
 * Removes the tokens from this session and from the store. The server is not told. This also clears a store whose
 * content is damaged, or belongs to another API key or server. Can block until the timeout of the client.
 *
 * @retval CM_STATUS_STORE  the store could not be locked or cleared
 */
CM_MUST_USE
cm_status cm_session_forget(const cm_session *session,
                            cm_error **error);

/**
 * Sets the callback that is called after each change of the tokens, for example to reconnect streams with the new
 * tokens. If several changes were not reported yet, it is called once, with the last one.
 *
 * The callback runs on the thread that notices the change. This thread is in a call of the session and holds no
 * lock of the library. After a refresh in the background, the next call of the session calls the callback, or the thread of
 * `cm_session_keep_fresh` does.
 *
 * This function returns at once: a call of the previous callback may still be in progress then. Its `destroy` says when
 * it has ended.
 *
 * @param callback  the function; NULL: none
 * @param context   passed to the callback; may be NULL
 * @param destroy   frees the context, after another callback was set or the session was freed, and the last call has
 *                  ended. If the session is NULL, it is called at once. May be NULL.
 */
void cm_session_on_change(const cm_session *session,
                          cm_change_callback callback,
                          void *context,
                          cm_destroy_callback destroy);

/**
 * How long `cm_session_tokens` has nothing to do but to give the tokens at hand. An event loop can wait for this time, and then
 * call `cm_session_tokens` on another thread. Reads no store and sends nothing.
 *
 * The next action is the refresh, the end of a back-off, or the expiry of tokens that cannot be refreshed. A call of the
 * session, or another process, can change it, so ask again after each call and at least once a day.
 *
 * @return milliseconds, at most 86400000 (a day); 0: now; `CM_NONE`: nothing will be due, because the tokens never expire or nobody
 *         is logged in
 */
CM_MUST_USE
int64_t cm_session_next_action_ms(const cm_session *session);

/**
 * Refreshes the tokens in time without a call of your program, and calls the callback of `cm_session_on_change`. It is off at
 * first. Use it in a program that holds streams open for hours and must have the next tokens before the old ones expire.
 *
 * One thread of the library does this for all sessions of the process. It runs while a session needs it, retries by the
 * back-off of the session, and is not inherited by the child of a fork: turn it on there again. The thread calls your
 * callbacks: that of `cm_session_on_change` and, for a store of your own, those of the store.
 *
 * Turning it off, and freeing the session, return at once: a call of the thread may still be in progress then.
 * `cm_health_kept_fresh` says whether it is on.
 *
 * @param on  1: on; 0: off
 */
void cm_session_keep_fresh(const cm_session *session,
                           int32_t on);

/**
 * Gives the state of the session as this process knows it. It reads no store and sends nothing. It has no `error`
 * parameter.
 *
 * @param health  receives the state
 */
CM_MUST_USE
cm_status cm_session_health(const cm_session *session,
                            cm_health **health);

/**
 * Frees a health.
 */
void cm_health_free(cm_health *health);

/**
 * Whether a user is logged in, as far as this process knows. Another process may have logged out since.
 *
 * @return 1 or 0
 */
CM_MUST_USE int32_t cm_health_logged_in(const cm_health *health);

/**
 * A number that identifies the current tokens. It is a different number after each change.
 *
 * @return the generation, less than 2^53; `CM_NONE`: this process has seen no login
 */
CM_MUST_USE int64_t cm_health_generation(const cm_health *health);

/**
 * When the access token expires.
 *
 * @return Unix seconds; `CM_NONE`: never, or nobody is logged in
 */
CM_MUST_USE int64_t cm_health_expires_at(const cm_health *health);

/**
 * When the session will try to refresh the tokens.
 *
 * @return Unix seconds; `CM_NONE`: never, or nobody is logged in
 */
CM_MUST_USE int64_t cm_health_next_refresh(const cm_health *health);

/**
 * Until when early refreshes are held off: see `cm_session_hold`.
 *
 * @return Unix seconds; `CM_NONE`: they are not
 */
CM_MUST_USE int64_t cm_health_held_until(const cm_health *health);

/**
 * How many failures there were since the last success.
 */
CM_MUST_USE int32_t cm_health_failures(const cm_health *health);

/**
 * The last failure since the last success. After `cm_session_open`: what is wrong with the content of the store.
 *
 * @return the error, which belongs to the health: do not free it; NULL if there is none
 */
CM_MUST_USE
const cm_error *cm_health_last_error(const cm_health *health);

/**
 * Whether the current tokens are in the store. If the store did not accept them, the session tries again later. A
 * crash before that loses the result of the last refresh.
 *
 * @return 1 or 0
 */
CM_MUST_USE
int32_t cm_health_saved(const cm_health *health);

/**
 * Whether a thread of this process keeps the tokens fresh: see `cm_session_keep_fresh`. It stays off if the system cannot create
 * a thread, and goes off when the client is cancelled.
 *
 * @return 1 or 0
 */
CM_MUST_USE
int32_t cm_health_kept_fresh(const cm_health *health);

/*
 * Signed URL. You need one for a download by a program that cannot send a header, such as a media player: the API
 * takes the access token in the query of the URL there. `cm_session_sign_url` makes it.
 */

/**
 * Frees a signed URL, and wipes it.
 */
void cm_signed_url_free(cm_signed_url *signed_url);

/**
 * The URL. Do not log it.
 */
CM_MUST_USE const char *cm_signed_url_url(const cm_signed_url *signed_url);

/**
 * When the token in the URL expires. A refresh ends it earlier: `cm_session_hold` keeps refreshes away.
 *
 * @return Unix seconds; `CM_NONE`: never
 */
CM_MUST_USE int64_t cm_signed_url_expires_at(const cm_signed_url *signed_url);

/*
 * Store. You need one to open a session: it keeps the tokens when your program ends.
 * Use `cm_store_file`. If several machines share a user, or you need a keyring or database, use `cm_store_custom`.
 */

/**
 * Makes a store in memory. The tokens are lost when the process ends.
 *
 * @return the store
 */
CM_MUST_USE cm_store *cm_store_memory(void);

/**
 * Makes a store in one file, for any number of processes on one machine.
 *
 * Only the owner of the file may be able to read it; otherwise the store refuses the file. There is also a lock
 * file, `path.lock`, which is never removed, and for short times `path.tmp`. If the process is killed or the
 * machine loses power, the file contains either the old or the new record.
 *
 * The lock belongs to the process. It ends with the process, and a child of `fork` does not inherit it. No other
 * code of the process may open and close `path.lock`, because that would release the lock.
 *
 * @param path  the file, which need not exist, in a folder that exists. A relative path counts from the working
 *              directory at the time of this call. If the path is a symbolic link, its target is written and
 *              locked. `cm_session_open` reports a bad path.
 * @return the store
 */
CM_MUST_USE
cm_store *cm_store_file(const char *path);

/**
 * Makes a store from functions of your own, for example for Redis, a keyring or a database.
 *
 * @param callbacks  the functions. `cm_session_open` reports a bad table.
 * @param context    passed to each function; may be NULL
 * @return the store. If it is NULL, `destroy` is not called: free the context yourself.
 */
CM_MUST_USE cm_store *cm_store_custom(const cm_store_callbacks *callbacks, void *context);

/**
 * Frees a store. Sessions that use it can still do so.
 */
void cm_store_free(cm_store *store);

/**
 * How long the callback that runs on this thread may still take, until the call of the session reaches its timeout. Neither the
 * timeout nor a cancel ends a callback, so use this time as the limit of your own requests.
 *
 * @return milliseconds, at least 1000, because new tokens are saved even after the timeout; `CM_NONE`: no callback of a store runs on
 *         this thread
 */
CM_MUST_USE
int64_t cm_store_time_left_ms(void);

/**
 * Passes the record to the session. Call it in `load`.
 *
 * @param reply   the parameter of the callback
 * @param record  the record, which is copied; NULL: there is none
 */
void cm_store_reply_set_record(cm_store_reply *reply, const char *record);

/**
 * Passes the generation of the last `save` or `clear` to the session. Call it in `load` if the store tracks
 * generations. A new login then gets a larger generation, which the store accepts even if the clocks of the
 * machines differ.
 *
 * @param reply       the parameter of the callback
 * @param generation  the generation, from 1 to 2^53 - 1; 0 or `CM_NONE`: unknown, as without this call. Another number makes
 *                    the call of the session fail with `CM_STATUS_STORE`.
 */
void cm_store_reply_set_generation(cm_store_reply *reply,
                                   int64_t generation);

/**
 * Passes the reason of a failure to the session. Call it in any callback that fails. The reason becomes part of
 * the error's message; tokens in it are hidden.
 *
 * @param reply    the parameter of the callback
 * @param message  one line that names the place, such as "Redis at 10.1.2.3:6379: no connection"; NULL: none
 */
void cm_store_reply_set_message(cm_store_reply *reply,
                                const char *message);

/*
 * Error. You need these functions when a call fails: they give its status, advice on what to do, and a log line.
 * Branch on the status or the advice, never on a text. No text contains a secret.
 */

/**
 * Frees an error.
 */
void cm_error_free(cm_error *error);

/**
 * The status that the call returned.
 */
CM_MUST_USE cm_status cm_error_status(const cm_error *error);

/**
 * What to do about the failure. Errors with the same status can have different advice: if an exchange may have
 * reached the server, the advice is `CM_ADVICE_LOG_IN`, because the code is then used up.
 */
CM_MUST_USE
cm_advice cm_error_advice(const cm_error *error);

/**
 * One line for the log: what happened, what the server said, and what to do.
 *
 * @return the message, never NULL; "no error" if the error is NULL
 */
CM_MUST_USE const char *cm_error_message(const cm_error *error);

/**
 * The HTTP status of the response.
 *
 * @return the HTTP status; `CM_NONE`: there was no response
 */
CM_MUST_USE int32_t cm_error_http_status(const cm_error *error);

/**
 * The OAuth error code in the response or the redirect, such as "invalid_grant" (RFC 6749, sections 4.1.2.1 and
 * 5.2).
 *
 * @return the code; NULL if there is none
 */
CM_MUST_USE
const char *cm_error_oauth_error(const cm_error *error);

/**
 * What the server said about the error, at most 512 bytes. Secrets are replaced by "[redacted]". It is for people.
 *
 * @return the description; NULL if there is none
 */
CM_MUST_USE
const char *cm_error_oauth_description(const cm_error *error);

/**
 * How long to wait before the next try: the server's Retry-After, or the rest of a session's back-off.
 *
 * @return seconds, rounded up, at most 86400 (a day); `CM_NONE`: no time is known
 */
CM_MUST_USE int64_t cm_error_retry_after(const cm_error *error);

/*
 * Log. You need it to see what the library does: your callback receives one line for each event.
 * The log is off until you call `cm_config_set_log` for a client, or `cm_set_log` for all. No line contains a secret.
 */

/**
 * Sets the log of a client: the lines of its calls, and of the calls of its logins and sessions, go to this callback and not
 * to that of `cm_set_log`. So two plugins in one process do not take the log from each other.
 *
 * A plugin that will be unloaded frees its handles, waits until `destroy` was called, and only then lets itself be unloaded: a
 * thread of the library may be in the callback until then.
 *
 * @param level     a `cm_log_level`; for another number the nearest level counts
 * @param callback  receives the lines; NULL: the client logs nothing
 * @param context   passed to the callback; may be NULL
 * @param destroy   frees the context, when the config and the clients that were made from it, with their logins and sessions,
 *                  are freed and the last call has ended. If the config is NULL, it is called at once. May be NULL.
 */
void cm_config_set_log(cm_config *config,
                       int32_t level,
                       cm_log_callback callback,
                       void *context,
                       cm_destroy_callback destroy);

/**
 * Sets the log of the process: the default for all clients that have none of their own.
 *
 * This function returns at once, and you may call it inside a log callback. A call of the previous callback may still be in
 * progress then. Its `destroy` says when it has ended.
 *
 * @param level     a `cm_log_level`; for another number the nearest level counts
 * @param callback  receives the lines; NULL turns the log off
 * @param context   passed to the callback; may be NULL
 * @param destroy   frees the context, after the next call of this function, when the last call of the callback has ended. May be
 *                  NULL.
 */
void cm_set_log(int32_t level,
                cm_log_callback callback,
                void *context,
                cm_destroy_callback destroy);

/*
 * Version. You need it for bug reports and for your own log.
 * It gives the version of the loaded library, and the names of statuses.
 */

/**
 * The version of the loaded library.
 *
 * @return for example "0.1.0"; a constant string
 */
CM_MUST_USE const char *cm_version(void);

/**
 * The name of a status, for logs.
 *
 * @param status  a `cm_status`, or any other number
 * @return "OK", "LOGIN_REQUIRED", ...; "UNKNOWN" for a number that is not a status; a constant string
 */
CM_MUST_USE const char *cm_status_name(int32_t status);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CMAUTH_H */

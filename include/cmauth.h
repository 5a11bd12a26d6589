/*
 * libcmauth: the CameraManager login for C and C++.
 *
 * Sends a user to the login page, turns the code that comes back into tokens, refreshes them, logs out:
 *
 *     #include <cmauth.h>
 *     #include <stdio.h>
 *
 *     int main(void) {
 *         cm_config *config = cm_config_new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
 *         cm_client *client = NULL; cm_login *login = NULL; cm_tokens *tokens = NULL; cm_error *error = NULL;
 *         char redirected[2048];
 *         if (cm_client_new(config, &client, &error)) goto cleanup;
 *         if (cm_login_new(client, "https://example.com", &login, &error)) goto cleanup;
 *         printf("Open %s\nand paste the address you land on: ", cm_login_url(login));
 *         if (!fgets(redirected, sizeof redirected, stdin)) goto cleanup;
 *         if (cm_login_finish(login, redirected, &tokens, &error)) goto cleanup;
 *         printf("logged in, %lld s left\n", (long long)cm_tokens_expires_in(tokens));
 *         if (cm_logout(client, cm_tokens_access_token(tokens), &error)) goto cleanup;
 *     cleanup:
 *         if (error) fprintf(stderr, "%s\n", cm_error_message(error));
 *         int failed = error != NULL;
 *         cm_error_free(error); cm_tokens_free(tokens); cm_login_free(login); cm_client_free(client);
 *         cm_config_free(config); return failed;
 *     }
 *
 * Build it with `cc program.c -lcmauth`. A program that runs for long keeps its user in a session (`cm_session_open`),
 * which refreshes the tokens for all threads and processes and keeps them in a file.
 *
 * The conventions, which hold for every function:
 *
 * - Handles are opaque. Each has one `_new` (or the call that made it) and one `_free`; `_free(NULL)` does nothing. No
 *   call takes a handle over: what you made, you free, in any order, but not while a call on it runs.
 * - A call that can fail returns a `cm_status`, which is 0 (`CM_STATUS_OK`) or says what kind of failure it was. Its
 *   last parameter, `error`, receives an object with the details, or may be NULL. Results and `*error` are set to NULL
 *   on entry, so one `goto cleanup` serves. What they pointed at is not freed: refresh into a second variable.
 * - Setting up takes no error handling: `cm_config_new` and its setters never fail; `cm_client_new` reports the first
 *   bad value that one of them was given.
 * - Strings in are UTF-8, end with NUL, and are copied. Strings out belong to the handle they came from, until its
 *   `_free`, which wipes them from memory; never free or change one.
 * - A handle passed as `const` may be used by many threads at once; one that is not, by one thread at a time.
 * - Pass only NULL or what this library gave you and you have not freed. NULL is then never a crash: where it is not
 *   allowed, it is `CM_STATUS_INVALID_ARGUMENT`.
 * - Nothing is printed, no signal handler is installed, no bug in here unwinds into your code: it becomes
 *   `CM_STATUS_INTERNAL`. No message, description or name holds a client secret, code or token.
 * - The library starts threads of its own: to look up names and make connections; to refresh the tokens of a session with a
 *   memory or file store; and one that closes connections which were not used for 15 s and ends with the last of them. A
 *   process has at most 64. They call none of your functions but the log's (`cm_set_log`). A call that needs one more waits
 *   for a free one within its timeout.
 * - The library grows by new functions, statuses and setters: treat a status that you do not know as a failure.
 */
/* Generated from bindings/c/src by `make header`; never edited. */

#ifndef CMAUTH_H
#define CMAUTH_H

#include <stddef.h>
#include <stdint.h>

/* Compilers that can warn when a status or a result is not looked at. */
#if defined(__GNUC__) || defined(__clang__)
#define CM_MUST_USE __attribute__((warn_unused_result))
#else
#define CM_MUST_USE
#endif

/**
 * The version of this header; `cm_version` gives the library's.
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
 * What became of a call. 0 is success; numbers are fixed, and never used again for something else.
 */
typedef enum {
    /**
     * It worked.
     */
    CM_STATUS_OK = 0,
    /**
     * A parameter is NULL, not UTF-8, empty or impossible, or the login is already finished. Nothing was sent.
     */
    CM_STATUS_INVALID_ARGUMENT = 1,
    /**
     * The code or the refresh token is no longer good: send the user to the login page.
     */
    CM_STATUS_LOGIN_REQUIRED = 2,
    /**
     * The access token is unknown or expired (401 at logout): refresh.
     */
    CM_STATUS_TOKEN_REJECTED = 3,
    /**
     * The user said no, or the server answered 403.
     */
    CM_STATUS_ACCESS_DENIED = 4,
    /**
     * The API key is wrong or may not do this (any other 401 at the token endpoint).
     */
    CM_STATUS_CLIENT_REJECTED = 5,
    /**
     * Any other 4xx, or such an error on the redirect.
     */
    CM_STATUS_REQUEST_REJECTED = 6,
    /**
     * The redirect does not belong to this login, which stays open.
     */
    CM_STATUS_STATE_MISMATCH = 7,
    /**
     * No name, no route, refused, reset, cut off, or the proxy failed.
     */
    CM_STATUS_NETWORK = 8,
    /**
     * The certificate or the handshake failed.
     */
    CM_STATUS_TLS = 9,
    /**
     * A deadline passed.
     */
    CM_STATUS_TIMEOUT = 10,
    /**
     * The server answered 5xx or 429.
     */
    CM_STATUS_SERVER = 11,
    /**
     * The answer is not what the API promises: a redirect, HTML, no usable token, more than 64 KiB.
     */
    CM_STATUS_PROTOCOL = 12,
    /**
     * The store of a session could not be read, locked or written.
     */
    CM_STATUS_STORE = 13,
    /**
     * A bug in this library, caught.
     */
    CM_STATUS_INTERNAL = 14,
    /**
     * `cm_client_cancel` was called.
     */
    CM_STATUS_CANCELLED = 15,
} cm_status;

/**
 * What to do about a failure.
 */
typedef enum {
    /**
     * Nothing: there is no error, or you asked for it (`CM_STATUS_CANCELLED`).
     */
    CM_ADVICE_NONE = 0,
    /**
     * Somebody must change something: the program, its settings, the site's network or the API key.
     */
    CM_ADVICE_FIX = 1,
    /**
     * Send the user to the login page again.
     */
    CM_ADVICE_LOG_IN = 2,
    /**
     * Get a new access token with the refresh token, then do it again.
     */
    CM_ADVICE_REFRESH = 3,
    /**
     * Try again later, after `cm_error_retry_after` where it has a time.
     */
    CM_ADVICE_RETRY = 4,
    /**
     * It is a bug in this library: report it with the message.
     */
    CM_ADVICE_REPORT = 5,
} cm_advice;

/**
 * How much is logged. Each level has those before it.
 */
typedef enum {
    /**
     * Nothing.
     */
    CM_LOG_LEVEL_OFF = 0,
    /**
     * Calls that were sent and failed, or were cancelled.
     */
    CM_LOG_LEVEL_ERROR = 1,
    /**
     * Requests that are sent again, and why; redirects that do not belong to their login.
     */
    CM_LOG_LEVEL_WARN = 2,
    /**
     * Calls that succeeded.
     */
    CM_LOG_LEVEL_INFO = 3,
    /**
     * Every request and answer.
     */
    CM_LOG_LEVEL_DEBUG = 4,
} cm_log_level;

/**
 * What a callback of a store returns. A number that is none of these counts as `CM_STORE_RESULT_FAILED`.
 */
typedef enum {
    /**
     * It worked.
     */
    CM_STORE_RESULT_OK = 0,
    /**
     * It did not; `cm_store_reply_set_message` can say why.
     */
    CM_STORE_RESULT_FAILED = 1,
    /**
     * From `try_lock`: somebody else has the lock.
     */
    CM_STORE_RESULT_BUSY = 2,
    /**
     * From `save` and `clear`: what is kept has this generation or a larger one.
     */
    CM_STORE_RESULT_NEWER = 3,
} cm_store_result;

/**
 * Talks to the server for one API key. Immutable: any number of threads may use it at once.
 */
typedef struct cm_client cm_client;

/**
 * The settings of a client. One thread sets it up; `cm_client_new` copies it.
 */
typedef struct cm_config cm_config;

/**
 * Why a call failed. Immutable: any number of threads may read it at once.
 */
typedef struct cm_error cm_error;

/**
 * How a session is. Immutable: any number of threads may read it at once. Holds no secret.
 */
typedef struct cm_health cm_health;

/**
 * A login under way. Used up by the first exchange of which a byte was sent; after a mismatch or an earlier failure it
 * stays open. Any number of threads may use it at once; one of them finishes it.
 */
typedef struct cm_login cm_login;

/**
 * One logged-in user. Any number of threads may use it at once.
 *
 * Sessions in several processes, or on several machines, that share a store share the user.
 */
typedef struct cm_session cm_session;

/**
 * Keeps the session of one user. Immutable: sessions in any number of threads may use it at once.
 */
typedef struct cm_store cm_store;

/**
 * What a callback hands back. Valid until the callback returns.
 */
typedef struct cm_store_reply cm_store_reply;

/**
 * The tokens of one logged-in user. Immutable: any number of threads may use them at once.
 */
typedef struct cm_tokens cm_tokens;

/**
 * Told of a change of the session: other tokens, or none any more. `generation` is another number after each change,
 * mostly but not always a larger one; of two calls at once either may come first, and `cm_session_tokens` gives what
 * counts now. It may call the session, but must not throw.
 */
typedef void (*cm_session_callback)(void *context, uint64_t generation);

/**
 * A store of your own: a table of functions, copied by `cm_store_custom`.
 *
 * A record is a text of a few hundred bytes, secret, for the tokens are in it; do not look into it. A session calls
 * `load` at any time, `save` and `clear` only while it has the lock. Sessions on other machines are kept away by the lock
 * alone: one that can expire (a lease in Redis) needs the generation, by which a `save` of a holder that slept through its
 * end is refused.
 *
 * All but `destroy` are called from the threads that call the session, never from a thread of the library: one at a time for
 * each session, from several threads at once where sessions share a store. A callback takes the time that it takes: the
 * timeout of a call does not end it, so give a store on a network timeouts of its own. A callback must not call the session
 * that uses it, nor throw; `cm_store_reply_...` is all it needs.
 */
typedef struct {
    /**
     * `sizeof(cm_store_callbacks)`: which of them you know. Later versions add to the end.
     */
    size_t size;
    /**
     * Hands over the record that was saved last by `cm_store_reply_set_record`, or nothing where there is none, and
     * returns `CM_STORE_RESULT_OK`. Never half of one. A store that keeps the generation hands that over too, by
     * `cm_store_reply_set_generation`, also where there is no record. Not NULL.
     */
    int (*load)(void *context, cm_store_reply *reply);
    /**
     * Keeps `record` (NUL-terminated; valid until it returns) in place of the one before. Not NULL.
     */
    int (*save)(void *context, const char *record, uint64_t generation, cm_store_reply *reply);
    /**
     * Removes the record. A store that tracks generations keeps this generation. Not NULL.
     */
    int (*clear)(void *context, uint64_t generation, cm_store_reply *reply);
    /**
     * Takes the lock if it is free, at once, for at least `hold_ms` milliseconds or until its holder dies;
     * `CM_STORE_RESULT_BUSY` where somebody else has it. Not NULL.
     */
    int (*try_lock)(void *context, int64_t hold_ms, cm_store_reply *reply);
    /**
     * Gives the lock back, from the thread of the `try_lock` that took it. If the lock can expire, another session that uses
     * this context may hold it by now: release only the lock that this thread took. Not NULL.
     */
    void (*unlock)(void *context);
    /**
     * Called exactly once, from the thread that frees the last of the store and the sessions that use it; may be NULL. Also
     * for a table that was refused, when the store is freed; not if it was refused because `size` does not reach to here,
     * or if `cm_store_custom` returned NULL.
     */
    void (*destroy)(void *context);
} cm_store_callbacks;

/**
 * Receives a line of the log, without an end of line. `line` is valid until the function returns. It is called on
 * whatever thread is in a call, and on those on which the library refreshes the tokens of sessions, several at once; it
 * must not call this library, nor throw.
 */
typedef void (*cm_log_callback)(void *context, cm_log_level level, const char *line);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 * Config: the API key, the server, and the limits.
 */

/**
 * Makes the settings for an API key, everything else as it is by default.
 *
 * An API key is an id and a secret, requested from https://dealer.cameramanager.com (step 1 of the vendor's guide). The
 * secret belongs on your server, never in a browser.
 *
 * @param client_id      the key's id, without ':'; not NULL
 * @param client_secret  the key's secret; not NULL
 * @return the settings; NULL only for a bug in here, which the other functions take too. A bad parameter is reported by
 *         `cm_client_new`. Free with `cm_config_free`.
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE
cm_config *cm_config_new(const char *client_id,
                         const char *client_secret);

/**
 * Makes the settings for a machine that must not hold the key's secret, such as an operator's workstation: a public client
 * (RFC 6749, section 2.1). It can begin logins, for a machine with the secret to finish (`cm_login_to_json`), and log out.
 * Exchanges and refreshes are refused with `CM_STATUS_INVALID_ARGUMENT` before anything is sent.
 *
 * @param client_id  the key's id, without ':'; not NULL
 * @return as `cm_config_new`
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE
cm_config *cm_config_new_public(const char *client_id);

/**
 * Frees settings, and wipes the secret in them.
 *
 * @param config  the settings, or NULL
 *
 * Not while another thread uses them. Since 0.1.
 */
void cm_config_free(cm_config *config);

/**
 * Sets the server. Default "https://rest.cameramanager.com".
 *
 * @param config    the settings; NULL: nothing happens
 * @param base_url  https://..., or http://... to a loopback host, for tests; a bad one is reported by `cm_client_new`
 *
 * One thread at a time. Since 0.1.
 */
void cm_config_set_base_url(cm_config *config,
                            const char *base_url);

/**
 * Sets what to ask for. Default "write", as in the vendor's guide.
 *
 * @param config  the settings; NULL: nothing happens
 * @param scope   "read", "write" or any other, several joined by spaces; a bad one is reported by `cm_client_new`
 *
 * One thread at a time. Since 0.1.
 */
void cm_config_set_scope(cm_config *config,
                         const char *scope);

/**
 * Sets how long a whole call may take, retries included. Default 30000.
 *
 * @param config      the settings; NULL: nothing happens
 * @param timeout_ms  1 to 86400000 (a day), in milliseconds; a bad one is reported by `cm_client_new`
 *
 * One thread at a time. Since 0.1.
 */
void cm_config_set_timeout_ms(cm_config *config, int64_t timeout_ms);

/**
 * Sets how long making one connection may take: look-up, all addresses together, proxy and TLS. Default 10000.
 *
 * @param config      the settings; NULL: nothing happens
 * @param timeout_ms  1 to 86400000 (a day), in milliseconds; a bad one is reported by `cm_client_new`
 *
 * One thread at a time. Since 0.1.
 */
void cm_config_set_connect_timeout_ms(cm_config *config,
                                      int64_t timeout_ms);

/**
 * Sets a file with the certificates to trust in place of the system's.
 *
 * @param config  the settings; NULL: nothing happens
 * @param path    a PEM file, read by `cm_client_new`, which reports one that cannot be used
 *
 * One thread at a time. Since 0.1.
 */
void cm_config_set_ca_file(cm_config *config, const char *path);

/**
 * Adds a file with certificates to trust beside the others. Can be called several times.
 *
 * @param config  the settings; NULL: nothing happens
 * @param path    a PEM file, read by `cm_client_new`, which reports one that cannot be used
 *
 * One thread at a time. Since 0.1.
 */
void cm_config_add_ca_file(cm_config *config, const char *path);

/**
 * Sets the proxy.
 *
 * "socks5://" and "socks4://" look the server's name up here, "socks5h://" and "socks4a://" leave that to the proxy.
 *
 * The environment is read by `cm_client_new`, as curl reads it. The first of https_proxy, HTTPS_PROXY, all_proxy and
 * ALL_PROXY that is not empty is the proxy; `cm_client_new` reports one that is not a proxy URL. HTTP_PROXY does not count,
 * and no proxy is used for an http:// base URL, which is on this machine.
 *
 * Servers in no_proxy, else NO_PROXY, need no proxy. It is "*" alone, for all servers, or a list with commas of
 * "example.com" (this host and its subdomains; a dot before or after it changes nothing), addresses and networks
 * ("10.1.2.3", "10.0.0.0/8", "::1", "2001:db8::/32"), each with ":8443" after it if it is for that port alone. curl does not
 * read ports there, Python's urllib no networks: a server that one of the two reaches directly is reached directly. Other
 * wildcards mean nothing in any of the three.
 *
 * @param config  the settings; NULL: nothing happens
 * @param proxy   NULL (default): taken from the environment; "": none; else a URL, "http://[user:password@]host:port",
 *                "https://...", "socks5://...", "socks5h://...", "socks4://..." or "socks4a://..."; a bad one is reported by
 *                `cm_client_new`
 *
 * One thread at a time. Since 0.1.
 */
void cm_config_set_proxy(cm_config *config,
                         const char *proxy);

/**
 * Sets your product's name and version, added after "libcmauth/x.y.z" in the User-Agent header.
 *
 * @param config   the settings; NULL: nothing happens
 * @param product  "Recorder/1.0", in ASCII; a bad one is reported by `cm_client_new`
 *
 * One thread at a time. Since 0.1.
 */
void cm_config_set_user_agent(cm_config *config, const char *product);

/**
 * Sets how often a refresh or logout is sent again after a network failure, 5xx or 429. Default 2.
 *
 * A code is never sent again once a byte of it went out.
 *
 * @param config       the settings; NULL: nothing happens
 * @param max_retries  0 (never) to 10; a bad one is reported by `cm_client_new`
 *
 * One thread at a time. Since 0.1.
 */
void cm_config_set_max_retries(cm_config *config, int max_retries);

/**
 * Sets where the parameters of a token request go.
 *
 * @param config   the settings; NULL: nothing happens
 * @param in_body  0 (default): into the query, as the vendor's guide documents; 1: into a form body, as RFC 6749 has
 *                 it and where fewer logs see them; any other value is reported by `cm_client_new`
 *
 * One thread at a time. Since 0.1.
 */
void cm_config_set_params_in_body(cm_config *config,
                                  int in_body);

/*
 * Client: a config made usable, and the three calls. It remembers no user and no token.
 */

/**
 * Makes a client from a copy of the settings. Reads CA files and the system's trust; sends nothing.
 *
 * @param config  the settings; not NULL. They can be freed at once.
 * @param client  receives the client; not NULL
 * @param error   receives the details of a failure; may be NULL
 * @return `CM_STATUS_OK`; `CM_STATUS_INVALID_ARGUMENT` for the first bad value in the settings, with its name;
 *         `CM_STATUS_TLS` where this machine trusts nobody
 *
 * Free the client with `cm_client_free`, an error with `cm_error_free`. Any thread. Since 0.1.
 */
CM_MUST_USE
cm_status cm_client_new(const cm_config *config,
                        cm_client **client,
                        cm_error **error);

/**
 * Frees a client, and wipes the secret in it. Logins keep what they need of it.
 *
 * @param client  the client, or NULL
 *
 * Not while a call on it runs. Since 0.1.
 */
void cm_client_free(cm_client *client);

/**
 * Ends the calls under way on this client, and every later one, with `CM_STATUS_CANCELLED`: for a program that must
 * stop. Calls under way end within 100 ms, wherever they hang; only one that waits for a SOCKS proxy to accept its
 * connection ends with the connect timeout. There is no way back but a new client.
 *
 * Logins made with the client are ended with it. The client is still to be freed, once its calls have returned.
 *
 * @param client  the client; NULL: nothing happens
 *
 * Any thread, also while others are in calls on it; not from a signal handler. Since 0.1.
 */
void cm_client_cancel(const cm_client *client);

/**
 * Turns the code of a redirect into tokens (step 4 of the vendor's guide, RFC 6749 section 4.1.3).
 *
 * `cm_login_finish` does this too, and checks the redirect's state before; use this where you check for yourself. A
 * code is used up by the first request that reaches the server, so it is sent again only if not a byte of it went out.
 *
 * @param client        the client; not NULL
 * @param code          the code; not NULL
 * @param redirect_uri  the one the login page was opened with, to the byte; not NULL
 * @param tokens        receives the tokens; not NULL
 * @param error         receives the details of a failure; may be NULL
 * @return `CM_STATUS_OK`; `CM_STATUS_LOGIN_REQUIRED`: the code is not good, or was used, or the redirect URI differs;
 *         `CM_STATUS_CLIENT_REJECTED`: the API key; `CM_STATUS_INVALID_ARGUMENT`: nothing was sent; else
 *         `CM_STATUS_REQUEST_REJECTED`, `_ACCESS_DENIED`, `_NETWORK`, `_TLS`, `_TIMEOUT`, `_SERVER`, `_PROTOCOL`,
 *         `_CANCELLED`
 *
 * Free the tokens with `cm_tokens_free`, an error with `cm_error_free`. Any thread, many at once. Since 0.1.
 */
CM_MUST_USE
cm_status cm_exchange_code(const cm_client *client,
                           const char *code,
                           const char *redirect_uri,
                           cm_tokens **tokens,
                           cm_error **error);

/**
 * Gets a new access token (step 5 of the vendor's guide, RFC 6749 section 6). The old one ends at once.
 *
 * Where the server sends no new refresh token, the tokens keep the old one.
 *
 * @param client         the client; not NULL
 * @param refresh_token  the refresh token; not NULL
 * @param tokens         receives the tokens; not NULL
 * @param error          receives the details of a failure; may be NULL
 * @return `CM_STATUS_OK`; `CM_STATUS_LOGIN_REQUIRED`: the refresh token is no longer good; else as `cm_exchange_code`
 *
 * Free the tokens with `cm_tokens_free`, an error with `cm_error_free`. Any thread, many at once. Since 0.1.
 */
CM_MUST_USE
cm_status cm_refresh(const cm_client *client,
                     const char *refresh_token,
                     cm_tokens **tokens,
                     cm_error **error);

/**
 * Ends the access token and its refresh token (step 6 of the vendor's guide).
 *
 * @param client        the client; not NULL
 * @param access_token  the access token; not NULL
 * @param error         receives the details of a failure; may be NULL
 * @return `CM_STATUS_OK`; `CM_STATUS_TOKEN_REJECTED`: the access token is unknown or expired; an expired one leaves the
 *         refresh token alive: refresh, then log out; else as `cm_exchange_code`, without `CM_STATUS_LOGIN_REQUIRED`
 *         and `_CLIENT_REJECTED`
 *
 * Free an error with `cm_error_free`. Any thread, many at once. Since 0.1.
 */
CM_MUST_USE
cm_status cm_logout(const cm_client *client,
                    const char *access_token,
                    cm_error **error);

/*
 * Login: one login under way. Open its URL in the user's browser; then give the URL that it comes back to to
 * `cm_login_finish`, or, for a login that listens on this machine, call `cm_login_wait`.
 */

/**
 * Begins a login (step 2 of the vendor's guide), with a state of 256 random bits by which `cm_login_finish` knows the
 * redirect. Sends nothing.
 *
 * @param client        the client; not NULL. It can be freed before the login.
 * @param redirect_uri  where the browser comes back to, http://... or https://..., without a fragment; not NULL
 * @param login         receives the login; not NULL
 * @param error         receives the details of a failure; may be NULL
 * @return `CM_STATUS_OK`; `CM_STATUS_INVALID_ARGUMENT`: the redirect URI cannot be used
 *
 * Free the login with `cm_login_free`, an error with `cm_error_free`. Any thread. Since 0.1.
 */
CM_MUST_USE
cm_status cm_login_new(const cm_client *client,
                       const char *redirect_uri,
                       cm_login **login,
                       cm_error **error);

/**
 * Begins a login that comes back to this machine (RFC 8252): listens on 127.0.0.1, which no other machine reaches, with
 * `http://127.0.0.1:PORT/` as its redirect URI. Open `cm_login_url` in the browser, then call `cm_login_wait`. Any number
 * of them can run side by side. Sends nothing.
 *
 * @param client  the client; not NULL. It can be freed before the login.
 * @param port    from 1 to 65535, or 0 for a free one; a key with a registered redirect URI may need that one's
 * @param login   receives the login; not NULL
 * @param error   receives the details of a failure; may be NULL
 * @return `CM_STATUS_OK`; `CM_STATUS_INVALID_ARGUMENT`: the port cannot be had
 *
 * Free the login with `cm_login_free`, which closes the port; an error with `cm_error_free`. Any thread. Since 0.1.
 */
CM_MUST_USE
cm_status cm_login_listen(const cm_client *client,
                          int port,
                          cm_login **login,
                          cm_error **error);

/**
 * Takes over a login that another process or machine began, to finish it here: one shows the page, the other has the
 * secret. Both clients must have the same id and server.
 *
 * @param client  the client; not NULL. It can be freed before the login.
 * @param json    what `cm_login_to_json` gave there; not NULL
 * @param login   receives the login, which does not listen; not NULL
 * @param error   receives the details of a failure; may be NULL
 * @return `CM_STATUS_OK`; `CM_STATUS_INVALID_ARGUMENT`, naming the key, where it holds no login of this client;
 *         `CM_STATUS_LOGIN_REQUIRED`: it began more than an hour ago
 *
 * Free the login with `cm_login_free`, an error with `cm_error_free`. Any thread. Since 0.1.
 */
CM_MUST_USE
cm_status cm_login_from_json(const cm_client *client,
                             const char *json,
                             cm_login **login,
                             cm_error **error);

/**
 * Frees a login, and wipes the state in it.
 *
 * @param login  the login, or NULL
 *
 * Not while a call on it runs. Since 0.1.
 */
void cm_login_free(cm_login *login);

/**
 * The page to open in the user's browser, which must follow redirects. It holds the login's state: not for a log.
 *
 * @param login  the login; NULL gives NULL
 * @return the URL, borrowed from the login
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE
const char *cm_login_url(const cm_login *login);

/**
 * Whether a URL is the redirect of this login, for a browser inside your product: it tells when to stop showing pages
 * and call `cm_login_finish`, which checks the rest.
 *
 * @param login  the login; NULL gives 0
 * @param url    where the browser is about to go; NULL gives 0
 * @return 1 if it is at the place of the redirect URI and has a code or an error, else 0
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE
int cm_login_is_redirect(const cm_login *login,
                         const char *url);

/**
 * Checks the redirect and exchanges its code for tokens (steps 3 and 4 of the vendor's guide).
 *
 * @param login           the login; not NULL
 * @param redirected_url  the URL that the browser came back to, or what follows its host; not NULL
 * @param tokens          receives the tokens; not NULL
 * @param error           receives the details of a failure; may be NULL
 * @return `CM_STATUS_OK`; `CM_STATUS_STATE_MISMATCH`: the redirect belongs to another login, or somebody forged it;
 *         `CM_STATUS_ACCESS_DENIED`: the user said no; `CM_STATUS_REQUEST_REJECTED`: the server sent another error;
 *         `CM_STATUS_INVALID_ARGUMENT`: there is no code in it, a parameter twice, or the login is finished already;
 *         else as `cm_exchange_code`
 *
 * Free the tokens with `cm_tokens_free`, an error with `cm_error_free`. Any thread. Since 0.1.
 */
CM_MUST_USE
cm_status cm_login_finish(const cm_login *login,
                          const char *redirected_url,
                          cm_tokens **tokens,
                          cm_error **error);

/**
 * Waits until the browser comes back to a login that listens, shows it a page that says how it went, and finishes the
 * login. Whatever else comes to the port is answered with 400, and the wait goes on.
 *
 * @param login       a login from `cm_login_listen`; not NULL
 * @param timeout_ms  how long the browser is waited for, more than 0; the exchange of the code has the client's time after
 *                    it
 * @param tokens      receives the tokens; not NULL
 * @param error       receives the details of a failure; may be NULL
 * @return `CM_STATUS_OK`, and the port is closed; `CM_STATUS_TIMEOUT`: nobody came; wait again, or give up;
 *         `CM_STATUS_CANCELLED`: by `cm_login_cancel` or `cm_client_cancel`; `CM_STATUS_INVALID_ARGUMENT`: it does not listen,
 *         is finished, or another thread waits for it; else as `cm_login_finish`
 *
 * Free the tokens with `cm_tokens_free`, an error with `cm_error_free`. Any thread; one waits. Since 0.1.
 */
CM_MUST_USE
cm_status cm_login_wait(const cm_login *login,
                        int64_t timeout_ms,
                        cm_tokens **tokens,
                        cm_error **error);

/**
 * Ends the wait for a login that listens, within 100 ms, and every later one; the exchange that may have begun with it.
 * Other calls of the client go on.
 *
 * @param login  a login from `cm_login_listen`; any other, and NULL: nothing happens
 *
 * Any thread, also while another waits. Since 0.1.
 */
void cm_login_cancel(const cm_login *login);

/**
 * Sets the words on the page that the browser shows after a login that listens. Default: "You are logged in." and
 * "You can close this page."
 *
 * @param login  a login from `cm_login_listen`; any other, and NULL: nothing happens
 * @param text   plain text, in which lines stay lines; NULL or no UTF-8: nothing happens
 *
 * Any thread. Since 0.1.
 */
void cm_login_set_message(const cm_login *login,
                          const char *text);

/**
 * The login as JSON, for `cm_login_from_json` in another process or on another machine, within an hour. The API key's
 * secret is not in it, but the state is: as secret as a password.
 *
 * @param login  the login; NULL gives NULL
 * @return the JSON, borrowed from the login
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE
const char *cm_login_to_json(const cm_login *login);

/*
 * Tokens: what the server gave, and until when. A refresh gives new ones.
 */

/**
 * Frees tokens, and wipes them. The server is not told: that is `cm_logout`.
 *
 * @param tokens  the tokens, or NULL
 *
 * Not while another thread uses them. Since 0.1.
 */
void cm_tokens_free(cm_tokens *tokens);

/**
 * The access token, for "Authorization: Bearer ...". Opaque: CameraManager's look like "<UUID>:<zone>".
 *
 * @param tokens  the tokens; NULL gives NULL
 * @return the access token, borrowed from the tokens
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE const char *cm_tokens_access_token(const cm_tokens *tokens);

/**
 * The refresh token, for `cm_refresh`. It works until the user logs out.
 *
 * @param tokens  the tokens; NULL gives NULL
 * @return the refresh token, borrowed from the tokens; NULL where the server gave none
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE const char *cm_tokens_refresh_token(const cm_tokens *tokens);

/**
 * The token type, "bearer" in the server's spelling.
 *
 * @param tokens  the tokens; NULL gives NULL
 * @return the type, borrowed from the tokens
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE const char *cm_tokens_token_type(const cm_tokens *tokens);

/**
 * What the tokens allow, as the server said it: "write", "read write".
 *
 * @param tokens  the tokens; NULL gives NULL
 * @return the scope, borrowed from the tokens; NULL where the server did not say
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE const char *cm_tokens_scope(const cm_tokens *tokens);

/**
 * When the access token ends, counted from before the request was sent.
 *
 * @param tokens  the tokens; NULL gives 0
 * @return Unix seconds; INT64_MAX: never
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE int64_t cm_tokens_expires_at(const cm_tokens *tokens);

/**
 * How long the access token still lives, by this machine's clock.
 *
 * @param tokens  the tokens; NULL gives 0
 * @return seconds left now, at least 0; INT64_MAX: it never expires
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE int64_t cm_tokens_expires_in(const cm_tokens *tokens);

/**
 * The tokens as JSON, for you to keep: as secret as the tokens in it.
 *
 * An object with "access_token", "token_type", and where there are any "refresh_token", "scope" and "expires_at" (Unix
 * seconds). Later versions may add keys.
 *
 * @param tokens  the tokens; NULL gives NULL
 * @return the JSON, borrowed from the tokens
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE
const char *cm_tokens_to_json(const cm_tokens *tokens);

/**
 * Makes tokens from the JSON of `cm_tokens_to_json`. Keys it does not know are passed over.
 *
 * @param json    the JSON; not NULL
 * @param tokens  receives the tokens; not NULL
 * @param error   receives the details of a failure; may be NULL
 * @return `CM_STATUS_OK`; `CM_STATUS_INVALID_ARGUMENT`, naming the key, where it holds no tokens
 *
 * Free the tokens with `cm_tokens_free`, an error with `cm_error_free`. Any thread. Since 0.1.
 */
CM_MUST_USE cm_status cm_tokens_from_json(const char *json, cm_tokens **tokens, cm_error **error);

/*
 * Session: one logged-in user, asked by any thread of any process for a token that is valid now.
 */

/**
 * Opens a session that keeps its tokens in `store`: with the ones that are there, or nobody logged in until
 * `cm_session_start`. Nothing is sent.
 *
 * If what the store has is damaged, or belongs to another API key or another server, the session opens, too, so that
 * `cm_session_forget` can give it up. Until then nobody is logged in, `cm_health_last_error` says what is wrong
 * (`CM_STATUS_STORE`, advice fix), every other call fails with that error, and nothing is sent or changed.
 *
 * @param client   the client; not NULL. The session keeps what it needs of it.
 * @param store    the store; not NULL. The session keeps it alive.
 * @param session  receives the session; not NULL
 * @param error    receives the details of a failure; may be NULL
 * @return `CM_STATUS_OK`; `CM_STATUS_INVALID_ARGUMENT`: a bad path or table of the store; `CM_STATUS_STORE`: it
 *         cannot be read
 *
 * Free the session with `cm_session_free`, an error with `cm_error_free`. Any thread. Since 0.1.
 */
CM_MUST_USE
cm_status cm_session_open(const cm_client *client,
                          const cm_store *store,
                          cm_session **session,
                          cm_error **error);

/**
 * Frees a session. The login lives on in the store.
 *
 * @param session  the session, or NULL
 *
 * Not while a call on it runs. Since 0.1.
 */
void cm_session_free(cm_session *session);

/**
 * Begins with the tokens of a login. They are in the store when this returns.
 *
 * @param session  the session; not NULL
 * @param tokens   the tokens; not NULL
 * @param error    receives the details of a failure; may be NULL
 * @return `CM_STATUS_OK`; `CM_STATUS_STORE`: it could not be locked or written, or (advice fix) what it has is damaged
 *         or of another API key or server and would be lost, call `cm_session_forget` first: the session is as before,
 *         and the tokens are still good for another try; `CM_STATUS_TIMEOUT`, `_CANCELLED`
 *
 * Free an error with `cm_error_free`. Any thread, many at once. Since 0.1.
 */
CM_MUST_USE
cm_status cm_session_start(const cm_session *session,
                           const cm_tokens *tokens,
                           cm_error **error);

/**
 * Gives tokens that are valid now. Refreshes them when they are about to end, once for all who ask, within the time of
 * one call (`cm_config_set_timeout_ms`). Where that fails while the tokens at hand have not ended, gives those; the
 * failure shows in `cm_session_health`.
 *
 * With a memory or file store a refresh runs on a thread of the library, and a caller whose tokens have not ended waits
 * for it for a second at most. With a store of your own the thread of one caller does it, since your callbacks are called
 * on threads of yours alone.
 *
 * After a failure the server is left alone: later calls for tokens that have ended, or were rejected, fail at once with
 * the same error, whose `cm_error_retry_after` is what is left of a pause. The pause is a second at most at first, doubles
 * with each further failure up to a minute, and is longer if the server asked for more, up to an hour. An early refresh
 * that failed is tried again after half a minute at most, then after twice as long each time, up to 10 minutes.
 *
 * @param session  the session; not NULL
 * @param tokens   receives the tokens; not NULL
 * @param error    receives the details of a failure; may be NULL
 * @return `CM_STATUS_OK`; `CM_STATUS_LOGIN_REQUIRED`: nobody is logged in, or the server ended the login;
 *         `CM_STATUS_STORE`: the store could not be locked or read; else as `cm_refresh`
 *
 * Free the tokens with `cm_tokens_free`, an error with `cm_error_free`. Any thread, many at once. Since 0.1.
 */
CM_MUST_USE
cm_status cm_session_tokens(const cm_session *session,
                            cm_tokens **tokens,
                            cm_error **error);

/**
 * Gives other tokens, after the API answered 401 to `rejected`: those that are there already, or refreshed ones, once
 * for all who ask. Not after a 403, which other tokens would get too.
 *
 * Tokens that came from such a refresh, and are rejected in their turn, are refreshed again only if they are older than
 * 15 s, twice as long each further time, 10 minutes at most: an API that rejects all tokens costs a few requests, and two
 * installations that refresh each other's tokens away settle.
 *
 * @param session   the session; not NULL
 * @param rejected  the tokens that were rejected; not NULL
 * @param tokens    receives the tokens; not NULL
 * @param error     receives the details of a failure; may be NULL
 * @return as `cm_session_tokens`; the rejected tokens are not given again; `CM_STATUS_TOKEN_REJECTED` (advice retry):
 *         they are too young to be refreshed again, and `cm_error_retry_after` says for how long. `cm_session_tokens` still
 *         gives them, for the API may accept them elsewhere.
 *
 * Free the tokens with `cm_tokens_free`, an error with `cm_error_free`. Any thread, many at once. Since 0.1.
 */
CM_MUST_USE
cm_status cm_session_rejected(const cm_session *session,
                              const cm_tokens *rejected,
                              cm_tokens **tokens,
                              cm_error **error);

/**
 * Ends the login at the server, for all who share it, and here. An access token that has ended is refreshed first, for
 * with it the server would leave the refresh token alive.
 *
 * @param session  the session; not NULL
 * @param error    receives the details of a failure; may be NULL
 * @return `CM_STATUS_OK`: the server confirmed it; `CM_STATUS_LOGIN_REQUIRED`: it was gone already, at the server or
 *         here, and is cleared here; else the server could not be told and all is as before: try again, or
 *         `cm_session_forget`. `CM_STATUS_STORE` also where the server was told, but the store could not be cleared.
 *
 * Free an error with `cm_error_free`. Any thread. Since 0.1.
 */
CM_MUST_USE
cm_status cm_session_logout(const cm_session *session,
                            cm_error **error);

/**
 * Forgets the tokens here and in the store; the server is not told. Clears a store whose content is damaged, or of
 * another API key or server, too.
 *
 * @param session  the session; not NULL
 * @param error    receives the details of a failure; may be NULL
 * @return `CM_STATUS_OK`; `CM_STATUS_STORE`: it could not be locked or cleared; `CM_STATUS_TIMEOUT`, `_CANCELLED`
 *
 * Free an error with `cm_error_free`. Any thread. Since 0.1.
 */
CM_MUST_USE
cm_status cm_session_forget(const cm_session *session,
                            cm_error **error);

/**
 * Sets who is told of changes, so that streams that live long can reconnect with other tokens. It is called outside all
 * locks on the thread that noticed the change, which is always one that is in a call of the session, never one of the
 * library: after a refresh in the background, the next call tells.
 *
 * @param session   the session; NULL: nothing happens
 * @param callback  the function; NULL: nobody
 * @param context   passed to it; may be NULL. It must outlive the session: a call can be under way when another
 *                  callback is set.
 *
 * Any thread. Since 0.1.
 */
void cm_session_on_change(const cm_session *session,
                          cm_session_callback callback,
                          void *context);

/**
 * Tells how the session is, as known here; asks nobody.
 *
 * @param session  the session; not NULL
 * @param health   receives the answer; not NULL
 * @return `CM_STATUS_OK`; `CM_STATUS_INVALID_ARGUMENT`
 *
 * Free it with `cm_health_free`. Any thread. Since 0.1.
 */
CM_MUST_USE cm_status cm_session_health(const cm_session *session, cm_health **health);

/**
 * Frees a health.
 *
 * @param health  the health, or NULL
 *
 * Not while another thread uses it. Since 0.1.
 */
void cm_health_free(cm_health *health);

/**
 * Whether somebody is logged in, as far as is known here: another process may have logged out since.
 *
 * @param health  the health; NULL gives 0
 * @return 1 or 0
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE int cm_health_logged_in(const cm_health *health);

/**
 * The number of the tokens: another one after each change.
 *
 * @param health  the health; NULL gives 0
 * @return the generation; 0 where there is no login and none was here
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE uint64_t cm_health_generation(const cm_health *health);

/**
 * When the access token ends.
 *
 * @param health  the health; NULL gives 0
 * @return Unix seconds; `INT64_MAX`: never, or nobody is logged in
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE int64_t cm_health_expires_at(const cm_health *health);

/**
 * When a refresh is tried next.
 *
 * @param health  the health; NULL gives 0
 * @return Unix seconds; `INT64_MAX`: never, or nobody is logged in
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE int64_t cm_health_next_refresh(const cm_health *health);

/**
 * Failures since the last success.
 *
 * @param health  the health; NULL gives 0
 * @return how many
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE uint32_t cm_health_failures(const cm_health *health);

/**
 * The last of the failures in a row; after `cm_session_open`, what is wrong with the content of the store.
 *
 * @param health  the health; NULL gives NULL
 * @return the error, borrowed from the health: do not free it; NULL where there is none
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE const cm_error *cm_health_last_error(const cm_health *health);

/**
 * Whether the store has the tokens. If it refused them, saving is tried again; until then a crash loses what a refresh
 * changed.
 *
 * @param health  the health; NULL gives 0
 * @return 1 or 0
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE
int cm_health_saved(const cm_health *health);

/*
 * Store: where the tokens of a session outlive the process: memory, one file, or your own.
 */

/**
 * A store in memory: the session lives as long as the process.
 *
 * @return the store; NULL never, but in case of a bug
 *
 * Free it with `cm_store_free`. Any thread. Since 0.1.
 */
CM_MUST_USE cm_store *cm_store_memory(void);

/**
 * A store in one file, for any number of processes of one machine; what to use unless you know better.
 *
 * Only its owner can read it, and it is refused if others can. Beside it stand `path.lock`, which stays, and for a
 * moment `path.tmp`. A process that is killed, or a machine that loses power, leaves the old record or the new one.
 *
 * The lock is the process's: it ends with it, and a child of `fork` does not inherit it. No other code of the process may open
 * and close `path.lock`, which would release it.
 *
 * @param path  the file, which need not be there, in a folder that is; not NULL. A relative path counts from the working
 *              directory of this moment. Of a symbolic link, the target is written and locked. A bad path is reported by
 *              `cm_session_open`.
 * @return the store; NULL never, but in case of a bug
 *
 * Free it with `cm_store_free`. Any thread. Since 0.1.
 */
CM_MUST_USE
cm_store *cm_store_file(const char *path);

/**
 * A store of your own: Redis, a keyring, a database.
 *
 * @param callbacks  the functions, which are copied; not NULL. A bad table is reported by `cm_session_open`.
 * @param context    passed to each of them; may be NULL
 * @return the store; NULL never, but in case of a bug, and then the context is still yours
 *
 * Free it with `cm_store_free`, which calls `destroy` once no session uses it, also after a bad table. Any thread. Since 0.1.
 */
CM_MUST_USE
cm_store *cm_store_custom(const cm_store_callbacks *callbacks,
                          void *context);

/**
 * Frees a store. Sessions that use it keep it alive.
 *
 * @param store  the store, or NULL
 *
 * Since 0.1.
 */
void cm_store_free(cm_store *store);

/**
 * From `load`: hands the record over.
 *
 * @param reply   what the callback was given; NULL: nothing happens
 * @param record  the record, which is copied, so free yours; NULL: there is none
 *
 * Within a callback. Since 0.1.
 */
void cm_store_reply_set_record(cm_store_reply *reply, const char *record);

/**
 * From `load`: the generation of the last `save` or `clear`, if the store keeps it; also where there is no record. A new
 * login then gets a larger one, so that the store accepts it, whatever the clocks of the machines say.
 *
 * @param reply       what the callback was given; NULL: nothing happens
 * @param generation  the generation; 0, as without this call: unknown
 *
 * Within a callback. Since 0.1.
 */
void cm_store_reply_set_generation(cm_store_reply *reply,
                                   uint64_t generation);

/**
 * From any callback that fails: says why, in one line for the log that names the place. Tokens in it are hidden.
 *
 * @param reply    what the callback was given; NULL: nothing happens
 * @param message  the words, which are copied; NULL: none
 *
 * Within a callback. Since 0.1.
 */
void cm_store_reply_set_message(cm_store_reply *reply,
                                const char *message);

/*
 * Error: a status to branch on, advice on what to do, and the details for the log. Never a secret.
 */

/**
 * Frees an error.
 *
 * @param error  the error, or NULL
 *
 * Not while another thread uses it. Since 0.1.
 */
void cm_error_free(cm_error *error);

/**
 * The kind of failure: what the call returned.
 *
 * @param error  the error; NULL gives `CM_STATUS_OK`
 * @return the status
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE cm_status cm_error_status(const cm_error *error);

/**
 * What to do. It belongs to this error, not to its status alone: after an exchange whose request may have arrived it is
 * `CM_ADVICE_LOG_IN`, for the code is used up.
 *
 * @param error  the error; NULL gives `CM_ADVICE_NONE`
 * @return the advice
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE
cm_advice cm_error_advice(const cm_error *error);

/**
 * One line for the log: what happened, what the server said, and what to do.
 *
 * @param error  the error; NULL gives "no error"
 * @return the message, borrowed from the error; never NULL
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE const char *cm_error_message(const cm_error *error);

/**
 * The HTTP status of the answer.
 *
 * @param error  the error; NULL gives 0
 * @return the status, 0 where there was no answer
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE int cm_error_http_status(const cm_error *error);

/**
 * The OAuth error code of the answer or the redirect (RFC 6749, sections 4.1.2.1 and 5.2): "invalid_grant".
 *
 * @param error  the error; NULL gives NULL
 * @return the code, borrowed from the error; NULL where there is none
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE const char *cm_error_oauth_error(const cm_error *error);

/**
 * What the server said about it, at most 512 bytes, secrets replaced by "[redacted]". For people: never branch on it.
 *
 * @param error  the error; NULL gives NULL
 * @return the description, borrowed from the error; NULL where there is none
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE
const char *cm_error_oauth_description(const cm_error *error);

/**
 * How long to wait before another try: as the server asked (Retry-After), or what is left of a session's pause.
 *
 * @param error  the error; NULL gives -1
 * @return seconds, at least 0, rounded up; -1 where no time is known
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE
int64_t cm_error_retry_after(const cm_error *error);

/*
 * Log: one line an event, for your own log. Without secrets, and off until asked for.
 */

/**
 * Sets where the log goes, for all of this process. When it returns, the callback that was set before is no longer
 * running, and its context can be freed: hold no lock that the callback takes. In the child of a fork that was made while
 * a line was logged, the log can only be turned off.
 *
 * @param level     a `cm_log_level`; one that is none counts as the nearest
 * @param callback  receives the lines; NULL turns the log off
 * @param context   passed to the callback; may be NULL
 *
 * Any thread, but not from the callback. Since 0.1.
 */
void cm_set_log(int level,
                cm_log_callback callback,
                void *context);

/*
 * Version, and names for logs.
 */

/**
 * The version of the library that is loaded.
 *
 * @return "0.1.0"; never NULL, never to be freed
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE const char *cm_version(void);

/**
 * A status' name, for logs.
 *
 * @param status  a `cm_status`; any number is allowed
 * @return "OK", "LOGIN_REQUIRED", ..., "UNKNOWN" for a number that is none; never NULL, never to be freed
 *
 * Any thread. Since 0.1.
 */
CM_MUST_USE const char *cm_status_name(int status);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CMAUTH_H */

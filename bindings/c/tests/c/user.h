/* Helpers for C test programs that use the sandbox: a client from the environment, and a login.
 *
 * The test harness plays the user: it reads "open URL" from our standard output, logs in on that page in the sandbox,
 * and writes the redirected URL to our standard input.
 */

#ifndef USER_H
#define USER_H

#include <cmauth.h>

#include "check.h"

#define REDIRECT_URI "https://example.com"

/* Checks that the call succeeds. Prints the message of its error if not. */
#define OK(call)                                                                                                       \
    do {                                                                                                               \
        cm_status status_ = (call);                                                                                    \
        if (status_ != CM_STATUS_OK) {                                                                                 \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cm_error_message(error));                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
        CHECK(error == NULL);                                                                                          \
    } while (0)

/* Checks that the call fails with this status and advice. Frees the error. */
#define FAILS(call, status, advice)                                                                                    \
    do {                                                                                                               \
        cm_status status_ = (call);                                                                                    \
        CHECK(status_ == (status));                                                                                    \
        CHECK(cm_error_status(error) == (status));                                                                     \
        if (cm_error_advice(error) != (advice)) {                                                                      \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, cm_error_message(error));                               \
            exit(1);                                                                                                   \
        }                                                                                                              \
        cm_error_free(error);                                                                                          \
        error = NULL;                                                                                                  \
    } while (0)

static cm_error *error;

static inline cm_client *client_from_environment(void) {
    cm_config *config = cm_config_new(getenv("CMAUTH_CLIENT_ID"), getenv("CMAUTH_CLIENT_SECRET"));
    cm_config_set_base_url(config, getenv("CMAUTH_BASE_URL"));
    cm_config_set_ca_file(config, getenv("CMAUTH_CA_FILE"));
    cm_config_set_proxy(config, "");
    cm_client *client = NULL;
    OK(cm_client_new(config, &client, &error));
    cm_config_free(config);
    return client;
}

/* The user logs in on the page of the login; `redirected` receives the redirected URL. */
static inline void user_opens(const cm_login *login, char *redirected, int size) {
    printf("open %s\n", cm_login_url(login));
    fflush(stdout);
    CHECK(fgets(redirected, size, stdin) != NULL);
}

static inline cm_tokens *log_in(const cm_client *client) {
    char redirected[4096];
    cm_login *login = NULL;
    cm_tokens *tokens = NULL;
    OK(cm_login_new(client, REDIRECT_URI, &login, &error));
    user_opens(login, redirected, sizeof redirected);
    OK(cm_login_finish(login, redirected, &tokens, &error));
    cm_login_free(login);
    return tokens;
}

/* The same tokens, but with an access token that expired long ago. A session refreshes it at once each time. */
static inline cm_tokens *expired(const cm_tokens *tokens) {
    char json[1024];
    cm_tokens *made = NULL;
    snprintf(json, sizeof json,
             "{\"access_token\":\"expired\",\"refresh_token\":\"%s\",\"scope\":\"%s\",\"expires_at\":1}",
             cm_tokens_refresh_token(tokens), cm_tokens_scope(tokens));
    OK(cm_tokens_from_json(json, &made, &error));
    return made;
}

#endif

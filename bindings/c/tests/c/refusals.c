/* A session sends no tokens of another API key or server, does not repeat requests to a server that has just failed,
 * and does not refresh young tokens that are rejected again and again.
 *
 *     refusals CASE TOKENS [OTHER-URL]
 *
 * TOKENS are the tokens of a login as JSON. Prints nothing; bindings/c/tests/refusals.rs counts the requests. */

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "user.h"

static cm_tokens *tokens_of_login;
static char folder[] = "/tmp/cmauth-refusals-XXXXXX", file[64];

static cm_client *client_of(const char *client_id, const char *base_url, const char *scope) {
    cm_config *config = cm_config_new(client_id, getenv("CMAUTH_CLIENT_SECRET"));
    cm_config_set_base_url(config, base_url);
    cm_config_set_proxy(config, "");
    cm_config_set_max_retries(config, 0);
    cm_config_set_scope(config, scope);
    cm_client *client = NULL;
    OK(cm_client_new(config, &client, &error));
    cm_config_free(config);
    return client;
}

static cm_client *own_client(void) {
    return client_of(getenv("CMAUTH_CLIENT_ID"), getenv("CMAUTH_BASE_URL"), "read write");
}

static cm_session *session_in(const cm_client *client, cm_store *store) {
    cm_session *session = NULL;
    OK(cm_session_open(client, store, &session, &error));
    cm_store_free(store);
    return session;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Checks that the error says why the content of the store cannot be used, and names the remedy. */
static void check_unusable(const cm_error *failure, const char *piece, const char *other_piece) {
    CHECK(cm_error_status(failure) == CM_STATUS_STORE && cm_error_advice(failure) == CM_ADVICE_FIX);
    CHECK_CONTAINS(cm_error_message(failure), piece);
    CHECK_CONTAINS(cm_error_message(failure), "call forget");
    CHECK(other_piece == NULL || strstr(cm_error_message(failure), other_piece) == NULL);
    CHECK(strstr(cm_error_message(failure), cm_tokens_refresh_token(tokens_of_login)) == NULL);
}

#define UNUSABLE(call, piece, other_piece)                                                                             \
    do {                                                                                                               \
        CHECK((call) == CM_STATUS_STORE);                                                                              \
        check_unusable(error, piece, other_piece);                                                                     \
        cm_error_free(error);                                                                                          \
        error = NULL;                                                                                                  \
    } while (0)

/* Checks a session on a store whose content it cannot use: nobody is logged in, and every call but `forget` fails. */
static void is_unusable(const cm_session *session, const char *piece, const char *other_piece) {
    cm_health *health = NULL;
    cm_tokens *none = NULL;
    CHECK(cm_session_health(session, &health) == CM_STATUS_OK);
    CHECK(!cm_health_logged_in(health));
    CHECK(cm_health_last_error(health) != NULL);
    check_unusable(cm_health_last_error(health), piece, other_piece);
    cm_health_free(health);
    UNUSABLE(cm_session_tokens(session, &none, &error), piece, other_piece);
    UNUSABLE(cm_session_rejected(session, tokens_of_login, &none, &error), piece, other_piece);
    UNUSABLE(cm_session_start(session, tokens_of_login, &error), piece, other_piece);
    UNUSABLE(cm_session_logout(session, &error), piece, other_piece);
    CHECK(none == NULL && access(file, F_OK) == 0);
}

static void forget_removes_it(cm_session *session) {
    OK(cm_session_forget(session, &error));
    CHECK(access(file, F_OK) != 0);
    cm_tokens *tokens = NULL;
    FAILS(cm_session_tokens(session, &tokens, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    OK(cm_session_start(session, tokens_of_login, &error));
    OK(cm_session_tokens(session, &tokens, &error));
    cm_tokens_free(tokens);
    OK(cm_session_forget(session, &error));
    cm_session_free(session);
}

static void a_login_of_another(cm_client *stranger, const char *piece, const char *other_piece) {
    cm_client *client = own_client();
    cm_session *session = session_in(client, cm_store_file(file));
    /* The tokens have expired, so a session that used them would send the refresh token. */
    cm_tokens *old = expired(tokens_of_login);
    OK(cm_session_start(session, old, &error));
    cm_session *other = session_in(stranger, cm_store_file(file));
    is_unusable(other, piece, other_piece);
    forget_removes_it(other);
    cm_tokens_free(old);
    cm_session_free(session);
    cm_client_free(client);
    cm_client_free(stranger);
}

static void damaged(void) {
    static const char *const texts[] = {"", "{\"cmauth\":1,", "[1]"};
    for (int i = 0; i < 3; i++) {
        FILE *out = fopen(file, "w");
        CHECK(out != NULL && fputs(texts[i], out) >= 0 && fclose(out) == 0);
        cm_client *client = own_client();
        cm_session *session = session_in(client, cm_store_file(file));
        is_unusable(session, i == 2 ? "did not write it" : "it is not JSON", NULL);
        forget_removes_it(session);
        cm_client_free(client);
    }
}

/* The server asks for a pause of two minutes: many calls cause one request. */
static void back_off_as_asked(void) {
    cm_client *client = own_client();
    cm_session *session = session_in(client, cm_store_memory());
    cm_tokens *old = expired(tokens_of_login), *none = NULL;
    OK(cm_session_start(session, old, &error));
    for (int i = 0; i < 300; i++) {
        CHECK((i % 2 ? cm_session_tokens(session, &none, &error) : cm_session_rejected(session, old, &none, &error)) ==
              CM_STATUS_SERVER);
        CHECK(none == NULL && cm_error_advice(error) == CM_ADVICE_RETRY);
        CHECK(cm_error_http_status(error) == 503);
        CHECK(cm_error_retry_after(error) > 100 && cm_error_retry_after(error) <= 120);
        cm_error_free(error);
        error = NULL;
        usleep(5000);
    }
    cm_tokens_free(old);
    cm_session_free(session);
    cm_client_free(client);
}

/* The server names no time: the session sends another request after the short first pause, and the server has
 * recovered. */
static void back_off_and_recovery(void) {
    cm_client *client = own_client();
    cm_session *session = session_in(client, cm_store_memory());
    cm_tokens *old = expired(tokens_of_login), *tokens = NULL;
    OK(cm_session_start(session, old, &error));
    int calls = 0;
    double begun = now();
    while (cm_session_tokens(session, &tokens, &error) != CM_STATUS_OK) {
        CHECK(cm_error_status(error) == CM_STATUS_SERVER && now() - begun < 20);
        /* The rest of the pause, rounded up. */
        CHECK(cm_error_retry_after(error) == 1);
        calls++;
        cm_error_free(error);
        error = NULL;
        usleep(5000);
    }
    CHECK(calls > 10 && now() - begun > 0.45);
    cm_tokens_free(tokens);
    cm_tokens_free(old);
    cm_session_free(session);
    cm_client_free(client);
}

static void rejected_in_a_loop(void) {
    cm_client *client = own_client();
    cm_session *session = session_in(client, cm_store_memory());
    cm_tokens *tokens = NULL, *other = NULL;
    OK(cm_session_start(session, tokens_of_login, &error));
    OK(cm_session_rejected(session, tokens_of_login, &tokens, &error));
    CHECK(strcmp(cm_tokens_access_token(tokens), cm_tokens_access_token(tokens_of_login)) != 0);
    for (double begun = now(); now() - begun < 2;) {
        CHECK(cm_session_rejected(session, tokens, &other, &error) == CM_STATUS_TOKEN_REJECTED && other == NULL);
        CHECK(cm_error_advice(error) == CM_ADVICE_RETRY);
        CHECK(cm_error_retry_after(error) > 10 && cm_error_retry_after(error) <= 15);
        cm_error_free(error);
        error = NULL;
    }
    /* The tokens may still work for other requests. */
    OK(cm_session_tokens(session, &other, &error));
    CHECK(strcmp(cm_tokens_access_token(tokens), cm_tokens_access_token(other)) == 0);
    cm_tokens_free(other);
    cm_tokens_free(tokens);
    cm_session_free(session);
    cm_client_free(client);
}

/* The client asks for "read write" by default, but the user granted only "read". */
static void granted_scope(void) {
    cm_client *client = own_client();
    cm_session *session = session_in(client, cm_store_memory());
    cm_tokens *tokens = NULL;
    CHECK(strcmp(cm_tokens_scope(tokens_of_login), "read") == 0);
    OK(cm_session_start(session, tokens_of_login, &error));
    OK(cm_session_rejected(session, tokens_of_login, &tokens, &error));
    CHECK(strcmp(cm_tokens_scope(tokens), "read") == 0);
    cm_tokens_free(tokens);
    OK(cm_session_logout(session, &error));
    cm_session_free(session);
    cm_client_free(client);
}

int main(int count, char **arguments) {
    CHECK(count >= 3);
    const char *name = arguments[1];
    OK(cm_tokens_from_json(arguments[2], &tokens_of_login, &error));
    char lock[80];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(file, sizeof file, "%s/session", folder);
    snprintf(lock, sizeof lock, "%s.lock", file);
    const char *key = getenv("CMAUTH_CLIENT_ID"), *url = getenv("CMAUTH_BASE_URL");
    /* A session rejects files that other users can read. */
    umask(077);
    if (strcmp(name, "other-key") == 0)
        a_login_of_another(client_of("another.key", url, "write"), "\"another.key\"", "server");
    else if (strcmp(name, "other-server") == 0)
        a_login_of_another(client_of(key, arguments[3], "write"), arguments[3], "API key");
    else if (strcmp(name, "damaged") == 0)
        damaged();
    else if (strcmp(name, "back-off") == 0)
        back_off_as_asked();
    else if (strcmp(name, "recovery") == 0)
        back_off_and_recovery();
    else if (strcmp(name, "rejected") == 0)
        rejected_in_a_loop();
    else if (strcmp(name, "scope") == 0)
        granted_scope();
    else
        return 2;
    CHECK(access(file, F_OK) != 0);
    unlink(lock);
    CHECK(rmdir(folder) == 0);
    cm_tokens_free(tokens_of_login);
    return 0;
}

/* Logs in, saves the tokens as JSON, refreshes and logs out, and checks that the ended tokens no longer work. */

#include "user.h"

static void a_login_checks_its_redirect_and_finishes_once(const cm_client *client) {
    char redirected[4096], forged[4096];
    cm_login *login = NULL;
    cm_tokens *tokens = NULL;
    OK(cm_login_new(client, REDIRECT_URI, &login, &error));
    user_opens(login, redirected, sizeof redirected);
    CHECK(cm_login_is_redirect(login, redirected) == 1);

    /* A redirect with another state is rejected, and the login stays open. */
    snprintf(forged, sizeof forged, "%s", redirected);
    char *state = strstr(forged, "state=");
    CHECK(state != NULL);
    state[6] = state[6] == 'A' ? 'B' : 'A';
    FAILS(cm_login_finish(login, forged, &tokens, &error), CM_STATUS_STATE_MISMATCH, CM_ADVICE_LOG_IN);
    CHECK(tokens == NULL);

    OK(cm_login_finish(login, redirected, &tokens, &error));
    cm_tokens_free(tokens);
    FAILS(cm_login_finish(login, redirected, &tokens, &error), CM_STATUS_INVALID_ARGUMENT, CM_ADVICE_FIX);
    cm_login_free(login);
}

static void tokens_say_what_the_server_gave(const cm_tokens *tokens) {
    CHECK_CONTAINS(cm_tokens_access_token(tokens), ":10003");
    CHECK_CONTAINS(cm_tokens_refresh_token(tokens), ":10003");
    CHECK(strcmp(cm_tokens_token_type(tokens), "bearer") == 0);
    CHECK(strcmp(cm_tokens_scope(tokens), "write") == 0);
    CHECK(cm_tokens_expires_in(tokens) > 40000 && cm_tokens_expires_in(tokens) <= 43200);
    CHECK(cm_tokens_expires_at(tokens) > 1700000000);
}

static void tokens_survive_json(const cm_tokens *tokens) {
    cm_tokens *kept = NULL;
    const char *json = cm_tokens_to_json(tokens);
    CHECK(json == cm_tokens_to_json(tokens)); /* The JSON is made once. */
    OK(cm_tokens_from_json(json, &kept, &error));
    CHECK(strcmp(cm_tokens_access_token(kept), cm_tokens_access_token(tokens)) == 0);
    CHECK(strcmp(cm_tokens_refresh_token(kept), cm_tokens_refresh_token(tokens)) == 0);
    CHECK(cm_tokens_expires_at(kept) == cm_tokens_expires_at(tokens));
    cm_tokens_free(kept);
}

/* The handle contains short texts itself; long texts are allocated. */
static void texts_of_every_length_come_back(void) {
    char access[300], refresh[300], json[1024];
    for (int length = 1; length < 299; length++) {
        cm_tokens *tokens = NULL, *kept = NULL;
        memset(access, 'a', sizeof access);
        memset(refresh, 'r', sizeof refresh);
        access[length] = refresh[299 - length] = 0;
        snprintf(json, sizeof json, "{\"access_token\":\"%s\",\"refresh_token\":\"%s\",\"scope\":\"write\"}", access,
                 refresh);
        OK(cm_tokens_from_json(json, &tokens, &error));
        OK(cm_tokens_from_json(cm_tokens_to_json(tokens), &kept, &error));
        cm_tokens_free(tokens);
        CHECK(strcmp(cm_tokens_access_token(kept), access) == 0);
        CHECK(strcmp(cm_tokens_refresh_token(kept), refresh) == 0);
        CHECK(strcmp(cm_tokens_token_type(kept), "bearer") == 0);
        CHECK(strcmp(cm_tokens_scope(kept), "write") == 0);
        CHECK(cm_tokens_expires_at(kept) == CM_NONE && cm_tokens_expires_in(kept) == CM_NONE);
        cm_tokens_free(kept);
        refresh[299 - length] = 'r';
    }
}

static void errors_say_what_the_server_said_without_secrets(const cm_client *client) {
    cm_tokens *tokens = NULL;
    CHECK(cm_exchange_code(client, "NoCode", REDIRECT_URI, &tokens, &error) == CM_STATUS_LOGIN_REQUIRED);
    CHECK(tokens == NULL);
    CHECK(cm_error_http_status(error) == 400);
    CHECK(strcmp(cm_error_oauth_error(error), "invalid_grant") == 0);
    CHECK_CONTAINS(cm_error_oauth_description(error), "[redacted]");
    CHECK_CONTAINS(cm_error_message(error), "log in again");
    CHECK(strstr(cm_error_message(error), "NoCode") == NULL);
    cm_error_free(error);
    error = NULL;
}

int main(void) {
    cm_client *client = client_from_environment();
    a_login_checks_its_redirect_and_finishes_once(client);
    errors_say_what_the_server_said_without_secrets(client);
    texts_of_every_length_come_back();

    cm_tokens *tokens = log_in(client), *fresh = NULL, *none = NULL;
    tokens_say_what_the_server_gave(tokens);
    tokens_survive_json(tokens);

    OK(cm_refresh(client, cm_tokens_refresh_token(tokens), &fresh, &error));
    CHECK(strcmp(cm_tokens_access_token(fresh), cm_tokens_access_token(tokens)) != 0);
    CHECK(strcmp(cm_tokens_refresh_token(fresh), cm_tokens_refresh_token(tokens)) == 0);
    /* The refresh ended the old access token. */
    FAILS(cm_logout(client, cm_tokens_access_token(tokens), &error), CM_STATUS_TOKEN_REJECTED, CM_ADVICE_REFRESH);

    OK(cm_logout(client, cm_tokens_access_token(fresh), &error));
    FAILS(cm_logout(client, cm_tokens_access_token(fresh), &error), CM_STATUS_TOKEN_REJECTED, CM_ADVICE_REFRESH);
    FAILS(cm_refresh(client, cm_tokens_refresh_token(fresh), &none, &error), CM_STATUS_LOGIN_REQUIRED,
          CM_ADVICE_LOG_IN);

    /* Handles can be freed in any order: a login keeps what it needs of its client. */
    cm_login *login = NULL;
    char redirected[4096];
    OK(cm_login_new(client, REDIRECT_URI, &login, &error));
    cm_client_free(client);
    user_opens(login, redirected, sizeof redirected);
    OK(cm_login_finish(login, redirected, &none, &error));
    cm_login_free(login);
    cm_tokens_free(none);
    cm_tokens_free(fresh);
    cm_tokens_free(tokens);
    return 0;
}

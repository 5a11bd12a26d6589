/* Calls every function of a library that was built to panic in each of them. A call must return CM_STATUS_INTERNAL, or
 * the value that its comment gives for NULL. The message has the place in the source and no data. Nothing is printed,
 * and the process continues. */

#include <cmauth.h>

#include "check.h"

static cm_error *error;

static void caught(cm_status status, const void *result) {
    CHECK(status == CM_STATUS_INTERNAL);
    CHECK(result == NULL);
    CHECK(error != NULL);
    /* The error can be read when the panics are off. */
    unsetenv("CMAUTH_TEST_PANIC");
    CHECK(cm_error_status(error) == CM_STATUS_INTERNAL);
    CHECK(cm_error_advice(error) == CM_ADVICE_REPORT);
    CHECK_CONTAINS(cm_error_message(error), "src/panic.rs:");
    CHECK(strstr(cm_error_message(error), "hunter2") == NULL);
    CHECK(cm_error_http_status(error) == CM_NONE && cm_error_retry_after(error) == CM_NONE);
    CHECK(cm_error_oauth_error(error) == NULL && cm_error_oauth_description(error) == NULL);
    cm_error_free(error);
    error = NULL;
    setenv("CMAUTH_TEST_PANIC", "hunter2", 1);
}

#define CAUGHT(call, result)                                                                                           \
    do {                                                                                                               \
        cm_status status_ = (call);                                                                                    \
        caught(status_, (result));                                                                                     \
    } while (0)

static void callback(void *context, cm_log_level level, const char *line) {
    (void)context;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

int main(void) {
    cm_config *config = cm_config_new("id", "secret");
    cm_config_set_base_url(config, "http://127.0.0.1:1");
    cm_client *client = NULL;
    cm_login *login = NULL;
    cm_tokens *tokens = NULL, *none = NULL;
    cm_error *real = NULL;
    CHECK(cm_client_new(config, &client, &error) == CM_STATUS_OK);
    CHECK(cm_login_new(client, "https://example.com", &login, &error) == CM_STATUS_OK);
    CHECK(cm_tokens_from_json("{\"access_token\":\"a\"}", &tokens, &error) == CM_STATUS_OK);
    CHECK(cm_refresh(NULL, "r", &none, &real) == CM_STATUS_INVALID_ARGUMENT);

    cm_store *store = cm_store_memory();
    cm_session *session = NULL, *no_session = NULL;
    cm_health *health = NULL, *no_health = NULL;
    CHECK(cm_session_open(client, store, &session, &error) == CM_STATUS_OK);
    CHECK(cm_session_start(session, tokens, &error) == CM_STATUS_OK);
    CHECK(cm_session_health(session, &health) == CM_STATUS_OK);
    cm_signed_url *signed_url = NULL;
    CHECK(cm_session_sign_url(session, "http://127.0.0.1:1/x", &signed_url, &error) == CM_STATUS_OK);

    cm_cancel *cancel = cm_cancel_new();
    CHECK(cancel != NULL);

    setenv("CMAUTH_TEST_PANIC", "hunter2", 1);
    CHECK(cm_config_new("id", "secret") == NULL && cm_config_new_public("id") == NULL);
    cm_config_set_base_url(config, "x");
    cm_config_set_scope(config, "x");
    cm_config_set_timeout_ms(config, 1);
    cm_config_set_connect_timeout_ms(config, 1);
    cm_config_set_ca_file(config, "x");
    cm_config_add_ca_file(config, "x");
    cm_config_set_proxy(config, "x");
    cm_config_set_user_agent(config, "x");
    cm_config_set_max_retries(config, 1);
    cm_config_set_params_in_body(config, 1);
    cm_config_allow_origin(config, "x");
    cm_client *no_client = NULL;
    cm_login *no_login = NULL;
    CAUGHT(cm_client_new(config, &no_client, &error), no_client);
    CAUGHT(cm_exchange_code(client, "c", "https://example.com", &none, &error), none);
    CAUGHT(cm_refresh(client, "r", &none, &error), none);
    CAUGHT(cm_logout(client, "a", &error), NULL);
    cm_user *no_user = NULL;
    CAUGHT(cm_get_user(client, "a", &no_user, &error), no_user);
    CHECK(cm_user_id(NULL) == NULL && cm_user_name(NULL) == NULL && cm_user_email(NULL) == NULL);
    cm_user_free(NULL);
    CAUGHT(cm_client_check_url(client, "x", &error), NULL);
    CAUGHT(cm_login_new(client, "https://example.com", &no_login, &error), no_login);
    CAUGHT(cm_login_finish(login, "?code=c", &none, &error), none);
    CAUGHT(cm_login_listen(client, 0, &no_login, &error), no_login);
    CAUGHT(cm_login_from_json(client, "{}", &no_login, &error), no_login);
    CAUGHT(cm_login_wait(login, 1, &none, &error), none);
    cm_login_cancel(login);
    cm_login_set_message(login, "x");
    CAUGHT(cm_tokens_from_json("{}", &none, &error), none);
    CHECK(cm_store_memory() == NULL && cm_store_file("x") == NULL && cm_store_custom(NULL, NULL) == NULL);
    cm_store_reply_set_record(NULL, "x");
    cm_store_reply_set_generation(NULL, 1);
    cm_store_reply_set_message(NULL, "x");
    CAUGHT(cm_session_open(client, store, &no_session, &error), no_session);
    CAUGHT(cm_session_start(session, tokens, &error), NULL);
    CAUGHT(cm_session_tokens(session, &none, &error), none);
    CAUGHT(cm_session_rejected(session, tokens, &none, &error), none);
    CAUGHT(cm_session_tokens_for(session, 1, &none, &error), none);
    CAUGHT(cm_session_hold(session, 1, &none, &error), none);
    cm_signed_url *no_signed_url = NULL;
    CAUGHT(cm_session_sign_url(session, "http://127.0.0.1:1/x", &no_signed_url, &error), no_signed_url);
    CHECK(cm_signed_url_url(signed_url) == NULL && cm_signed_url_expires_at(signed_url) == CM_NONE);
    cm_signed_url_free(signed_url);
    CAUGHT(cm_session_rejected_token(session, "a", &none, &error), none);
    CAUGHT(cm_session_with_tokens(session, NULL, NULL, &error), NULL);
    CHECK(cm_session_tokens_at_hand(session) == NULL && cm_session_next_action_ms(session) == CM_NONE);
    cm_session_keep_fresh(session, 1);
    CHECK(cm_health_kept_fresh(health) == 0 && cm_store_time_left_ms() == CM_NONE);
    CHECK(cm_cancel_new() == NULL && cm_cancel_scope(cancel) == NULL);
    cm_cancel_free(cancel);
    cm_cancel_now(cancel);
    cm_config_set_log(config, CM_LOG_LEVEL_DEBUG, callback, NULL, NULL);
    CAUGHT(cm_open_browser("https://example.com", &error), NULL);
    cm_login_set_page(login, CM_PAGE_TEXT_TITLE, "x");
    CAUGHT(cm_session_logout(session, &error), NULL);
    CAUGHT(cm_session_forget(session, &error), NULL);
    cm_session_on_change(session, NULL, NULL, NULL);
    CHECK(cm_session_health(session, &no_health) == CM_STATUS_INTERNAL && no_health == NULL);
    CHECK(cm_health_logged_in(health) == 0 && cm_health_saved(health) == 0 && cm_health_failures(health) == 0);
    CHECK(cm_health_generation(health) == CM_NONE && cm_health_last_error(health) == NULL);
    CHECK(cm_health_expires_at(health) == CM_NONE && cm_health_next_refresh(health) == CM_NONE);
    CHECK(cm_health_held_until(health) == CM_NONE);
    cm_session_free(session);
    cm_store_free(store);
    cm_health_free(health);
    CHECK(cm_refresh(client, "r", &none, NULL) == CM_STATUS_INTERNAL);
    cm_client_cancel(client);
    CHECK(cm_login_url(login) == NULL && cm_login_to_json(login) == NULL);
    CHECK(cm_login_is_redirect(login, "https://example.com/?code=c") == 0);
    CHECK(cm_tokens_authorization(tokens) == NULL);
    CHECK(cm_tokens_access_token(tokens) == NULL && cm_tokens_refresh_token(tokens) == NULL);
    CHECK(cm_tokens_token_type(tokens) == NULL && cm_tokens_scope(tokens) == NULL);
    CHECK(cm_tokens_expires_at(tokens) == CM_NONE && cm_tokens_expires_in(tokens) == CM_NONE);
    CHECK(cm_tokens_to_json(tokens) == NULL);
    CHECK(cm_error_status(real) == CM_STATUS_OK);
    CHECK(strcmp(cm_error_message(real), "no error") == 0);
    CHECK(strcmp(cm_status_name(CM_STATUS_OK), "UNKNOWN") == 0);
    CHECK(cm_version() != NULL);
    cm_set_log(CM_LOG_LEVEL_DEBUG, callback, NULL, NULL);
    cm_config_free(config);
    cm_client_free(client);
    cm_login_free(login);
    cm_tokens_free(tokens);
    cm_error_free(real);

    /* Without panics the same handles work, because the frees above did nothing. */
    unsetenv("CMAUTH_TEST_PANIC");
    CHECK(cm_error_status(real) == CM_STATUS_INVALID_ARGUMENT);
    CHECK_CONTAINS(cm_login_url(login), "&state=");
    cm_error_free(real);
    cm_cancel_free(cancel);
    CHECK(cm_health_logged_in(health) == 1);
    CHECK(strcmp(cm_signed_url_url(signed_url), "http://127.0.0.1:1/x?access_token=a") == 0);
    cm_signed_url_free(signed_url);
    CHECK(cm_session_forget(session, &error) == CM_STATUS_CANCELLED || error == NULL);
    cm_error_free(error);
    cm_health_free(health);
    cm_session_free(session);
    cm_store_free(store);
    cm_tokens_free(tokens);
    cm_login_free(login);
    cm_client_free(client);
    cm_config_free(config);
    return 0;
}

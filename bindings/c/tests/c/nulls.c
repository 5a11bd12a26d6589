/* Calls every function with NULL, invalid UTF-8 and numbers out of range for every parameter. A call must return an
 * error that names the parameter, or do nothing; it must never crash. Sends nothing. */

#include <cmauth.h>

#include "check.h"

#define BAD_UTF8 "\xff\xfe"
#define SOMEWHERE ((void *)0x1)

static cm_error *error;
static cm_client *client;

static cm_config *settings(void) {
    cm_config *config = cm_config_new("id", "secret");
    CHECK(config);
    /* A client for a loopback base URL needs no trusted certificates. */
    cm_config_set_base_url(config, "http://127.0.0.1:1");
    cm_config_set_proxy(config, "");
    return config;
}

/* Checks that the call failed because of this parameter, and set its result to NULL. */
static void refused(cm_status status, const void *result, const char *parameter) {
    CHECK(status == CM_STATUS_INVALID_ARGUMENT);
    CHECK(result == NULL);
    CHECK(error && cm_error_status(error) == CM_STATUS_INVALID_ARGUMENT);
    CHECK(cm_error_advice(error) == CM_ADVICE_FIX);
    CHECK_CONTAINS(cm_error_message(error), parameter);
    CHECK(cm_error_http_status(error) == CM_NONE);
    CHECK(cm_error_oauth_error(error) == NULL);
    CHECK(cm_error_oauth_description(error) == NULL);
    CHECK(cm_error_retry_after(error) == CM_NONE);
    cm_error_free(error);
    error = SOMEWHERE;
}

/* Makes the call before it reads the result: C does not define the order of arguments. */
#define REFUSED(call, result, parameter)                                                                               \
    do {                                                                                                               \
        cm_status status_ = (call);                                                                                    \
        refused(status_, (result), (parameter));                                                                       \
    } while (0)

/* Checks that these settings are rejected because of this parameter. Frees them. */
static void refused_settings(cm_config *config, const char *parameter) {
    cm_client *made = SOMEWHERE;
    cm_status status = cm_client_new(config, &made, &error);
    refused(status, made, parameter);
    cm_config_free(config);
}

static void freeing_null(void) {
    for (int i = 0; i < 2; i++) {
        cm_config_free(NULL);
        cm_client_free(NULL);
        cm_login_free(NULL);
        cm_tokens_free(NULL);
        cm_session_free(NULL);
        cm_store_free(NULL);
        cm_health_free(NULL);
        cm_user_free(NULL);
        cm_signed_url_free(NULL);
        cm_error_free(NULL);
        cm_cancel_free(NULL);
    }
}

static int destroyed;

/* The context is any number: the library does not use it as a pointer. */
static void count(void *context) {
    CHECK(context == SOMEWHERE);
    destroyed++;
}

/* Checks that the call destroyed its context at once, because it could not keep it. */
#define DESTROYED(call)                                                                                                \
    do {                                                                                                               \
        destroyed = 0;                                                                                                 \
        call;                                                                                                          \
        CHECK(destroyed == 1);                                                                                         \
    } while (0)

static void to_nobody(void *context, cm_log_level level, const char *line) {
    (void)context;
    (void)level;
    (void)line;
}

static void never_changed(void *context, cm_change change, int64_t generation) {
    (void)context;
    (void)change;
    (void)generation;
    CHECK(!"called");
}

static int32_t never_used(void *context, const cm_tokens *tokens) {
    (void)context;
    (void)tokens;
    CHECK(!"called");
    return CM_ANSWER_DONE;
}

static void config_functions(void) {
    refused_settings(cm_config_new(NULL, "secret"), "client_id: it is NULL");
    refused_settings(cm_config_new("id", NULL), "client_secret: it is NULL");
    refused_settings(cm_config_new(NULL, NULL), "client_id: it is NULL");
    refused_settings(cm_config_new(BAD_UTF8, "secret"), "client_id: it is not UTF-8");
    refused_settings(cm_config_new("id", BAD_UTF8), "client_secret: it is not UTF-8");
    refused_settings(cm_config_new("", ""), "client_id: it is empty");
    refused_settings(cm_config_new_public(NULL), "client_id: it is NULL");
    refused_settings(cm_config_new_public(BAD_UTF8), "client_id: it is not UTF-8");
    refused_settings(cm_config_new_public("a:b"), "client_id: ");

    void (*text_setters[])(cm_config *, const char *) = {
        cm_config_set_base_url, cm_config_set_scope,      cm_config_set_ca_file,  cm_config_add_ca_file,
        cm_config_set_proxy,    cm_config_set_user_agent, cm_config_allow_origin,
    };
    const char *text_names[] = {"base_url", "scope", "ca_file", "add_ca_file", "proxy", "user_agent", "allow_origin"};
    for (size_t i = 0; i < sizeof text_names / sizeof *text_names; i++) {
        text_setters[i](NULL, "x");
        text_setters[i](NULL, NULL);
        cm_config *config = settings();
        text_setters[i](config, BAD_UTF8);
        refused_settings(config, text_names[i]);
        if (strcmp(text_names[i], "proxy") != 0) { /* Its NULL means: from the environment. */
            config = settings();
            text_setters[i](config, NULL);
            refused_settings(config, text_names[i]);
        }
    }

    cm_config_set_timeout_ms(NULL, 1);
    cm_config_set_connect_timeout_ms(NULL, 1);
    cm_config_set_max_retries(NULL, 1);
    cm_config_set_params_in_body(NULL, 1);
    const int64_t bad_times[] = {0, -1, INT64_MIN, INT64_MAX, 86400001};
    for (size_t i = 0; i < sizeof bad_times / sizeof *bad_times; i++) {
        cm_config *config = settings();
        cm_config_set_timeout_ms(config, bad_times[i]);
        refused_settings(config, "timeout_ms: ");
        config = settings();
        cm_config_set_connect_timeout_ms(config, bad_times[i]);
        refused_settings(config, "connect_timeout_ms: ");
    }
    const int bad_retries[] = {-1, 11, -2147483647 - 1, 2147483647};
    for (size_t i = 0; i < sizeof bad_retries / sizeof *bad_retries; i++) {
        cm_config *config = settings();
        cm_config_set_max_retries(config, bad_retries[i]);
        refused_settings(config, "max_retries");
    }
    const int bad_switches[] = {-1, 2};
    for (size_t i = 0; i < sizeof bad_switches / sizeof *bad_switches; i++) {
        cm_config *config = settings();
        cm_config_set_params_in_body(config, bad_switches[i]);
        refused_settings(config, "params_in_body");
    }

    /* The first bad value is the one reported. */
    cm_config *config = settings();
    cm_config_set_scope(config, NULL);
    cm_config_set_timeout_ms(config, 0);
    refused_settings(config, "scope: it is NULL");
}

static void client_functions(void) {
    cm_tokens *tokens = SOMEWHERE;
    cm_config *config = settings();
    REFUSED(cm_client_new(NULL, &client, &error), client, "config: it is NULL");
    REFUSED(cm_client_new(config, NULL, &error), NULL, "client: ");
    cm_client_cancel(NULL);
    CHECK(cm_client_new(NULL, NULL, NULL) == CM_STATUS_INVALID_ARGUMENT);
    CHECK(cm_client_new(config, &client, NULL) == CM_STATUS_OK && client);
    cm_config_free(config);

    const char *uri = "https://example.com";
    REFUSED(cm_exchange_code(NULL, "c", uri, &tokens, &error), tokens, "client: it is NULL");
    tokens = SOMEWHERE;
    REFUSED(cm_exchange_code(client, NULL, uri, &tokens, &error), tokens, "code: it is NULL");
    tokens = SOMEWHERE;
    REFUSED(cm_exchange_code(client, BAD_UTF8, uri, &tokens, &error), tokens, "code: it is not UTF-8");
    tokens = SOMEWHERE;
    REFUSED(cm_exchange_code(client, "", uri, &tokens, &error), tokens, "code: it is empty");
    tokens = SOMEWHERE;
    REFUSED(cm_exchange_code(client, "c", NULL, &tokens, &error), tokens, "redirect_uri: it is NULL");
    tokens = SOMEWHERE;
    REFUSED(cm_exchange_code(client, "c", BAD_UTF8, &tokens, &error), tokens, "redirect_uri: it is not UTF-8");
    REFUSED(cm_exchange_code(client, "c", uri, NULL, &error), NULL, "tokens: ");
    CHECK(cm_exchange_code(client, "c", uri, NULL, NULL) == CM_STATUS_INVALID_ARGUMENT);

    tokens = SOMEWHERE;
    REFUSED(cm_refresh(NULL, "r", &tokens, &error), tokens, "client: it is NULL");
    tokens = SOMEWHERE;
    REFUSED(cm_refresh(client, NULL, &tokens, &error), tokens, "refresh_token: it is NULL");
    tokens = SOMEWHERE;
    REFUSED(cm_refresh(client, BAD_UTF8, &tokens, &error), tokens, "refresh_token: it is not UTF-8");
    REFUSED(cm_refresh(client, "r", NULL, &error), NULL, "tokens: ");
    CHECK(cm_refresh(client, NULL, NULL, NULL) == CM_STATUS_INVALID_ARGUMENT);

    REFUSED(cm_logout(NULL, "a", &error), NULL, "client: it is NULL");
    REFUSED(cm_logout(client, NULL, &error), NULL, "access_token: it is NULL");
    REFUSED(cm_logout(client, BAD_UTF8, &error), NULL, "access_token: it is not UTF-8");
    CHECK(cm_logout(client, NULL, NULL) == CM_STATUS_INVALID_ARGUMENT);

    cm_user *user = SOMEWHERE;
    REFUSED(cm_get_user(NULL, "a", &user, &error), user, "client: it is NULL");
    user = SOMEWHERE;
    REFUSED(cm_get_user(client, NULL, &user, &error), user, "access_token: it is NULL");
    user = SOMEWHERE;
    REFUSED(cm_get_user(client, BAD_UTF8, &user, &error), user, "access_token: it is not UTF-8");
    user = SOMEWHERE;
    REFUSED(cm_get_user(client, "", &user, &error), user, "access_token: it is empty");
    REFUSED(cm_get_user(client, "a", NULL, &error), NULL, "user: ");
    CHECK(cm_user_id(NULL) == NULL && cm_user_name(NULL) == NULL && cm_user_email(NULL) == NULL);

    REFUSED(cm_client_check_url(NULL, "http://127.0.0.1:1/x", &error), NULL, "client: it is NULL");
    const char *no_urls[] = {
        NULL, BAD_UTF8, "", "x", "https://example.com/", "http://127.0.0.1:2/", "http://a@127.0.0.1:1/"};
    for (size_t i = 0; i < sizeof no_urls / sizeof *no_urls; i++)
        REFUSED(cm_client_check_url(client, no_urls[i], &error), NULL, "url: ");
    CHECK(cm_client_check_url(client, NULL, NULL) == CM_STATUS_INVALID_ARGUMENT);
    CHECK(cm_client_check_url(client, "http://127.0.0.1:1/x", NULL) == CM_STATUS_OK);
}

static void login_functions(void) {
    cm_login *login = SOMEWHERE;
    cm_tokens *tokens = SOMEWHERE;
    REFUSED(cm_login_new(NULL, "https://example.com", &login, &error), login, "client: it is NULL");
    login = SOMEWHERE;
    REFUSED(cm_login_new(client, NULL, &login, &error), login, "redirect_uri: it is NULL");
    login = SOMEWHERE;
    REFUSED(cm_login_new(client, BAD_UTF8, &login, &error), login, "redirect_uri: it is not UTF-8");
    REFUSED(cm_login_new(client, "https://example.com", NULL, &error), NULL, "login: ");
    CHECK(cm_login_new(client, NULL, NULL, NULL) == CM_STATUS_INVALID_ARGUMENT);

    CHECK(cm_login_new(client, "https://example.com", &login, NULL) == CM_STATUS_OK && login);
    CHECK_CONTAINS(cm_login_url(login), "&state=");
    CHECK(cm_login_url(NULL) == NULL);
    CHECK(cm_login_is_redirect(NULL, "https://example.com/?code=a") == 0);
    CHECK(cm_login_is_redirect(login, NULL) == 0);
    CHECK(cm_login_is_redirect(login, BAD_UTF8) == 0);
    CHECK(cm_login_is_redirect(login, "https://example.com/?code=a") == 1);
    REFUSED(cm_login_finish(NULL, "?", &tokens, &error), tokens, "login: it is NULL");
    tokens = SOMEWHERE;
    REFUSED(cm_login_finish(login, NULL, &tokens, &error), tokens, "redirected_url: it is NULL");
    tokens = SOMEWHERE;
    REFUSED(cm_login_finish(login, BAD_UTF8, &tokens, &error), tokens, "redirected_url: it is not UTF-8");
    REFUSED(cm_login_finish(login, "?", NULL, &error), NULL, "tokens: ");
    CHECK(cm_login_finish(login, NULL, NULL, NULL) == CM_STATUS_INVALID_ARGUMENT);
    /* This login does not listen. */
    REFUSED(cm_login_wait(login, 1, &tokens, &error), tokens, "login: it does not listen");
    cm_login_cancel(login);
    cm_login_set_message(login, "text");
    CHECK_CONTAINS(cm_login_to_json(login), "\"state\"");
    cm_login_free(login);

    REFUSED(cm_login_listen(NULL, 0, &login, &error), login, "client: it is NULL");
    REFUSED(cm_login_listen(client, 0, NULL, &error), NULL, "login: ");
    for (int bad = -1; bad < 70000; bad += 65537) {
        login = SOMEWHERE;
        REFUSED(cm_login_listen(client, bad, &login, &error), login, "port: ");
    }
    REFUSED(cm_login_wait(NULL, 1, &tokens, &error), tokens, "login: it is NULL");
    cm_login_set_page(NULL, CM_PAGE_TEXT_TITLE, "text");
    CHECK(cm_open_browser(NULL, NULL) == CM_STATUS_INVALID_ARGUMENT);
    const struct {
        int32_t key;
        const char *text, *problem;
    } bad_texts[] = {
        {0, "text", "key: it is not a cm_page_text"},
        {6, "text", "key: it is not a cm_page_text"},
        {CM_PAGE_TEXT_TITLE, NULL, "text: it is NULL"},
        {CM_PAGE_TEXT_PRODUCT, BAD_UTF8, "text: it is not UTF-8"},
        {CM_PAGE_TEXT_LANGUAGE, "English", NULL},
        {CM_PAGE_TEXT_LANGUAGE, "en\"", "language: it is not a language tag"},
    };
    for (size_t i = 0; i < sizeof bad_texts / sizeof *bad_texts; i++) {
        CHECK(cm_login_listen(client, 0, &login, NULL) == CM_STATUS_OK);
        cm_login_set_page(login, bad_texts[i].key, bad_texts[i].text);
        cm_status status = cm_login_wait(login, 1, &tokens, &error);
        if (bad_texts[i].problem) {
            refused(status, tokens, bad_texts[i].problem);
        } else {
            CHECK(status == CM_STATUS_TIMEOUT);
            cm_error_free(error);
        }
        error = NULL;
        cm_login_free(login);
    }
    cm_login_cancel(NULL);
    cm_login_set_message(NULL, "text");
    CHECK(cm_login_to_json(NULL) == NULL);
    CHECK(cm_login_listen(client, 0, &login, NULL) == CM_STATUS_OK);
    cm_login_set_message(login, NULL);
    cm_login_set_message(login, BAD_UTF8);
    REFUSED(cm_login_wait(login, 0, &tokens, &error), tokens, "timeout_ms: ");
    REFUSED(cm_login_wait(login, -1, &tokens, &error), tokens, "timeout_ms: ");
    REFUSED(cm_login_wait(login, 1, NULL, &error), NULL, "tokens: ");
    CHECK(cm_login_wait(login, INT64_MAX, NULL, NULL) == CM_STATUS_INVALID_ARGUMENT);
    cm_login_free(login);

    const char *no_logins[] = {NULL, BAD_UTF8, "", "{}", "[]", "null"};
    for (size_t i = 0; i < sizeof no_logins / sizeof *no_logins; i++) {
        login = SOMEWHERE;
        REFUSED(cm_login_from_json(client, no_logins[i], &login, &error), login, "json: ");
    }
    REFUSED(cm_login_from_json(NULL, "{}", &login, &error), login, "client: it is NULL");
    REFUSED(cm_login_from_json(client, "{}", NULL, &error), NULL, "login: ");
}

static void tokens_functions(void) {
    cm_tokens *tokens = SOMEWHERE;
    CHECK(cm_tokens_access_token(NULL) == NULL);
    CHECK(cm_tokens_refresh_token(NULL) == NULL);
    CHECK(cm_tokens_token_type(NULL) == NULL);
    CHECK(cm_tokens_scope(NULL) == NULL);
    CHECK(cm_tokens_authorization(NULL) == NULL);
    CHECK(cm_tokens_expires_at(NULL) == CM_NONE);
    CHECK(cm_tokens_expires_in(NULL) == CM_NONE);
    CHECK(cm_tokens_to_json(NULL) == NULL);
    REFUSED(cm_tokens_from_json(NULL, &tokens, &error), tokens, "json: it is NULL");
    tokens = SOMEWHERE;
    REFUSED(cm_tokens_from_json(BAD_UTF8, &tokens, &error), tokens, "json: it is not UTF-8");
    tokens = SOMEWHERE;
    REFUSED(cm_tokens_from_json("{}", &tokens, &error), tokens, "\"access_token\" is missing");
    REFUSED(cm_tokens_from_json("{}", NULL, &error), NULL, "tokens: ");
    CHECK(cm_tokens_from_json(NULL, NULL, NULL) == CM_STATUS_INVALID_ARGUMENT);
}

static int32_t never(void *context, cm_store_reply *reply) {
    (void)context;
    (void)reply;
    CHECK(!"called");
    return 0;
}

/* Checks that opening a session reports this bad store. Frees it. */
static void refused_store(cm_store *store, const char *problem) {
    cm_session *session = SOMEWHERE;
    CHECK(store);
    cm_status status = cm_session_open(client, store, &session, &error);
    refused(status, session, problem);
    cm_store_free(store);
}

static void store_functions(void) {
    refused_store(cm_store_file(NULL), "path: it is NULL");
    refused_store(cm_store_file(BAD_UTF8), "path: it is not UTF-8");
    refused_store(cm_store_file(""), "path: it is empty");
    refused_store(cm_store_custom(NULL, NULL), "callbacks: it is NULL");
    cm_store_callbacks table = {0};
    refused_store(cm_store_custom(&table, NULL), "callbacks: its size");
    table.size = sizeof table - 2 * sizeof(void *);
    refused_store(cm_store_custom(&table, NULL), "callbacks: its size");
    table.size = sizeof table;
    refused_store(cm_store_custom(&table, NULL), "callbacks: load is NULL");
    table.load = never;
    refused_store(cm_store_custom(&table, NULL), "callbacks: save is NULL");
    table.unlock = never;
    refused_store(cm_store_custom(&table, NULL), "callbacks: save is NULL");
    cm_store_reply_set_record(NULL, "x");
    cm_store_reply_set_record(NULL, NULL);
    cm_store_reply_set_generation(NULL, 1);
    cm_store_reply_set_message(NULL, "x");
    cm_store_reply_set_message(NULL, NULL);
}

static void session_functions(void) {
    cm_session *session = SOMEWHERE;
    cm_store *store = cm_store_memory();
    cm_tokens *tokens = SOMEWHERE, *real = NULL;
    cm_health *health = SOMEWHERE;
    CHECK(cm_tokens_from_json("{\"access_token\":\"a\"}", &real, NULL) == CM_STATUS_OK);
    REFUSED(cm_session_open(NULL, store, &session, &error), session, "client: it is NULL");
    session = SOMEWHERE;
    REFUSED(cm_session_open(client, NULL, &session, &error), session, "store: it is NULL");
    REFUSED(cm_session_open(client, store, NULL, &error), NULL, "session: ");
    CHECK(cm_session_open(client, store, &session, NULL) == CM_STATUS_OK && session);
    cm_store_free(store);

    REFUSED(cm_session_start(NULL, real, &error), NULL, "session: it is NULL");
    REFUSED(cm_session_start(session, NULL, &error), NULL, "tokens: it is NULL");
    REFUSED(cm_session_tokens(NULL, &tokens, &error), tokens, "session: it is NULL");
    REFUSED(cm_session_tokens(session, NULL, &error), NULL, "tokens: ");
    tokens = SOMEWHERE;
    REFUSED(cm_session_rejected(NULL, real, &tokens, &error), tokens, "session: it is NULL");
    tokens = SOMEWHERE;
    REFUSED(cm_session_rejected(session, NULL, &tokens, &error), tokens, "rejected: it is NULL");
    REFUSED(cm_session_rejected(session, real, NULL, &error), NULL, "tokens: ");
    REFUSED(cm_session_logout(NULL, &error), NULL, "session: it is NULL");
    REFUSED(cm_session_forget(NULL, &error), NULL, "session: it is NULL");
    REFUSED(cm_session_rejected_token(NULL, "a", &tokens, &error), tokens, "session: it is NULL");
    REFUSED(cm_session_rejected_token(session, NULL, &tokens, &error), tokens, "access_token: it is NULL");
    REFUSED(cm_session_rejected_token(session, BAD_UTF8, &tokens, &error), tokens, "access_token: it is not UTF-8");
    REFUSED(cm_session_rejected_token(session, "a", NULL, &error), NULL, "tokens: ");
    tokens = SOMEWHERE;
    REFUSED(cm_session_tokens_for(NULL, 1, &tokens, &error), tokens, "session: it is NULL");
    const int64_t bad_seconds[] = {-1, INT64_MIN};
    for (size_t i = 0; i < sizeof bad_seconds / sizeof *bad_seconds; i++) {
        tokens = SOMEWHERE;
        REFUSED(cm_session_tokens_for(session, bad_seconds[i], &tokens, &error), tokens, "seconds: ");
    }
    REFUSED(cm_session_tokens_for(session, 1, NULL, &error), NULL, "tokens: ");
    tokens = SOMEWHERE;
    REFUSED(cm_session_hold(NULL, 1, &tokens, &error), tokens, "session: it is NULL");
    REFUSED(cm_session_hold(session, 1, NULL, &error), NULL, "tokens: ");
    const int64_t odd_times[] = {INT64_MIN, -1, 0, INT64_MAX};
    for (size_t i = 0; i < sizeof odd_times / sizeof *odd_times; i++) {
        /* Nobody is logged in. */
        CHECK(cm_session_hold(session, odd_times[i], &tokens, NULL) == CM_STATUS_LOGIN_REQUIRED && tokens == NULL);
        if (odd_times[i] >= 0)
            CHECK(cm_session_tokens_for(session, odd_times[i], &tokens, NULL) == CM_STATUS_LOGIN_REQUIRED);
    }
    cm_signed_url *signed_url = SOMEWHERE;
    REFUSED(cm_session_sign_url(NULL, "http://127.0.0.1:1/", &signed_url, &error), signed_url, "session: it is NULL");
    signed_url = SOMEWHERE;
    REFUSED(cm_session_sign_url(session, NULL, &signed_url, &error), signed_url, "url: it is NULL");
    signed_url = SOMEWHERE;
    REFUSED(cm_session_sign_url(session, BAD_UTF8, &signed_url, &error), signed_url, "url: it is not UTF-8");
    signed_url = SOMEWHERE;
    REFUSED(cm_session_sign_url(session, "https://example.com/", &signed_url, &error), signed_url, "url: ");
    REFUSED(cm_session_sign_url(session, "http://127.0.0.1:1/", NULL, &error), NULL, "signed_url: ");
    CHECK(cm_signed_url_url(NULL) == NULL && cm_signed_url_expires_at(NULL) == CM_NONE);
    CHECK(cm_health_held_until(NULL) == CM_NONE);
    CHECK(cm_health_kept_fresh(NULL) == 0);
    REFUSED(cm_session_with_tokens(NULL, never_used, NULL, &error), NULL, "session: it is NULL");
    REFUSED(cm_session_with_tokens(session, NULL, NULL, &error), NULL, "callback: it is NULL");
    CHECK(cm_session_tokens_at_hand(NULL) == NULL);
    CHECK(cm_session_next_action_ms(NULL) == CM_NONE);
    cm_session_keep_fresh(NULL, 1);
    cm_session_on_change(NULL, NULL, NULL, NULL);
    DESTROYED(cm_session_on_change(NULL, never_changed, SOMEWHERE, count));
    cm_session_on_change(session, NULL, SOMEWHERE, NULL);
    destroyed = 0;
    cm_session_on_change(session, NULL, SOMEWHERE, count);
    CHECK(destroyed == 0);
    DESTROYED(cm_session_on_change(session, never_changed, SOMEWHERE, count));
    DESTROYED(cm_session_on_change(session, NULL, NULL, NULL));
    CHECK(cm_session_start(session, real, NULL) == CM_STATUS_OK);

    CHECK(cm_session_health(NULL, &health) == CM_STATUS_INVALID_ARGUMENT && health == NULL);
    CHECK(cm_session_health(session, NULL) == CM_STATUS_INVALID_ARGUMENT);
    CHECK(cm_session_health(session, &health) == CM_STATUS_OK && cm_health_logged_in(health) == 1);
    CHECK(cm_health_next_refresh(health) == CM_NONE && cm_health_expires_at(health) == CM_NONE);
    cm_health_free(health);
    CHECK(cm_health_logged_in(NULL) == 0 && cm_health_saved(NULL) == 0 && cm_health_failures(NULL) == 0);
    CHECK(cm_health_kept_fresh(NULL) == 0 && cm_health_generation(NULL) == CM_NONE &&
          cm_health_last_error(NULL) == NULL);
    CHECK(cm_health_expires_at(NULL) == CM_NONE && cm_health_next_refresh(NULL) == CM_NONE);
    cm_tokens_free(real);
    cm_session_free(session);
}

static void error_functions(void) {
    CHECK(cm_error_status(NULL) == CM_STATUS_OK);
    CHECK(cm_error_advice(NULL) == CM_ADVICE_NONE);
    CHECK(strcmp(cm_error_message(NULL), "no error") == 0);
    CHECK(cm_error_http_status(NULL) == CM_NONE);
    CHECK(cm_error_oauth_error(NULL) == NULL);
    CHECK(cm_error_oauth_description(NULL) == NULL);
    CHECK(cm_error_retry_after(NULL) == CM_NONE);
}

static void log_functions(void) {
    cm_set_log(CM_LOG_LEVEL_DEBUG, NULL, NULL, NULL);
    DESTROYED(cm_set_log(-1, NULL, SOMEWHERE, count));
    destroyed = 0;
    cm_set_log(-1, to_nobody, SOMEWHERE, count);
    CHECK(destroyed == 0);
    DESTROYED(cm_set_log(2147483647, to_nobody, NULL, NULL));
    DESTROYED(cm_config_set_log(NULL, CM_LOG_LEVEL_DEBUG, to_nobody, SOMEWHERE, count));
    cm_config *config = settings();
    cm_config_set_log(config, -2147483647 - 1, NULL, NULL, NULL);
    destroyed = 0;
    cm_config_set_log(config, 2147483647, to_nobody, SOMEWHERE, count);
    CHECK(destroyed == 0);
    DESTROYED(cm_config_free(config));
    cm_set_log(2147483647, NULL, NULL, NULL);
}

static void cancel_functions(void) {
    cm_tokens *tokens = SOMEWHERE;
    cm_cancel_now(NULL);
    CHECK(cm_cancel_scope(NULL) == NULL);
    cm_cancel *cancel = cm_cancel_new();
    CHECK(cancel && cm_cancel_scope(cancel) == NULL);
    cm_cancel_now(cancel);
    CHECK(cm_refresh(client, "r", &tokens, NULL) == CM_STATUS_CANCELLED && tokens == NULL);
    CHECK(cm_cancel_scope(NULL) == cancel);
    cm_cancel_free(cancel);
    CHECK(cm_store_time_left_ms() == CM_NONE);
}

static void version_functions(void) {
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", CM_VERSION_MAJOR, CM_VERSION_MINOR, CM_VERSION_PATCH);
    CHECK(strcmp(cm_version(), version) == 0);
    CHECK(strcmp(cm_status_name(CM_STATUS_LOGIN_REQUIRED), "LOGIN_REQUIRED") == 0);
    CHECK(strcmp(cm_status_name(-1), "UNKNOWN") == 0);
    CHECK(strcmp(cm_status_name(12345), "UNKNOWN") == 0);
}

int main(void) {
    freeing_null();
    config_functions();
    client_functions();
    login_functions();
    tokens_functions();
    store_functions();
    session_functions();
    error_functions();
    log_functions();
    cancel_functions();
    version_functions();
    cm_client_free(client);
    return 0;
}

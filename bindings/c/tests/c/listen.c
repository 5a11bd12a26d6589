/* Logins whose redirect this machine receives, and logins that one client begins and another one finishes. The test
 * harness is the browser. */

#include <pthread.h>

#include "user.h"

static void *cancel(void *login) {
    cm_login_cancel(login);
    return NULL;
}

static void a_wait_ends_by_timeout_or_cancel(const cm_client *client) {
    cm_login *login = NULL;
    cm_tokens *tokens = NULL;
    pthread_t thread;
    OK(cm_login_listen(client, 0, &login, &error));
    FAILS(cm_login_wait(login, 1, &tokens, &error), CM_STATUS_TIMEOUT, CM_ADVICE_RETRY);
    CHECK(tokens == NULL);
    CHECK(pthread_create(&thread, NULL, cancel, login) == 0);
    FAILS(cm_login_wait(login, 60000, &tokens, &error), CM_STATUS_CANCELLED, CM_ADVICE_NONE);
    CHECK(pthread_join(thread, NULL) == 0);
    cm_login_free(login);

    /* The port is in use until the login is freed. */
    OK(cm_login_listen(client, 0, &login, &error));
    int port = atoi(strstr(cm_login_url(login), "127.0.0.1%3A") + strlen("127.0.0.1%3A"));
    cm_login *second = NULL;
    CHECK(cm_login_listen(client, port, &second, &error) == CM_STATUS_INVALID_ARGUMENT && second == NULL);
    CHECK_CONTAINS(cm_error_message(error), "is in use");
    cm_error_free(error);
    error = NULL;
    cm_login_free(login);
    OK(cm_login_listen(client, port, &second, &error));
    cm_login_free(second);
}

static void one_client_begins_and_another_finishes(const cm_client *client) {
    char redirected[4096];
    cm_login *shown = NULL, *login = NULL;
    cm_tokens *tokens = NULL;
    cm_config *config = cm_config_new_public(getenv("CMAUTH_CLIENT_ID"));
    cm_config_set_base_url(config, getenv("CMAUTH_BASE_URL"));
    cm_config_set_ca_file(config, getenv("CMAUTH_CA_FILE"));
    cm_client *workstation = NULL;
    OK(cm_client_new(config, &workstation, &error));
    cm_config_free(config);
    OK(cm_login_new(workstation, REDIRECT_URI, &shown, &error));
    user_opens(shown, redirected, sizeof redirected);
    FAILS(cm_login_finish(shown, redirected, &tokens, &error), CM_STATUS_INVALID_ARGUMENT, CM_ADVICE_FIX);
    const char *json = cm_login_to_json(shown);
    CHECK(json == cm_login_to_json(shown)); /* The JSON is made once. */
    CHECK(strstr(json, getenv("CMAUTH_CLIENT_SECRET")) == NULL);
    OK(cm_login_from_json(client, json, &login, &error));
    CHECK(strcmp(cm_login_url(login), cm_login_url(shown)) == 0);
    cm_login_free(shown);
    cm_client_free(workstation);
    CHECK(cm_login_is_redirect(login, redirected) == 1);
    OK(cm_login_finish(login, redirected, &tokens, &error));
    cm_tokens_free(tokens);
    cm_login_free(login);
}

int main(void) {
    cm_client *client = client_from_environment();
    a_wait_ends_by_timeout_or_cancel(client);
    one_client_begins_and_another_finishes(client);

    cm_login *login = NULL;
    cm_tokens *tokens = NULL;
    OK(cm_login_listen(client, 0, &login, &error));
    cm_client_free(client); /* The login keeps what it needs of it. */
    cm_login_set_message(login, "Done & dusted");
    printf("open %s\n", cm_login_url(login));
    fflush(stdout);
    OK(cm_login_wait(login, 60000, &tokens, &error));
    CHECK_CONTAINS(cm_tokens_access_token(tokens), ":10003");
    cm_tokens_free(tokens);
    FAILS(cm_login_wait(login, 60000, &tokens, &error), CM_STATUS_INVALID_ARGUMENT, CM_ADVICE_FIX);
    cm_login_free(login);
    return 0;
}

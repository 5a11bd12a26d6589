/* A session of a recorder, with its tokens in a file and a callback for changes.
 *
 * The API key comes from CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET, and the path of the file from CMAUTH_SESSION.
 * Without it, the session is in memory. CMAUTH_BASE_URL and CMAUTH_CA_FILE name a test server; without them, it is the
 * real one. */

#include <cmauth.h>
#include <stdio.h>
#include <stdlib.h>

static void reconnect_streams(void *context, cm_change change, int64_t generation) {
    (void)context;
    (void)generation;
    printf(change == CM_CHANGE_TOKENS ? "there are other tokens\n" : "the login has ended\n");
}

static int give_up(cm_error *error) {
    fprintf(stderr, "%s\n", cm_error_message(error));
    cm_error_free(error);
    return 1;
}

/* For a status page of the product. */
static void show_health(const cm_session *session) {
    cm_health *health = NULL;
    if (cm_session_health(session, &health))
        return;
    printf("logged in: %d, saved: %d, failures: %d\n", (int)cm_health_logged_in(health), (int)cm_health_saved(health),
           (int)cm_health_failures(health));
    if (cm_health_generation(health) != CM_NONE)
        printf("generation %lld\n", (long long)cm_health_generation(health));
    if (cm_health_expires_at(health) != CM_NONE)
        printf("expires at %lld\n", (long long)cm_health_expires_at(health));
    if (cm_health_next_refresh(health) != CM_NONE)
        printf("next refresh at %lld\n", (long long)cm_health_next_refresh(health));
    if (cm_health_last_error(health) != NULL)
        printf("last error: %s\n", cm_error_message(cm_health_last_error(health)));
    cm_health_free(health);
}

int main(void) {
    cm_client *client = NULL;
    cm_session *session = NULL;
    cm_tokens *tokens = NULL, *fresh = NULL;
    cm_error *error = NULL;
    cm_config *config = cm_config_new(getenv("CMAUTH_CLIENT_ID"), getenv("CMAUTH_CLIENT_SECRET"));
    if (getenv("CMAUTH_BASE_URL"))
        cm_config_set_base_url(config, getenv("CMAUTH_BASE_URL"));
    if (getenv("CMAUTH_CA_FILE"))
        cm_config_set_ca_file(config, getenv("CMAUTH_CA_FILE"));
    cm_status status = cm_client_new(config, &client, &error);
    cm_config_free(config);
    if (status)
        return give_up(error);

    /* If there is a file, the login of the last run is in it. */
    const char *file = getenv("CMAUTH_SESSION");
    cm_store *store = file ? cm_store_file(file) : cm_store_memory();
    status = cm_session_open(client, store, &session, &error);
    cm_store_free(store); /* The session keeps it alive. */
    if (status)
        return give_up(error);
    cm_session_on_change(session, reconnect_streams, NULL, NULL);

    /* Before each request to the API. If nobody is logged in, show the login page. */
    status = cm_session_tokens(session, &tokens, &error);
    if (status == CM_STATUS_LOGIN_REQUIRED) {
        char address[4096];
        cm_login *login = NULL;
        cm_error_free(error);
        if (cm_login_new(client, "https://example.com", &login, &error))
            return give_up(error);
        printf("open %s\n", cm_login_url(login));
        fflush(stdout);
        if (fgets(address, sizeof address, stdin) == NULL || cm_login_finish(login, address, &tokens, &error))
            return give_up(error);
        cm_login_free(login);
        if (cm_session_start(session, tokens, &error))
            return give_up(error);
    } else if (status) {
        /* The file is damaged, or belongs to another API key or server. */
        if (status == CM_STATUS_STORE && cm_error_advice(error) == CM_ADVICE_FIX)
            fprintf(stderr, "check %s; cm_session_forget clears it\n", file ? file : "the store");
        return give_up(error);
    }

    /* The API answered 401: get other tokens. One refresh serves all threads. */
    if (cm_session_rejected(session, tokens, &fresh, &error))
        return give_up(error);
    cm_tokens_free(tokens);
    cm_tokens_free(fresh);
    show_health(session);

    status = cm_session_logout(session, &error);
    if (status == CM_STATUS_OK) {
        printf("logged out\n");
    } else if (status == CM_STATUS_LOGIN_REQUIRED) {
        printf("was logged out already\n");
        cm_error_free(error);
    } else {
        fprintf(stderr, "the server could not be told: %s\n", cm_error_message(error));
        cm_error_free(error);
        if (cm_session_forget(session, &error)) /* Log out on this machine at least. */
            return give_up(error);
    }
    cm_session_free(session);
    cm_client_free(client);
    return 0;
}

/* A recorder that holds streams open for hours: it has the next tokens before the old ones end.
 *
 * The API key comes from CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET. CMAUTH_BASE_URL and CMAUTH_CA_FILE name a test
 * server; without them, it is the real one. */

#include <cmauth.h>
#include <stdio.h>
#include <stdlib.h>

struct recorder {
    cm_session *session;
};

/* Runs on the thread of cm_session_keep_fresh, or in a call of the session. A real recorder wakes its own thread here.
 */
static void reconnect_streams(void *context, cm_change change, int64_t generation) {
    const struct recorder *recorder = context;
    (void)generation;
    switch (change) {
    case CM_CHANGE_ENDED_HERE:
        printf("streams stop: we have logged out\n");
        break;
    case CM_CHANGE_ENDED_BY_SERVER:
    case CM_CHANGE_ENDED_ELSEWHERE:
        printf("streams stop: show the login page\n");
        break;
    default: {
        cm_tokens *tokens = cm_session_tokens_at_hand(recorder->session); /* Never blocks. */
        printf("streams continue with %s tokens\n", tokens ? "the new" : "no");
        cm_tokens_free(tokens);
    }
    }
}

/* A request with your HTTP library. Returns the HTTP status. */
static int get_cameras(const char *authorization) {
    return authorization != NULL ? 200 : 401;
}

/* Called with tokens, and after a 401 once more with others. */
static int32_t list_cameras(void *context, const cm_tokens *tokens) {
    int *http_status = context;
    *http_status = get_cameras(cm_tokens_authorization(tokens));
    return *http_status == 401 ? CM_ANSWER_REJECTED : CM_ANSWER_DONE;
}

static int give_up(cm_error *error) {
    fprintf(stderr, "%s\n", cm_error_message(error));
    cm_error_free(error);
    return 1;
}

int main(void) {
    struct recorder recorder = {NULL};
    char address[4096];
    cm_client *client = NULL;
    cm_login *login = NULL;
    cm_tokens *tokens = NULL;
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
    cm_store *store = cm_store_memory(); /* A recorder uses cm_store_file. */
    status = cm_session_open(client, store, &recorder.session, &error);
    cm_store_free(store);
    if (status)
        return give_up(error);

    cm_session_on_change(recorder.session, reconnect_streams, &recorder, NULL);
    cm_session_keep_fresh(recorder.session, 1);
    cm_health *health = NULL;
    if (cm_session_health(recorder.session, &health) == CM_STATUS_OK)
        printf("kept fresh: %d\n", (int)cm_health_kept_fresh(health));
    cm_health_free(health);

    if (cm_login_new(client, "https://example.com", &login, &error))
        return give_up(error);
    printf("open %s\n", cm_login_url(login));
    fflush(stdout);
    if (fgets(address, sizeof address, stdin) == NULL || cm_login_finish(login, address, &tokens, &error) ||
        cm_session_start(recorder.session, tokens, &error))
        return give_up(error);
    cm_login_free(login);

    int http_status = 0;
    if (cm_session_with_tokens(recorder.session, list_cameras, &http_status, &error))
        return give_up(error);
    printf("the list of cameras: HTTP %d\n", http_status);

    /* An event loop that does not use cm_session_keep_fresh sets a timer to this time, and then calls cm_session_tokens
     * on a worker thread. */
    int64_t next = cm_session_next_action_ms(recorder.session);
    if (next != CM_NONE)
        printf("the next refresh is in %lld minutes\n", (long long)(next / 60000));

    /* A middleware that has only the text of the token. */
    cm_tokens *others = NULL;
    if (cm_session_rejected_token(recorder.session, cm_tokens_access_token(tokens), &others, &error))
        return give_up(error);
    cm_tokens_free(others);
    cm_tokens_free(tokens);

    if (cm_session_logout(recorder.session, &error))
        return give_up(error);
    printf("logged out\n");
    cm_session_keep_fresh(recorder.session, 0);
    cm_session_on_change(recorder.session, NULL, NULL, NULL); /* `recorder` is not used any more. */
    cm_session_free(recorder.session);
    cm_client_free(client);
    return 0;
}

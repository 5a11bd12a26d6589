/* Exports a recording of an hour: with tokens that last for it, by a URL that has the token in its query.
 *
 * The API key comes from CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET. CMAUTH_BASE_URL and CMAUTH_CA_FILE name a test
 * server; without them, it is the real one. */

#include <cmauth.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int give_up(cm_error *error) {
    fprintf(stderr, "%s\n", cm_error_message(error));
    cm_error_free(error);
    return 1;
}

int main(void) {
    char address[4096], recording[4096];
    cm_client *client = NULL;
    cm_login *login = NULL;
    cm_session *session = NULL;
    cm_tokens *tokens = NULL, *held = NULL;
    cm_error *error = NULL;
    const char *server = getenv("CMAUTH_BASE_URL") ? getenv("CMAUTH_BASE_URL") : "https://rest.cameramanager.com";
    cm_config *config = cm_config_new(getenv("CMAUTH_CLIENT_ID"), getenv("CMAUTH_CLIENT_SECRET"));
    cm_config_set_base_url(config, server);
    if (getenv("CMAUTH_CA_FILE"))
        cm_config_set_ca_file(config, getenv("CMAUTH_CA_FILE"));
    /* Recordings come from another host, which may get the token. No other host may. */
    cm_config_allow_origin(config, "https://media.example");
    cm_status status = cm_client_new(config, &client, &error);
    cm_config_free(config);
    if (status)
        return give_up(error);

    cm_store *store = cm_store_memory(); /* A recorder uses cm_store_file. */
    status = cm_session_open(client, store, &session, &error);
    cm_store_free(store);
    if (status || cm_login_new(client, "https://example.com", &login, &error))
        return give_up(error);
    printf("open %s\n", cm_login_url(login));
    fflush(stdout);
    if (fgets(address, sizeof address, stdin) == NULL || cm_login_finish(login, address, &tokens, &error) ||
        cm_session_start(session, tokens, &error))
        return give_up(error);
    cm_login_free(login);
    cm_tokens_free(tokens);

    /* The API sent this URL. Check it before the token goes there. */
    snprintf(recording, sizeof recording, "%s/rest/v2.4/recordings/7?begin=2026-01-01T00:00:00%%2B0000", server);
    if (cm_client_check_url(client, "https://evil.example/recordings/7", &error) == CM_STATUS_INVALID_ARGUMENT)
        printf("refused: %s\n", cm_error_message(error));
    cm_error_free(error);
    if (cm_client_check_url(client, recording, &error))
        return give_up(error);

    /* The download takes an hour: tokens that last so long, and no refresh of this installation meanwhile. */
    if (cm_session_tokens_for(session, 3600, &tokens, &error) ||
        cm_session_hold(session, (int64_t)time(NULL) + 3600, &held, &error))
        return give_up(error);
    cm_tokens_free(tokens);
    cm_tokens_free(held);
    cm_health *health = NULL;
    if (cm_session_health(session, &health) == CM_STATUS_OK && cm_health_held_until(health) != CM_NONE)
        printf("no refresh for %" PRId64 " s\n", cm_health_held_until(health) - (int64_t)time(NULL));
    cm_health_free(health);

    cm_signed_url *signed_url = NULL;
    if (cm_session_sign_url(session, recording, &signed_url, &error))
        return give_up(error);
    const char *url = cm_signed_url_url(signed_url); /* For the player. Do not log it: it has the token. */
    printf("the URL is good for %" PRId64 " s%s\n", cm_signed_url_expires_at(signed_url) - (int64_t)time(NULL),
           url ? "" : " (none)");
    cm_signed_url_free(signed_url); /* Wipes it. */

    if (cm_session_logout(session, &error))
        return give_up(error);
    printf("logged out\n");
    cm_session_free(session);
    cm_client_free(client);
    return 0;
}

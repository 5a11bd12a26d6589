/* Exchanges a code, refreshes and logs out without a session, saves tokens as JSON, and prints the details of an error.
 *
 * The API key comes from CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET. CMAUTH_BASE_URL and CMAUTH_CA_FILE name a
 * test server; without them, it is the real one.
 */

#include <cmauth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Logs an error, and what the program should do about it. */
static int give_up(cm_error *error) {
    fprintf(stderr, "%s: %s\n", cm_status_name(cm_error_status(error)), cm_error_message(error));
    if (cm_error_http_status(error) != CM_NONE)
        fprintf(stderr, "  HTTP %d\n", (int)cm_error_http_status(error));
    if (cm_error_oauth_error(error) != NULL)
        fprintf(stderr, "  OAuth error %s: %s\n", cm_error_oauth_error(error),
                cm_error_oauth_description(error) ? cm_error_oauth_description(error) : "");
    switch (cm_error_advice(error)) {
    case CM_ADVICE_LOG_IN:
        fprintf(stderr, "  -> show the login page\n");
        break;
    case CM_ADVICE_REFRESH:
        fprintf(stderr, "  -> refresh, then make the call again\n");
        break;
    case CM_ADVICE_RETRY:
        fprintf(stderr, "  -> try again in %lld s\n",
                (long long)(cm_error_retry_after(error) < 0 ? 60 : cm_error_retry_after(error)));
        break;
    default:
        fprintf(stderr, "  -> ask somebody to correct it\n");
    }
    cm_error_free(error);
    return 1;
}

int main(void) {
    cm_client *client = NULL;
    cm_error *error = NULL;
    cm_tokens *tokens = NULL, *kept = NULL, *fresh = NULL;
    cm_login *login = NULL;
    cm_config *config = cm_config_new(getenv("CMAUTH_CLIENT_ID"), getenv("CMAUTH_CLIENT_SECRET"));
    if (getenv("CMAUTH_BASE_URL"))
        cm_config_set_base_url(config, getenv("CMAUTH_BASE_URL"));
    if (getenv("CMAUTH_CA_FILE"))
        cm_config_set_ca_file(config, getenv("CMAUTH_CA_FILE"));
    cm_status status = cm_client_new(config, &client, &error);
    cm_config_free(config);
    if (status)
        return give_up(error);

    /* This code is invalid. The error has the words of the server, but not the code. */
    if (cm_exchange_code(client, "NoCode", "https://example.com", &tokens, &error))
        give_up(error);

    /* A login in a browser inside the product. */
    char address[4096];
    if (cm_login_new(client, "https://example.com", &login, &error))
        return give_up(error);
    printf("open %s\n", cm_login_url(login));
    fflush(stdout);
    do {
        if (fgets(address, sizeof address, stdin) == NULL)
            return 1;
    } while (!cm_login_is_redirect(login, address)); /* Another page before the redirect. */
    if (cm_login_finish(login, address, &tokens, &error))
        return give_up(error);
    cm_login_free(login);
    printf("logged in: %s, scope %s\n", cm_tokens_token_type(tokens),
           cm_tokens_scope(tokens) ? cm_tokens_scope(tokens) : "unknown");
    if (cm_tokens_expires_at(tokens) != CM_NONE)
        printf("the access token ends at %lld\n", (long long)cm_tokens_expires_at(tokens));

    /* The program saves this JSON itself, and protects it like the tokens. */
    if (cm_tokens_from_json(cm_tokens_to_json(tokens), &kept, &error))
        return give_up(error);
    cm_tokens_free(tokens);

    int64_t left = cm_tokens_expires_in(kept); /* CM_NONE: it never ends. */
    if (left != CM_NONE && left < 50000 && cm_refresh(client, cm_tokens_refresh_token(kept), &fresh, &error))
        return give_up(error);
    cm_tokens_free(kept);
    if (cm_logout(client, cm_tokens_access_token(fresh), &error))
        return give_up(error);
    cm_tokens_free(fresh);
    cm_client_free(client);
    printf("logged out\n");
    return 0;
}

/* The CameraManager login in C: logs in, refreshes and logs out.
 *
 *     cc login.c -lcmauth -o login
 *     CMAUTH_CLIENT_ID=... CMAUTH_CLIENT_SECRET=... ./login
 *
 * Optional: CMAUTH_BASE_URL (default: the real server), CMAUTH_REDIRECT_URI (default: https://example.com),
 * CMAUTH_CA_FILE (a PEM file to trust in place of the system's certificates).
 */

#include <cmauth.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *from_environment(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

/* Prints only the first characters of a token, to recognize it. */
static void print_masked(const char *name, const char *token) {
    if (token)
        printf("  %s: %.4s... (%zu characters)\n", name, token, strlen(token));
    else
        printf("  %s: none\n", name);
}

static void print_tokens(const cm_tokens *tokens) {
    print_masked("access token", cm_tokens_access_token(tokens));
    print_masked("refresh token", cm_tokens_refresh_token(tokens));
    const char *scope = cm_tokens_scope(tokens);
    printf("  scope: %s, seconds left: %lld\n", scope ? scope : "unknown", (long long)cm_tokens_expires_in(tokens));
}

int main(void) {
    const char *client_id = from_environment("CMAUTH_CLIENT_ID", NULL);
    const char *client_secret = from_environment("CMAUTH_CLIENT_SECRET", NULL);
    if (!client_id || !client_secret) {
        fprintf(stderr, "Set CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET to your API key; you get one from\n"
                        "https://dealer.cameramanager.com\n");
        return 2;
    }

    cm_config *config = cm_config_new(client_id, client_secret);
    cm_client *client = NULL;
    cm_login *login = NULL;
    cm_tokens *tokens = NULL, *fresh = NULL;
    cm_error *error = NULL;
    char redirected[4096];
    int c, result = 1;

    const char *base_url = from_environment("CMAUTH_BASE_URL", NULL);
    const char *ca_file = from_environment("CMAUTH_CA_FILE", NULL);
    if (base_url)
        cm_config_set_base_url(config, base_url);
    if (ca_file)
        cm_config_set_ca_file(config, ca_file);
    if (cm_client_new(config, &client, &error))
        goto cleanup;

    const char *redirect_uri = from_environment("CMAUTH_REDIRECT_URI", "https://example.com");
    if (cm_login_new(client, redirect_uri, &login, &error))
        goto cleanup;
    printf("Open this page in a browser and log in:\n%s\n", cm_login_url(login));
    printf("Then paste the address that the browser comes back to:\n");
    fflush(stdout);
    if (!fgets(redirected, sizeof redirected, stdin)) {
        fprintf(stderr, "no address was given\n");
        goto cleanup;
    }

    if (cm_login_finish(login, redirected, &tokens, &error))
        goto cleanup;
    printf("Logged in.\n");
    print_tokens(tokens);

    if (cm_tokens_refresh_token(tokens)) {
        if (cm_refresh(client, cm_tokens_refresh_token(tokens), &fresh, &error))
            goto cleanup;
        cm_tokens_free(tokens);
        tokens = fresh;
        printf("Refreshed: the old access token has ended.\n");
        print_tokens(tokens);
    }

    printf("Press Enter to log out.\n");
    fflush(stdout);
    while ((c = getchar()) != '\n' && c != EOF)
        ;
    if (cm_logout(client, cm_tokens_access_token(tokens), &error))
        goto cleanup;
    printf("Logged out: both tokens have ended.\n");
    result = 0;

cleanup:
    if (error)
        fprintf(stderr, "%s: %s\n", cm_status_name(cm_error_status(error)), cm_error_message(error));
    cm_error_free(error);
    cm_tokens_free(tokens);
    cm_login_free(login);
    cm_client_free(client);
    cm_config_free(config);
    return result;
}

/* The story of a login in C, for the tests: story query|body. It prints the page to open, reads the URL of the
 * redirect, and prints what it did. */

#include <cmauth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cm_error *error;

static void must(int is_true, const char *what) {
    if (is_true)
        return;
    fprintf(stderr, "%s: %s\n", what, error ? cm_error_message(error) : "not so");
    exit(1);
}

int main(int argc, char **argv) {
    char redirect[4096];
    cm_client *client = NULL;
    cm_login *login = NULL;
    cm_tokens *tokens = NULL, *fresh = NULL;
    cm_user *user = NULL;
    cm_config *config = cm_config_new(getenv("CMAUTH_CLIENT_ID"), getenv("CMAUTH_CLIENT_SECRET"));
    cm_config_set_base_url(config, getenv("CMAUTH_BASE_URL"));
    cm_config_set_params_in_body(config, argc > 1 && strcmp(argv[1], "body") == 0);
    if (getenv("CMAUTH_CA_FILE"))
        cm_config_set_ca_file(config, getenv("CMAUTH_CA_FILE"));
    must(cm_client_new(config, &client, &error) == CM_STATUS_OK, "client");
    cm_config_free(config);
    must(cm_login_new(client, "https://example.com", &login, &error) == CM_STATUS_OK, "login");
    printf("%s\n", cm_login_url(login));
    fflush(stdout);
    must(fgets(redirect, sizeof redirect, stdin) != NULL, "input");
    must(cm_login_finish(login, redirect, &tokens, &error) == CM_STATUS_OK, "finish");
    must(cm_get_user(client, cm_tokens_access_token(tokens), &user, &error) == CM_STATUS_OK, "user");
    printf("logged in as %s\n", cm_user_name(user));
    must(cm_refresh(client, cm_tokens_refresh_token(tokens), &fresh, &error) == CM_STATUS_OK, "refresh");
    cm_user_free(user);
    must(cm_get_user(client, cm_tokens_access_token(tokens), &user, &error) == CM_STATUS_TOKEN_REJECTED, "old token");
    cm_error_free(error);
    error = NULL;
    printf("refreshed\n");
    must(cm_logout(client, cm_tokens_access_token(fresh), &error) == CM_STATUS_OK, "logout");
    must(cm_logout(client, cm_tokens_access_token(fresh), &error) == CM_STATUS_TOKEN_REJECTED, "second logout");
    cm_error_free(error);
    printf("logged out\n");
    cm_tokens_free(tokens);
    cm_tokens_free(fresh);
    cm_login_free(login);
    cm_client_free(client);
    return 0;
}

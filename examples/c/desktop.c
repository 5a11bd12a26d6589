/* Two logins. In the first, a desktop program receives the redirect on a port of its machine. In the second, a
 * workstation without the secret of the API key shows the login page, and a recorder with the secret finishes the
 * login.
 *
 * With the argument --open, it opens the browser itself. The API key comes from CMAUTH_CLIENT_ID and
 * CMAUTH_CLIENT_SECRET. CMAUTH_BASE_URL and CMAUTH_CA_FILE name a test server; without them, it is the real one.
 */

#include <cmauth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cm_client *client_from(cm_config *config) {
    cm_client *client = NULL;
    cm_error *error = NULL;
    if (getenv("CMAUTH_BASE_URL"))
        cm_config_set_base_url(config, getenv("CMAUTH_BASE_URL"));
    if (getenv("CMAUTH_CA_FILE"))
        cm_config_set_ca_file(config, getenv("CMAUTH_CA_FILE"));
    if (cm_client_new(config, &client, &error))
        fprintf(stderr, "%s\n", cm_error_message(error));
    cm_error_free(error);
    cm_config_free(config);
    return client;
}

/* During cm_login_wait, another thread may call cm_login_cancel(login), for example for a "Cancel" button. */
static cm_tokens *log_in_here(const cm_client *client, int opens_browser) {
    cm_login *login = NULL;
    cm_tokens *tokens = NULL;
    cm_error *error = NULL;
    if (cm_login_listen(client, 0, &login, &error) == CM_STATUS_OK) {
        cm_login_set_message(login, "The recorder is connected.\nYou can close this page.");
        cm_login_set_page(login, CM_PAGE_TEXT_PRODUCT, "Recorder 7");
        printf("open %s\n", cm_login_url(login));
        fflush(stdout);
        if (opens_browser && cm_open_browser(cm_login_url(login), NULL))
            printf("(no browser could be opened: copy the address)\n");
        if (cm_login_wait(login, 5 * 60 * 1000, &tokens, &error) == CM_STATUS_TIMEOUT)
            cm_login_cancel(login); /* The browser did not return. */
    }
    if (error != NULL)
        fprintf(stderr, "%s\n", cm_error_message(error));
    cm_error_free(error);
    cm_login_free(login);
    return tokens;
}

static cm_tokens *log_in_from_workstation(const cm_client *workstation, const cm_client *recorder) {
    cm_login *shown = NULL, *login = NULL;
    cm_tokens *tokens = NULL;
    cm_error *error = NULL;
    char redirected[4096];
    if (cm_login_new(workstation, "https://example.com", &shown, &error) == CM_STATUS_OK) {
        printf("open %s\n", cm_login_url(shown));
        fflush(stdout);
        /* The workstation sends both texts to the recorder, over a connection that protects passwords. */
        if (fgets(redirected, sizeof redirected, stdin) != NULL &&
            cm_login_from_json(recorder, cm_login_to_json(shown), &login, &error) == CM_STATUS_OK)
            (void)!cm_login_finish(login, redirected, &tokens, &error);
    }
    if (error != NULL)
        fprintf(stderr, "%s\n", cm_error_message(error));
    cm_error_free(error);
    cm_login_free(shown);
    cm_login_free(login);
    return tokens;
}

int main(int argc, char **argv) {
    cm_client *recorder = client_from(cm_config_new(getenv("CMAUTH_CLIENT_ID"), getenv("CMAUTH_CLIENT_SECRET")));
    cm_client *workstation = client_from(cm_config_new_public(getenv("CMAUTH_CLIENT_ID")));
    if (recorder == NULL || workstation == NULL)
        return 1;
    cm_tokens *here = log_in_here(recorder, argc > 1 && strcmp(argv[1], "--open") == 0);
    cm_tokens *there = log_in_from_workstation(workstation, recorder);
    int both = here != NULL && there != NULL;
    if (both)
        printf("logged in twice\n");
    cm_tokens_free(here);
    cm_tokens_free(there);
    cm_client_free(workstation);
    cm_client_free(recorder);
    return both ? 0 : 1;
}

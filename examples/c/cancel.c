/* Ends one call and not the client: from a signal handler, here for Ctrl-C, or from the thread of a Cancel button.
 *
 * The login waits for a browser. Start the program, and press Ctrl-C. */

#include <cmauth.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static cm_cancel *cancel;

/* cm_cancel_now is the only function that a signal handler may call. A button of a dialog calls it, too. */
static void on_signal(int number) {
    (void)number;
    cm_cancel_now(cancel);
}

int main(void) {
    cm_client *client = NULL;
    cm_login *login = NULL;
    cm_tokens *tokens = NULL;
    cm_error *error = NULL;
    cm_config *config = cm_config_new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
    cm_status status = cm_client_new(config, &client, &error);
    cm_config_free(config);
    if (status == CM_STATUS_OK)
        status = cm_login_listen(client, 0, &login, &error);
    if (status == CM_STATUS_OK) {
        cancel = cm_cancel_new();
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        sigaction(SIGINT, &action, NULL);

        printf("waiting for the browser; Ctrl-C ends it\n");
        fflush(stdout);
        cm_cancel_scope(cancel); /* From here on, the calls of this thread end when `cancel` is cancelled. */
        status = cm_login_wait(login, 5 * 60 * 1000, &tokens, &error);
        cm_cancel_scope(NULL);

        signal(SIGINT, SIG_DFL); /* Before `cancel` is freed. */
        cm_cancel_free(cancel);
    }
    if (status == CM_STATUS_CANCELLED)
        printf("cancelled; the client still works\n");
    else if (status != CM_STATUS_OK)
        fprintf(stderr, "%s\n", cm_error_message(error));
    cm_error_free(error);
    cm_tokens_free(tokens);
    cm_login_free(login);
    cm_client_free(client);
    return status == CM_STATUS_OK || status == CM_STATUS_CANCELLED ? 0 : 1;
}

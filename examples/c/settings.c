/* Uses every setting of a client and the log, and cancels a client. Sends nothing. */

#include <cmauth.h>
#include <stdio.h>

static void to_our_log(void *context, cm_log_level level, const char *line) {
    fprintf(context, "%d %s\n", (int)level, line);
}

int main(void) {
    printf("libcmauth %s, compiled against %d.%d.%d\n", cm_version(), CM_VERSION_MAJOR, CM_VERSION_MINOR,
           CM_VERSION_PATCH);
    cm_set_log(CM_LOG_LEVEL_INFO, to_our_log, stderr, NULL);

    cm_config *config = cm_config_new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
    cm_config_set_base_url(config, "http://127.0.0.1:1"); /* A test server. Without this line: the real one. */
    cm_config_set_scope(config, "read");
    cm_config_set_timeout_ms(config, 20000);
    cm_config_set_connect_timeout_ms(config, 5000);
    cm_config_set_proxy(config, ""); /* No proxy, also if the environment names one. */
    cm_config_set_user_agent(config, "Recorder/4.2");
    cm_config_set_max_retries(config, 1);
    cm_config_set_params_in_body(config, 1);
    /* Certificates of a private network: beside those of the system, or in their place. */
    const char *site_ca = NULL, *only_ca = NULL;
    if (site_ca)
        cm_config_add_ca_file(config, site_ca);
    if (only_ca)
        cm_config_set_ca_file(config, only_ca);

    /* The log of this client only. A plugin uses this, so that it does not take the log from other plugins. */
    cm_config_set_log(config, CM_LOG_LEVEL_WARN, to_our_log, stdout, NULL);

    cm_client *client = NULL;
    cm_error *error = NULL;
    cm_status status = cm_client_new(config, &client, &error); /* Reports a bad setting by its name. */
    cm_config_free(config);                                    /* The client has a copy. */
    if (status != CM_STATUS_OK) {
        fprintf(stderr, "%s\n", cm_error_message(error));
        cm_error_free(error);
        return 1;
    }

    cm_client_cancel(client); /* Ends calls in progress within 100 ms, and later calls at once. */
    cm_tokens *tokens = NULL;
    status = cm_refresh(client, "a refresh token", &tokens, NULL);
    printf("after cancel: %s\n", cm_status_name(status));
    cm_client_free(client);
    cm_set_log(CM_LOG_LEVEL_OFF, NULL, NULL, NULL);
    return status == CM_STATUS_CANCELLED ? 0 : 1;
}

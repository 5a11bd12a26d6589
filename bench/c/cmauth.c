/* The peer libcmauth. All threads use one client. */

#include <cmauth.h>

#include "bench.h"

static void give_up(cm_error *error) {
    fprintf(stderr, "%s\n", cm_error_message(error));
    exit(1);
}

static void *peer_open(const char *url, const char *ca_file) {
    cm_client *client = NULL;
    cm_error *error = NULL;
    cm_config *config = cm_config_new(CLIENT_ID, CLIENT_SECRET);
    cm_config_set_base_url(config, url);
    if (*ca_file)
        cm_config_set_ca_file(config, ca_file);
    cm_config_set_proxy(config, "");
    if (cm_client_new(config, &client, &error))
        give_up(error);
    cm_config_free(config);
    return client;
}

static void peer_close(void *peer) {
    cm_client_free(peer);
}
static void *peer_thread(void *peer) {
    return peer;
}
static void peer_thread_end(void *thread) {
    (void)thread;
}

static void peer_call(void *thread) {
    cm_tokens *tokens = NULL;
    cm_error *error = NULL;
    if (cm_refresh(thread, refresh_token(), &tokens, &error))
        give_up(error);
    if (cm_tokens_expires_in(tokens) <= 0 || strlen(cm_tokens_access_token(tokens)) != 42)
        exit(1);
    cm_tokens_free(tokens);
}

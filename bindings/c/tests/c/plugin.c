/* A plugin of a host: it logs with a callback of its own, and can be unloaded. Built as a shared library. */

#include <pthread.h>

#include "user.h"

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int lines, destroyed;
static cm_client *client;

static void count(void *context, cm_log_level level, const char *line) {
    (void)context;
    (void)level;
    (void)line;
    pthread_mutex_lock(&guard);
    lines++;
    pthread_mutex_unlock(&guard);
}

static void destroy(void *context) {
    (void)context;
    pthread_mutex_lock(&guard);
    destroyed = 1;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&guard);
}

/* Makes a call that fails. Returns how many lines the plugin has logged. */
int plugin_run(void) {
    cm_tokens *none = NULL;
    cm_config *config = cm_config_new("id", "secret");
    cm_config_set_base_url(config, "http://127.0.0.1:1");
    cm_config_set_proxy(config, "");
    cm_config_set_max_retries(config, 0);
    cm_config_set_log(config, CM_LOG_LEVEL_ERROR, count, NULL, destroy);
    OK(cm_client_new(config, &client, &error));
    cm_config_free(config);
    CHECK(cm_refresh(client, "r", &none, NULL) == CM_STATUS_NETWORK);
    return lines;
}

/* After this, the plugin can be unloaded. */
void plugin_stop(void) {
    cm_client_free(client);
    pthread_mutex_lock(&guard);
    while (!destroyed)
        pthread_cond_wait(&changed, &guard);
    pthread_mutex_unlock(&guard);
}

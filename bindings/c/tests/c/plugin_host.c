/* Loads a plugin that uses the library, and unloads it. The library stays loaded, and the host's own log goes on. */

#include <dlfcn.h>

#include "user.h"

static int lines;

static void count(void *context, cm_log_level level, const char *line) {
    (void)context;
    (void)level;
    (void)line;
    lines++;
}

static void fail(void) {
    cm_client *client = NULL;
    cm_tokens *none = NULL;
    cm_config *config = cm_config_new("id", "secret");
    cm_config_set_base_url(config, "http://127.0.0.1:1");
    cm_config_set_proxy(config, "");
    cm_config_set_max_retries(config, 0);
    OK(cm_client_new(config, &client, &error));
    cm_config_free(config);
    CHECK(cm_refresh(client, "r", &none, NULL) == CM_STATUS_NETWORK);
    cm_client_free(client);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    cm_set_log(CM_LOG_LEVEL_ERROR, count, NULL, NULL);
    fail();
    CHECK(lines == 1);
    for (int i = 0; i < 20; i++) {
        void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (plugin == NULL)
            fprintf(stderr, "%s\n", dlerror());
        CHECK(plugin != NULL);
        int (*run)(void);
        void (*stop)(void);
        *(void **)&run = dlsym(plugin, "plugin_run");
        *(void **)&stop = dlsym(plugin, "plugin_stop");
        CHECK(run() == 1);
        CHECK(lines == 1 + i);
        stop();
        CHECK(dlclose(plugin) == 0);
        CHECK(dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) == NULL);
        fail();
    }
    CHECK(lines == 21);
    cm_set_log(CM_LOG_LEVEL_OFF, NULL, NULL, NULL);
    return 0;
}

/* Measures the fast path of a session, and the memory of many sessions.
 *
 *     session fast CALLS THREADS    calls cm_session_tokens CALLS times in each thread
 *     session many SESSIONS         opens sessions of one client, each with its own tokens
 *
 * It prints one line of JSON. */

#include <cmauth.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "measure.h"

#define JSON                                                                                                           \
    "{\"access_token\":\"7c9e6679-7425-40de-944b-e07fc1f90ae7:%05d\",\"refresh_token\":\"0f8fad5b-d9cb-469f-a165-"     \
    "70867728950e:10003\",\"token_type\":\"bearer\",\"scope\":\"write\",\"expires_at\":%lld}"

static cm_session *session;
static long calls;

static void check(cm_status status, cm_error *error) {
    if (status != CM_STATUS_OK) {
        fprintf(stderr, "%s\n", cm_error_message(error));
        exit(1);
    }
}

static void *ask(void *nothing) {
    for (long i = 0; i < calls; i++) {
        cm_tokens *tokens = NULL;
        cm_error *error = NULL;
        check(cm_session_tokens(session, &tokens, &error), error);
        if (cm_tokens_access_token(tokens)[0] != '7')
            exit(1);
        cm_tokens_free(tokens);
    }
    return nothing;
}

static cm_session *started(const cm_client *client, int number) {
    char json[512];
    cm_session *made = NULL;
    cm_tokens *tokens = NULL;
    cm_error *error = NULL;
    cm_store *store = cm_store_memory();
    snprintf(json, sizeof json, JSON, number, (long long)time(NULL) + 40000);
    check(cm_tokens_from_json(json, &tokens, &error), error);
    check(cm_session_open(client, store, &made, &error), error);
    check(cm_session_start(made, tokens, &error), error);
    cm_tokens_free(tokens);
    cm_store_free(store);
    return made;
}

int main(int argc, char **argv) {
    cm_client *client = NULL;
    cm_error *error = NULL;
    cm_config *config = cm_config_new("id", "secret");
    cm_config_set_base_url(config, "http://127.0.0.1:1");
    check(cm_client_new(config, &client, &error), error);
    cm_config_free(config);
    if (argc == 4 && strcmp(argv[1], "fast") == 0) {
        int threads = atoi(argv[3]);
        pthread_t ids[256];
        calls = atol(argv[2]);
        session = started(client, 1);
        double begun = now(), used = cpu();
        for (int i = 0; i < threads; i++)
            pthread_create(&ids[i], NULL, ask, NULL);
        for (int i = 0; i < threads; i++)
            pthread_join(ids[i], NULL);
        double all = (double)calls * threads;
        printf("{\"ns\": %.1f, \"cpu_ns\": %.1f}\n", (now() - begun) * 1e9 / all, (cpu() - used) * 1e9 / all);
        cm_session_free(session);
    } else if (argc == 3 && strcmp(argv[1], "many") == 0) {
        int sessions = atoi(argv[2]);
        cm_session **all = calloc((size_t)sessions, sizeof *all);
        long before = private_kb();
        for (int i = 0; i < sessions; i++)
            all[i] = started(client, i);
        printf("{\"bytes_each\": %.0f}\n", (double)(private_kb() - before) * 1024 / sessions);
        for (int i = 0; i < sessions; i++)
            cm_session_free(all[i]);
        free(all);
    } else {
        return 2;
    }
    cm_client_free(client);
    return 0;
}

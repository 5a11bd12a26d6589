/* The main function of the C peers, which runs and measures them. Each peer defines the functions peer_… below.
 *
 *     peer URL CA_FILE CALLS THREADS
 *
 * Each of THREADS threads makes one refresh that is not counted; then all of them make CALLS refreshes. The program
 * prints their cost as one line of JSON. */

#ifndef BENCH_H
#define BENCH_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"

#define CLIENT_ID "cameramanager.test"
#define CLIENT_SECRET "qwertyuiopasdfghjklzxcvbnm12345"

/* nginx accepts any refresh token; the sandbox accepts only its own. */
static const char *refresh_token(void) {
    const char *given = getenv("BENCH_REFRESH_TOKEN");
    return given ? given : "0f8fad5b-d9cb-469f-a165-70867728950e:10003";
}

/* Called once for the process. */
static void *peer_open(const char *url, const char *ca_file);
static void peer_close(void *peer);
/* Called once for each thread. */
static void *peer_thread(void *peer);
static void peer_thread_end(void *thread);
/* Makes one refresh and reads the access token. Ends the program after a failure. */
static void peer_call(void *thread);

struct work {
    void *peer;
    long calls;
    float *took;
    pthread_barrier_t *ready, *go;
};

static void *run(void *argument) {
    struct work *work = argument;
    void *thread = peer_thread(work->peer);
    peer_call(thread);
    pthread_barrier_wait(work->ready);
    pthread_barrier_wait(work->go);
    for (long i = 0; i < work->calls; i++) {
        double begun = now();
        peer_call(thread);
        work->took[i] = (float)(now() - begun);
    }
    peer_thread_end(thread);
    return NULL;
}

static int shorter(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 5)
        return 2;
    long calls = atol(argv[3]), threads = atol(argv[4]);
    double opening = now();
    void *peer = peer_open(argv[1], argv[2]);
    void *first = peer_thread(peer);
    double opened = now();
    peer_call(first);
    double called = now();
    peer_thread_end(first);
    long one_client = private_kb();

    pthread_barrier_t ready, go;
    pthread_barrier_init(&ready, NULL, (unsigned)threads + 1);
    pthread_barrier_init(&go, NULL, (unsigned)threads + 1);
    pthread_t *ids = calloc((size_t)threads, sizeof *ids);
    struct work *works = calloc((size_t)threads, sizeof *works);
    float *took = calloc((size_t)(calls + threads), sizeof *took);
    long each = calls / threads;
    for (long i = 0; i < threads; i++) {
        works[i] = (struct work){peer, each, took + i * each, &ready, &go};
        pthread_create(&ids[i], NULL, run, &works[i]);
    }
    pthread_barrier_wait(&ready);
    double used = cpu(), begun = now();
    pthread_barrier_wait(&go);
    for (long i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    double wall = now() - begun;
    used = cpu() - used;
    calls = each * threads;
    qsort(took, (size_t)calls, sizeof *took, shorter);
    printf("{\"calls\": %ld, \"wall\": %.6f, \"cpu\": %.6f, \"latency\": %.7f, \"latency_99\": %.7f, \"open\": %.6f, "
           "\"first_call\": %.6f, \"private_kb\": %ld, \"private_kb_end\": %ld}\n",
           calls, wall, used, calls ? took[calls / 2] : 0, calls ? took[calls * 99 / 100] : 0, opened - opening,
           called - opened, one_client, private_kb());
    free(took);
    free(works);
    free(ids);
    peer_close(peer);
    return 0;
}

#endif

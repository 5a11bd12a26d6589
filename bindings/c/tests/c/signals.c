/* Calls continue if a timer signal interrupts them every millisecond. A connection that the server resets does not end
 * the process by SIGPIPE, which has its default action here. The library installs no signal handler. */

#include <signal.h>
#include <sys/time.h>

#include "user.h"

#define CALLS 200

static volatile sig_atomic_t ticks;

static void tick(int signal) {
    (void)signal;
    ticks++;
}

/* What the process was started with: a shell ignores SIGINT in a background job, and AddressSanitizer has handlers. */
static struct sigaction inherited[32];

static void no_handler_but_ours(void) {
    for (int signal = 1; signal < 32; signal++) {
        struct sigaction action;
        if (sigaction(signal, NULL, &action) == 0 && signal != SIGALRM && signal != SIGPIPE)
            CHECK(action.sa_handler == inherited[signal].sa_handler);
    }
    struct sigaction pipe;
    CHECK(sigaction(SIGPIPE, NULL, &pipe) == 0 && pipe.sa_handler == SIG_DFL);
}

int main(void) {
    for (int signal = 1; signal < 32; signal++)
        sigaction(signal, NULL, &inherited[signal]);
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = tick; /* Without SA_RESTART: every blocking call ends with EINTR. */
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);

    cm_client *client = client_from_environment();
    cm_tokens *tokens = log_in(client), *fresh = NULL;
    no_handler_but_ours();

    struct itimerval timer = {{0, 1000}, {0, 1000}};
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    for (int i = 0; i < CALLS; i++) {
        OK(cm_refresh(client, cm_tokens_refresh_token(tokens), &fresh, &error));
        cm_tokens_free(fresh);
        /* A new client opens a new connection while signals arrive. */
        if (i % 20 == 0) {
            cm_client_free(client);
            client = client_from_environment();
        }
    }
    struct itimerval off = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_REAL, &off, NULL) == 0);
    CHECK(ticks > 10);
    no_handler_but_ours();

    cm_tokens_free(tokens);
    cm_client_free(client);
    return 0;
}

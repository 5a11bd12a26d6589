/* The log callback receives one line for each event of its level, without secrets, and nothing when the log is off. */

#include <pthread.h>

#include "user.h"

struct lines {
    pthread_mutex_t lock;
    char text[65536];
    int count;
};

static void collect(void *context, cm_log_level level, const char *line) {
    struct lines *lines = context;
    CHECK(level >= CM_LOG_LEVEL_ERROR && level <= CM_LOG_LEVEL_DEBUG);
    CHECK(strchr(line, '\n') == NULL);
    pthread_mutex_lock(&lines->lock);
    CHECK(strlen(lines->text) + strlen(line) + 2 < sizeof lines->text);
    strcat(strcat(lines->text, line), "\n");
    lines->count++;
    pthread_mutex_unlock(&lines->lock);
}

static void no_secret(const struct lines *lines, const char *secret) {
    char piece[9] = {0};
    memcpy(piece, secret, 8);
    if (strstr(lines->text, piece)) {
        fprintf(stderr, "%s is in:\n%s", piece, lines->text);
        exit(1);
    }
}

int main(void) {
    static struct lines lines = {PTHREAD_MUTEX_INITIALIZER, "", 0};
    cm_client *client = client_from_environment();
    cm_tokens *fresh = NULL, *none = NULL;

    cm_set_log(CM_LOG_LEVEL_DEBUG, collect, &lines, NULL);
    cm_tokens *tokens = log_in(client);
    CHECK_CONTAINS(lines.text, "/oauth/token\n");
    CHECK_CONTAINS(lines.text, "/oauth/token: HTTP 200 in ");
    CHECK_CONTAINS(lines.text, "exchange_code: done\n");
    OK(cm_refresh(client, cm_tokens_refresh_token(tokens), &fresh, &error));
    CHECK_CONTAINS(lines.text, "refresh: done\n");
    FAILS(cm_refresh(client, "nobody's token", &none, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    CHECK_CONTAINS(lines.text, "refresh: LOGIN_REQUIRED: the refresh token is no longer valid (HTTP 400 invalid_grant: "
                               "Invalid refresh token: [redacted])");
    OK(cm_logout(client, cm_tokens_access_token(fresh), &error));
    CHECK_CONTAINS(lines.text, "logout: done\n");

    no_secret(&lines, getenv("CMAUTH_CLIENT_SECRET"));
    no_secret(&lines, cm_tokens_access_token(tokens));
    no_secret(&lines, cm_tokens_access_token(fresh));
    no_secret(&lines, cm_tokens_refresh_token(tokens));
    no_secret(&lines, "nobody's token");

    /* At the level ERROR, a failure is logged and a success is not. */
    memset(lines.text, 0, sizeof lines.text);
    lines.count = 0;
    cm_set_log(CM_LOG_LEVEL_ERROR, collect, &lines, NULL);
    cm_tokens_free(tokens);
    tokens = log_in(client);
    CHECK(lines.count == 0);
    FAILS(cm_refresh(client, "nobody's token", &none, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    CHECK(lines.count == 1);

    cm_set_log(CM_LOG_LEVEL_OFF, collect, &lines, NULL);
    FAILS(cm_refresh(client, "nobody's token", &none, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    cm_set_log(CM_LOG_LEVEL_DEBUG, NULL, NULL, NULL);
    FAILS(cm_refresh(client, "nobody's token", &none, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    CHECK(lines.count == 1);

    cm_tokens_free(tokens);
    cm_tokens_free(fresh);
    cm_client_free(client);
    return 0;
}

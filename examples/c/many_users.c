/* A backend whose users log in with a browser: one session for each user, however many browsers the user has. With one
 * for each browser, each refresh would end the tokens of the other. The sessions are files in a folder; a backend on
 * several machines uses redis_store.c.
 *
 *     many_users FOLDER
 *
 * The API key comes from CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET. CMAUTH_BASE_URL and CMAUTH_CA_FILE name a test
 * server; without them, it is the real one. */

#include <cmauth.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN 2 /* So many sessions stay open. A backend chooses a larger number. */

struct open_session {
    char user[65];
    cm_session *session;
};

/* The one that was used last is the first. A backend with threads protects it with a mutex. */
static struct open_session sessions[OPEN];
static cm_client *client;
static const char *folder;

static int give_up(cm_error *error) {
    fprintf(stderr, "%s\n", cm_error_message(error));
    cm_error_free(error);
    exit(1);
}

/* A name of a file, from an ID that somebody else chose. */
static int is_plain(const char *user) {
    for (const char *c = user; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_')
            return 0;
    return *user && strlen(user) < sizeof sessions[0].user;
}

/* The session of a user. It is opened if necessary, and the one that was not used for the longest time is closed. */
static cm_session *session_of(const char *user) {
    struct open_session found = {"", NULL};
    int place = 0;
    while (place < OPEN - 1 && strcmp(sessions[place].user, user) != 0)
        place++;
    if (strcmp(sessions[place].user, user) == 0) {
        found = sessions[place];
    } else {
        char path[4096];
        cm_error *error = NULL;
        cm_session_free(sessions[place].session); /* Its tokens stay in the file. */
        snprintf(found.user, sizeof found.user, "%s", user);
        snprintf(path, sizeof path, "%s/%s", folder, user);
        cm_store *store = cm_store_file(path);
        if (cm_session_open(client, store, &found.session, &error))
            give_up(error);
        cm_store_free(store);
    }
    memmove(sessions + 1, sessions, (size_t)place * sizeof *sessions);
    sessions[0] = found;
    return found.session;
}

/* The redirect of a browser has come back. Gives the ID of the user, for the cookie of the browser. */
static void log_in(const char *redirected_url, cm_login *login, char user[65]) {
    cm_tokens *tokens = NULL;
    cm_user *who = NULL;
    cm_error *error = NULL;
    if (cm_login_finish(login, redirected_url, &tokens, &error) ||
        cm_get_user(client, cm_tokens_access_token(tokens), &who, &error))
        give_up(error);
    if (!is_plain(cm_user_id(who)))
        exit(1);
    snprintf(user, 65, "%s", cm_user_id(who));
    printf("user %s: %s, %s\n", user, cm_user_name(who) ? cm_user_name(who) : "no name",
           cm_user_email(who) ? cm_user_email(who) : "no address");
    if (cm_session_start(session_of(user), tokens, &error))
        give_up(error);
    cm_user_free(who);
    cm_tokens_free(tokens);
}

int main(int argc, char **argv) {
    char address[4096], user[2][65];
    cm_error *error = NULL;
    if (argc != 2)
        return 2;
    folder = argv[1];
    cm_config *config = cm_config_new(getenv("CMAUTH_CLIENT_ID"), getenv("CMAUTH_CLIENT_SECRET"));
    if (getenv("CMAUTH_BASE_URL"))
        cm_config_set_base_url(config, getenv("CMAUTH_BASE_URL"));
    if (getenv("CMAUTH_CA_FILE"))
        cm_config_set_ca_file(config, getenv("CMAUTH_CA_FILE"));
    if (cm_client_new(config, &client, &error))
        give_up(error);
    cm_config_free(config);

    for (int browser = 0; browser < 2; browser++) {
        cm_login *login = NULL;
        if (cm_login_new(client, "https://example.com", &login, &error))
            give_up(error);
        printf("open %s\n", cm_login_url(login));
        fflush(stdout);
        if (fgets(address, sizeof address, stdin) == NULL)
            return 1;
        log_in(address, login, user[browser]);
        cm_login_free(login);
    }

    /* Each request of a browser: the cookie says which user it is. */
    for (int browser = 0; browser < 2; browser++) {
        cm_tokens *tokens = NULL;
        if (cm_session_tokens(session_of(user[browser]), &tokens, &error))
            give_up(error);
        cm_tokens_free(tokens);
    }
    printf("two browsers, %s\n", session_of(user[0]) == session_of(user[1]) ? "one session" : "two sessions");

    if (cm_session_logout(session_of(user[0]), &error)) /* For all browsers of the user. */
        give_up(error);
    printf("logged out\n");
    for (int i = 0; i < OPEN; i++)
        cm_session_free(sessions[i].session);
    cm_client_free(client);
    return 0;
}

/* Many requests to the API on one thread, with libcurl's multi interface. The event loop never waits for tokens: it
 * uses those at hand, and a worker thread gets others when they are needed.
 *
 *     cc multi.c -lcmauth -lcurl -pthread
 *
 * The API key comes from CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET. CMAUTH_BASE_URL and CMAUTH_CA_FILE name a test
 * server; without them, it is the real one. */

#include <cmauth.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUESTS 20

struct request {
    CURL *curl;
    struct curl_slist *headers;
    char token[256]; /* The access token that it was sent with. */
    int tries;
    int waits; /* For other tokens. */
    long http_status;
};

static CURLM *multi;
static cm_session *session;
static struct request requests[REQUESTS];
static int in_progress; /* The requests that libcurl has. */
static const char *url, *ca_file;

/* What the worker does, and its result. The event loop reads the result when `is_working` is 0. */
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static int is_working, has_failed;
static char rejected[256];

static int working(void) {
    pthread_mutex_lock(&guard);
    int working = is_working;
    pthread_mutex_unlock(&guard);
    return working;
}

static void *get_tokens(void *unused) {
    (void)unused;
    cm_tokens *tokens = NULL;
    cm_error *error = NULL;
    cm_status status = rejected[0] ? cm_session_rejected_token(session, rejected, &tokens, &error)
                                   : cm_session_tokens(session, &tokens, &error);
    if (status)
        fprintf(stderr, "%s\n", cm_error_message(error));
    cm_error_free(error);
    cm_tokens_free(tokens); /* They are at hand now. */
    pthread_mutex_lock(&guard);
    is_working = 0;
    has_failed = status != CM_STATUS_OK;
    pthread_mutex_unlock(&guard);
    curl_multi_wakeup(multi);
    return NULL;
}

/* Starts the worker, if it does not run. Other requests wait for the same result. */
static void need_tokens(const char *instead_of) {
    pthread_t thread;
    pthread_mutex_lock(&guard);
    int start = !is_working;
    if (start) {
        is_working = 1;
        snprintf(rejected, sizeof rejected, "%s", instead_of);
    }
    pthread_mutex_unlock(&guard);
    if (start && pthread_create(&thread, NULL, get_tokens, NULL) == 0)
        pthread_detach(thread);
    else if (start)
        is_working = 0;
}

static size_t ignore(char *data, size_t size, size_t count, void *context) {
    (void)data;
    (void)context;
    return size * count;
}

/* Sends a request with the tokens at hand, or lets it wait. */
static void send_request(struct request *request) {
    char header[512];
    cm_tokens *tokens = cm_session_tokens_at_hand(session);
    request->waits = tokens == NULL;
    if (tokens == NULL) {
        need_tokens("");
        return;
    }
    snprintf(request->token, sizeof request->token, "%s", cm_tokens_access_token(tokens));
    snprintf(header, sizeof header, "Authorization: %s", cm_tokens_authorization(tokens));
    cm_tokens_free(tokens);
    curl_slist_free_all(request->headers);
    request->headers = curl_slist_append(NULL, header);
    curl_easy_setopt(request->curl, CURLOPT_URL, url);
    curl_easy_setopt(request->curl, CURLOPT_HTTPHEADER, request->headers);
    curl_easy_setopt(request->curl, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(request->curl, CURLOPT_PRIVATE, request);
    curl_easy_setopt(request->curl, CURLOPT_NOSIGNAL, 1L);
    if (ca_file)
        curl_easy_setopt(request->curl, CURLOPT_CAINFO, ca_file);
    request->tries++;
    in_progress++;
    curl_multi_add_handle(multi, request->curl);
}

/* A request has ended. After a 401, it is sent once more with other tokens. */
static void ended(struct request *request) {
    curl_easy_getinfo(request->curl, CURLINFO_RESPONSE_CODE, &request->http_status);
    curl_multi_remove_handle(multi, request->curl);
    in_progress--;
    if (request->http_status == 401 && request->tries < 2) {
        request->waits = 1;
        need_tokens(request->token);
    }
}

/* Sends all requests, and returns how many got a 200. */
static int run_all(void) {
    int running = 0, done = 0, all_tries = 0;
    for (int i = 0; i < REQUESTS; i++) {
        requests[i].tries = 0;
        requests[i].http_status = 0;
        send_request(&requests[i]);
    }
    for (;;) {
        curl_multi_perform(multi, &running);
        int left = 0, waiting = 0;
        CURLMsg *message;
        while ((message = curl_multi_info_read(multi, &left)) != NULL) {
            struct request *request = NULL;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
            ended(request);
        }
        for (int i = 0; i < REQUESTS && !working(); i++) {
            if (requests[i].waits && has_failed)
                requests[i].waits = 0; /* Its 401 stays. */
            else if (requests[i].waits)
                send_request(&requests[i]);
        }
        for (int i = 0; i < REQUESTS; i++)
            waiting += requests[i].waits;
        if (in_progress == 0 && waiting == 0)
            break;
        curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    for (int i = 0; i < REQUESTS; i++) {
        done += requests[i].http_status == 200;
        all_tries += requests[i].tries;
    }
    printf("%d of %d requests succeeded, with %d tries\n", done, REQUESTS, all_tries);
    return done;
}

static int give_up(cm_error *error) {
    fprintf(stderr, "%s\n", cm_error_message(error));
    cm_error_free(error);
    return 1;
}

int main(void) {
    char address[4096], api[512];
    cm_client *client = NULL;
    cm_login *login = NULL;
    cm_tokens *tokens = NULL;
    cm_error *error = NULL;
    const char *base_url = getenv("CMAUTH_BASE_URL");
    ca_file = getenv("CMAUTH_CA_FILE");
    snprintf(api, sizeof api, "%s/rest/v2.4/cameras", base_url ? base_url : "https://rest.cameramanager.com");
    url = api;
    cm_config *config = cm_config_new(getenv("CMAUTH_CLIENT_ID"), getenv("CMAUTH_CLIENT_SECRET"));
    if (base_url)
        cm_config_set_base_url(config, base_url);
    if (ca_file)
        cm_config_set_ca_file(config, ca_file);
    cm_status status = cm_client_new(config, &client, &error);
    cm_config_free(config);
    cm_store *store = cm_store_memory(); /* A product uses cm_store_file. */
    if (status == CM_STATUS_OK)
        status = cm_session_open(client, store, &session, &error);
    cm_store_free(store);
    if (status || cm_login_new(client, "https://example.com", &login, &error))
        return give_up(error);
    printf("open %s\n", cm_login_url(login));
    fflush(stdout);
    if (fgets(address, sizeof address, stdin) == NULL || cm_login_finish(login, address, &tokens, &error) ||
        cm_session_start(session, tokens, &error))
        return give_up(error);
    cm_tokens_free(tokens);
    cm_login_free(login);

    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = curl_multi_init();
    for (int i = 0; i < REQUESTS; i++)
        requests[i].curl = curl_easy_init();
    int done = run_all();
    printf("Press Enter to send them again.\n");
    fflush(stdout);
    if (fgets(address, sizeof address, stdin) != NULL)
        done += run_all();
    for (int i = 0; i < REQUESTS; i++) {
        curl_easy_cleanup(requests[i].curl);
        curl_slist_free_all(requests[i].headers);
    }
    curl_multi_cleanup(multi);
    curl_global_cleanup();
    if (cm_session_logout(session, &error))
        return give_up(error);
    cm_session_free(session);
    cm_client_free(client);
    return done == 2 * REQUESTS ? 0 : 1;
}

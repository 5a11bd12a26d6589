/* The peer libcurl and cJSON: what a user would write instead, with the same care. It allows https with TLS 1.2 or
 * later only, checks certificates, sets timeouts, reads at most 64 KiB, follows no redirect, keeps connections open,
 * uses one handle for each thread, and wipes tokens. */

#include <cjson/cJSON.h>
#include <curl/curl.h>

#include "bench.h"

#define MAX_LENGTH (64 * 1024)

struct peer {
    const char *url, *ca_file;
};

struct response {
    char *text;
    size_t length;
};

struct tokens {
    char *access_token, *refresh_token, *token_type, *scope;
    long long expires_at;
};

struct thread {
    struct peer *peer;
    CURL *curl;
    struct curl_slist *headers;
};

static void *peer_open(const char *url, const char *ca_file) {
    struct peer *peer = malloc(sizeof *peer);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    *peer = (struct peer){url, ca_file};
    return peer;
}

static void peer_close(void *peer) {
    free(peer);
    curl_global_cleanup();
}

static size_t receive(char *bytes, size_t size, size_t count, void *context) {
    struct response *response = context;
    size_t amount = size * count;
    if (response->length + amount > MAX_LENGTH)
        return 0;
    char *longer = realloc(response->text, response->length + amount + 1);
    if (longer == NULL)
        return 0;
    memcpy(longer + response->length, bytes, amount);
    response->text = longer;
    response->length += amount;
    longer[response->length] = 0;
    return amount;
}

static void *peer_thread(void *peer) {
    struct thread *thread = malloc(sizeof *thread);
    thread->peer = peer;
    thread->curl = curl_easy_init();
    thread->headers = curl_slist_append(NULL, "Accept: application/json");
    CURL *curl = thread->curl;
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, thread->headers);
    curl_easy_setopt(curl, CURLOPT_CAINFO, thread->peer->ca_file);
    curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 30000L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "bench/1.0");
    curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(curl, CURLOPT_USERPWD, CLIENT_ID ":" CLIENT_SECRET);
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, 0L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    return thread;
}

static void peer_thread_end(void *argument) {
    struct thread *thread = argument;
    curl_easy_cleanup(thread->curl);
    curl_slist_free_all(thread->headers);
    free(thread);
}

static void wipe(char *text) {
    if (text != NULL) {
        explicit_bzero(text, strlen(text));
        free(text);
    }
}

static char *text_of(const cJSON *json, const char *key) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, key);
    return cJSON_IsString(value) && *value->valuestring ? strdup(value->valuestring) : NULL;
}

static int is_clean(const char *token) {
    for (; *token; token++)
        if ((unsigned char)*token < 0x21 || (unsigned char)*token > 0x7e)
            return 0;
    return 1;
}

static int read_tokens(const struct response *response, time_t begun, struct tokens *tokens) {
    cJSON *json = cJSON_ParseWithLength(response->text, response->length);
    if (!cJSON_IsObject(json)) {
        cJSON_Delete(json);
        return 0;
    }
    const cJSON *lifetime = cJSON_GetObjectItemCaseSensitive(json, "expires_in");
    tokens->access_token = text_of(json, "access_token");
    tokens->refresh_token = text_of(json, "refresh_token");
    tokens->token_type = text_of(json, "token_type");
    tokens->scope = text_of(json, "scope");
    tokens->expires_at = cJSON_IsNumber(lifetime) ? begun + (long long)lifetime->valuedouble : -1;
    cJSON *item;
    cJSON_ArrayForEach(item, json) if (cJSON_IsString(item))
        explicit_bzero(item->valuestring, strlen(item->valuestring));
    cJSON_Delete(json);
    return tokens->access_token && is_clean(tokens->access_token) && tokens->token_type &&
           strcasecmp(tokens->token_type, "bearer") == 0;
}

static void peer_call(void *argument) {
    struct thread *thread = argument;
    CURL *curl = thread->curl;
    struct response response = {0};
    struct tokens tokens = {0};
    char url[1024];
    long status = 0;
    char *token = curl_easy_escape(curl, refresh_token(), 0);
    snprintf(url, sizeof url, "%s/oauth/token?grant_type=refresh_token&scope=write&refresh_token=%s", thread->peer->url,
             token);
    curl_free(token);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &response);
    time_t begun = time(NULL);
    CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status != 200 || !read_tokens(&response, begun, &tokens) || tokens.expires_at <= begun ||
        strlen(tokens.access_token) != 42) {
        fprintf(stderr, "curl: %s, HTTP %ld\n", curl_easy_strerror(code), status);
        exit(1);
    }
    explicit_bzero(url, sizeof url);
    explicit_bzero(response.text, response.length);
    free(response.text);
    wipe(tokens.access_token);
    wipe(tokens.refresh_token);
    wipe(tokens.token_type);
    wipe(tokens.scope);
}

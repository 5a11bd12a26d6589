/* Finds out why a login does not work: doctor [SESSION_FILE]. The exit code is 0 if all is well, else 1.
 *
 * It sends a code that no server issued. If the server says so, everything on the way works: the name lookup, the
 * proxy, TLS, and the API key, which the server checks first. A server whose certificate is not trusted
 * gets no secret. The message of an error names the cause and a remedy: for TLS, the issuer of a certificate that is
 * not trusted, such as a firewall that inspects TLS.
 *
 * The library does not say which proxy it uses, who signed a certificate that it trusts, or what the server's clock
 * says. The command `cmauth doctor` of the Python package shows these, too, and whether the lock of a session is free.
 *
 * The API key comes from CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET. CMAUTH_BASE_URL and CMAUTH_CA_FILE name a test
 * server; without them, it is the real one. */

#include <cmauth.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const ADVICES[] = {"ok", "fix", "log in", "refresh", "retry", "report"};

/* Prints a line. Returns whether all is well. */
static int found(const char *check, const cm_error *error, const char *ok) {
    cm_advice advice = error ? cm_error_advice(error) : CM_ADVICE_NONE;
    /* A failed exchange uses its code up, so the library advises a new login. Here there was none. */
    if (advice == CM_ADVICE_LOG_IN)
        advice = CM_ADVICE_RETRY;
    int known = advice >= CM_ADVICE_NONE && advice <= CM_ADVICE_REPORT;
    printf("%-8s%s: %s\n", known ? ADVICES[advice] : "?", check, error ? cm_error_message(error) : ok);
    return error == NULL;
}

static int check_server(const cm_client *client) {
    cm_tokens *tokens = NULL;
    cm_error *error = NULL;
    cm_status status = cm_exchange_code(client, "cmauth-doctor", "http://127.0.0.1/", &tokens, &error);
    int well;
    if (status == CM_STATUS_LOGIN_REQUIRED)
        well = found("server", NULL, "name, connection, certificate and API key are right");
    else
        well = found("server", error, "it accepted a code that it did not issue");
    cm_tokens_free(tokens);
    cm_error_free(error);
    return well;
}

static int check_session(const cm_client *client, const char *path) {
    cm_session *session = NULL;
    cm_health *health = NULL;
    cm_error *error = NULL;
    cm_store *store = cm_store_file(path);
    cm_status status = cm_session_open(client, store, &session, &error);
    cm_store_free(store);
    int well = found("store", error, path);
    cm_error_free(error);
    if (status || cm_session_health(session, &health))
        return 0;
    well &= found("session", cm_health_last_error(health),
                  cm_health_logged_in(health) ? "a user is logged in" : "nobody is logged in");
    cm_health_free(health);
    cm_session_free(session);
    return well;
}

int main(int argc, char **argv) {
    cm_client *client = NULL;
    cm_error *error = NULL;
    cm_config *config = cm_config_new(getenv("CMAUTH_CLIENT_ID"), getenv("CMAUTH_CLIENT_SECRET"));
    cm_config_set_timeout_ms(config, 10000);
    cm_config_set_max_retries(config, 0);
    if (getenv("CMAUTH_BASE_URL"))
        cm_config_set_base_url(config, getenv("CMAUTH_BASE_URL"));
    if (getenv("CMAUTH_CA_FILE"))
        cm_config_set_ca_file(config, getenv("CMAUTH_CA_FILE"));
    cm_status status = cm_client_new(config, &client, &error);
    cm_config_free(config);
    int well = found("settings", error, "they can be used");
    cm_error_free(error);
    if (status == CM_STATUS_OK) {
        well &= check_server(client);
        if (argc > 1)
            well &= check_session(client, argv[1]);
    }
    cm_client_free(client);
    return well ? 0 : 1;
}

// The CameraManager login in C++17: log in, refresh, log out.
//
//     c++ -std=c++17 login.cpp -lcmauth -o login
//     CMAUTH_CLIENT_ID=... CMAUTH_CLIENT_SECRET=... ./login
//
// Also read from the environment: CMAUTH_BASE_URL (default: the real server), CMAUTH_REDIRECT_URI (default:
// https://example.com), CMAUTH_CA_FILE (a PEM file to trust in place of the system's certificates).

#include <cmauth.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

// Handles free themselves.
struct Free {
    void operator()(cm_config *config) const { cm_config_free(config); }
    void operator()(cm_client *client) const { cm_client_free(client); }
    void operator()(cm_login *login) const { cm_login_free(login); }
    void operator()(cm_tokens *tokens) const { cm_tokens_free(tokens); }
    void operator()(cm_error *error) const { cm_error_free(error); }
};
template <typename T> using Handle = std::unique_ptr<T, Free>;

// Throws what a call reported. By reference: arguments are read in any order, the call must come first.
void check(cm_status status, cm_error *const &reported) {
    Handle<cm_error> error(reported);
    if (status != CM_STATUS_OK)
        throw std::runtime_error(std::string(cm_status_name(status)) + ": " + cm_error_message(error.get()));
}

std::string from_environment(const char *name, const std::string &otherwise = "") {
    const char *value = std::getenv(name);
    return value && *value ? value : otherwise;
}

// Enough of a token to tell it from another, and no more.
std::string masked(const char *token) {
    if (!token)
        return "none";
    const std::string text(token);
    return text.substr(0, 4) + "... (" + std::to_string(text.size()) + " characters)";
}

void print(const cm_tokens *tokens) {
    const char *scope = cm_tokens_scope(tokens);
    std::cout << "  access token: " << masked(cm_tokens_access_token(tokens))
              << "\n  refresh token: " << masked(cm_tokens_refresh_token(tokens))
              << "\n  scope: " << (scope ? scope : "not said") << ", seconds left: " << cm_tokens_expires_in(tokens)
              << "\n";
}

void story(const std::string &client_id, const std::string &client_secret) {
    cm_error *error = nullptr;

    Handle<cm_config> config(cm_config_new(client_id.c_str(), client_secret.c_str()));
    const std::string base_url = from_environment("CMAUTH_BASE_URL");
    const std::string ca_file = from_environment("CMAUTH_CA_FILE");
    if (!base_url.empty())
        cm_config_set_base_url(config.get(), base_url.c_str());
    if (!ca_file.empty())
        cm_config_set_ca_file(config.get(), ca_file.c_str());
    cm_client *made_client = nullptr;
    check(cm_client_new(config.get(), &made_client, &error), error);
    Handle<cm_client> client(made_client);

    cm_login *made_login = nullptr;
    const std::string redirect_uri = from_environment("CMAUTH_REDIRECT_URI", "https://example.com");
    check(cm_login_new(client.get(), redirect_uri.c_str(), &made_login, &error), error);
    Handle<cm_login> login(made_login);
    std::cout << "Open this page in a browser and log in:\n"
              << cm_login_url(login.get()) << "\nThen paste the address that the browser comes back to:" << std::endl;
    std::string redirected;
    if (!std::getline(std::cin, redirected))
        throw std::runtime_error("no address was given");

    cm_tokens *made_tokens = nullptr;
    check(cm_login_finish(login.get(), redirected.c_str(), &made_tokens, &error), error);
    Handle<cm_tokens> tokens(made_tokens);
    std::cout << "Logged in.\n";
    print(tokens.get());

    if (const char *refresh_token = cm_tokens_refresh_token(tokens.get())) {
        check(cm_refresh(client.get(), refresh_token, &made_tokens, &error), error);
        tokens.reset(made_tokens);
        std::cout << "Refreshed: the old access token has ended.\n";
        print(tokens.get());
    }

    std::cout << "Press Enter to log out." << std::endl;
    std::string line;
    std::getline(std::cin, line);
    check(cm_logout(client.get(), cm_tokens_access_token(tokens.get()), &error), error);
    std::cout << "Logged out: both tokens have ended.\n";
}

} // namespace

int main() {
    const std::string client_id = from_environment("CMAUTH_CLIENT_ID");
    const std::string client_secret = from_environment("CMAUTH_CLIENT_SECRET");
    if (client_id.empty() || client_secret.empty()) {
        std::cerr << "Set CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET to your API key; you get one from\n"
                     "https://dealer.cameramanager.com\n";
        return 2;
    }
    try {
        story(client_id, client_secret);
    } catch (const std::exception &failure) {
        std::cerr << failure.what() << "\n";
        return 1;
    }
    return 0;
}

// The CameraManager login in C++17: logs in, refreshes and logs out.
//
//     c++ -std=c++17 login.cpp -lcmauth -o login
//     CMAUTH_CLIENT_ID=... CMAUTH_CLIENT_SECRET=... ./login
//
// Optional: CMAUTH_BASE_URL (default: the real server), CMAUTH_REDIRECT_URI (default: https://example.com),
// CMAUTH_CA_FILE (a PEM file to trust in place of the system's certificates).

#include <cmauth.hpp>

#include <cstdlib>
#include <iostream>
#include <string>

namespace {

std::string from_environment(const char *name, const std::string &otherwise = "") {
    const char *value = std::getenv(name);
    return value && *value ? value : otherwise;
}

// Only the first characters of a token, to recognize it.
std::string masked(std::string_view token) {
    return std::string(token.substr(0, 4)) + "... (" + std::to_string(token.size()) + " characters)";
}

void print(const cm::Tokens &tokens) {
    const auto refresh_token = tokens.refresh_token();
    const auto left = tokens.expires_in();
    std::cout << "  access token: " << masked(tokens.access_token())
              << "\n  refresh token: " << (refresh_token ? masked(*refresh_token) : "none")
              << "\n  scope: " << tokens.scope().value_or("unknown")
              << ", seconds left: " << (left ? std::to_string(left->count()) : "for ever") << "\n";
}

void log_in_refresh_and_log_out(const std::string &client_id, const std::string &client_secret) {
    cm::Config config(client_id, client_secret);
    const std::string base_url = from_environment("CMAUTH_BASE_URL");
    const std::string ca_file = from_environment("CMAUTH_CA_FILE");
    if (!base_url.empty())
        config.set_base_url(base_url);
    if (!ca_file.empty())
        config.set_ca_file(ca_file);
    const cm::Client client(config);

    cm::Login login(client, from_environment("CMAUTH_REDIRECT_URI", "https://example.com"));
    std::cout << "Open this page in a browser and log in:\n"
              << login.url() << "\nThen paste the address that the browser comes back to:" << std::endl;
    std::string redirected;
    if (!std::getline(std::cin, redirected))
        throw std::runtime_error("no address was given");
    cm::Tokens tokens = login.finish(redirected);
    std::cout << "Logged in.\n";
    print(tokens);

    if (const auto refresh_token = tokens.refresh_token()) {
        tokens = client.refresh(*refresh_token);
        std::cout << "Refreshed: the old access token has ended.\n";
        print(tokens);
    }

    std::cout << "Press Enter to log out." << std::endl;
    std::string line;
    std::getline(std::cin, line);
    client.logout(tokens.access_token());
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
        log_in_refresh_and_log_out(client_id, client_secret);
    } catch (const cm::Error &error) {
        std::cerr << cm_status_name(error.status()) << ": " << error.what() << "\n";
        return 1;
    } catch (const std::exception &failure) {
        std::cerr << failure.what() << "\n";
        return 1;
    }
    return 0;
}

// The story of a login in C++, for the tests: story query|body. It prints the page to open, reads the URL of the
// redirect, and prints what it did.

#include <cmauth.hpp>
#include <cstdlib>
#include <iostream>
#include <string>

template <typename Call> static void is_rejected(Call call) {
    try {
        call();
    } catch (const cm::Error &error) {
        if (error.status() == CM_STATUS_TOKEN_REJECTED)
            return;
        throw;
    }
    std::cerr << "a token that has ended is accepted\n";
    std::exit(1);
}

int main(int argc, char **argv) {
    try {
        cm::Config config(std::getenv("CMAUTH_CLIENT_ID"), std::getenv("CMAUTH_CLIENT_SECRET"));
        config.set_base_url(std::getenv("CMAUTH_BASE_URL"));
        config.set_params_in_body(argc > 1 && std::string(argv[1]) == "body");
        if (const char *ca_file = std::getenv("CMAUTH_CA_FILE"))
            config.set_ca_file(ca_file);
        const cm::Client client(config);
        cm::Login login(client, "https://example.com");
        std::cout << login.url() << std::endl;
        std::string redirect;
        std::getline(std::cin, redirect);
        const cm::Tokens tokens = login.finish(redirect);
        std::cout << "logged in as " << client.user(tokens.access_token()).name().value_or("?") << "\n";
        const cm::Tokens fresh = client.refresh(*tokens.refresh_token());
        is_rejected([&] { client.user(tokens.access_token()); });
        std::cout << "refreshed\n";
        client.logout(fresh.access_token());
        is_rejected([&] { client.logout(fresh.access_token()); });
        std::cout << "logged out\n";
    } catch (const cm::Error &error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
}

// A backend whose users log in with a browser: one session for each user, however many browsers the user has. With one
// for each browser, each refresh would end the tokens of the other. A backend on several machines writes a
// cm::CustomStore.
//
// The API key comes from CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET. CMAUTH_BASE_URL and CMAUTH_CA_FILE name a test
// server; without them, it is the real one.

#include <cmauth.hpp>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <iostream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_map>

namespace {

// The sessions of many users. All threads can share it.
class Sessions {
  public:
    Sessions(const cm::Client &client, std::filesystem::path folder, std::size_t max_idle)
        : client_(client), folder_(std::move(folder)), max_idle_(max_idle) {}

    // The session of a user. It is opened if necessary. Those that were not used for the longest time are closed,
    // unless somebody still has them; their tokens stay in the files.
    std::shared_ptr<cm::Session> of(const std::string &user) {
        const std::lock_guard<std::mutex> lock(guard_);
        std::shared_ptr<cm::Session> session = open_[user].lock();
        if (!session) {
            session = std::make_shared<cm::Session>(client_, cm::Store::file((folder_ / file_name(user)).string()));
            open_[user] = session;
        }
        used_.erase(std::remove(used_.begin(), used_.end(), session), used_.end());
        used_.push_back(session);
        if (used_.size() > max_idle_) {
            used_.pop_front();
            for (auto each = open_.begin(); each != open_.end();)
                each = each->second.expired() ? open_.erase(each) : std::next(each);
        }
        return session;
    }

  private:
    // Somebody else chose the ID of a user.
    static const std::string &file_name(const std::string &user) {
        const auto plain = [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; };
        if (user.empty() || user.size() > 64 || !std::all_of(user.begin(), user.end(), plain))
            throw std::invalid_argument("the ID of the user is no name of a file");
        return user;
    }

    const cm::Client &client_;
    std::filesystem::path folder_;
    std::size_t max_idle_;
    std::mutex guard_;
    std::unordered_map<std::string, std::weak_ptr<cm::Session>> open_;
    std::deque<std::shared_ptr<cm::Session>> used_; // The one that was used last is at the end.
};

std::string env(const char *name) {
    const char *value = std::getenv(name);
    return value ? value : "";
}

// Logs in as a browser does, and returns the ID of the user, for the cookie of the browser.
std::string log_in(const cm::Client &client, Sessions &sessions) {
    const cm::Login login(client, "https://example.com");
    std::cout << "open " << login.url() << std::endl;
    std::string redirected;
    std::getline(std::cin, redirected);
    const cm::Tokens tokens = login.finish(redirected);
    const cm::User user = client.user(tokens.access_token());
    sessions.of(std::string(user.id()))->start(tokens);
    std::cout << "user " << user.id() << ": " << user.name().value_or("no name") << std::endl;
    return std::string(user.id());
}

} // namespace

int main(int, char **argv) {
    try {
        cm::Config config(env("CMAUTH_CLIENT_ID"), env("CMAUTH_CLIENT_SECRET"));
        if (!env("CMAUTH_BASE_URL").empty())
            config.set_base_url(env("CMAUTH_BASE_URL"));
        if (!env("CMAUTH_CA_FILE").empty())
            config.set_ca_file(env("CMAUTH_CA_FILE"));
        const cm::Client client(config);
        Sessions sessions(client, argv[1], 1000);

        const std::string one = log_in(client, sessions), two = log_in(client, sessions);
        const bool shared = sessions.of(one) == sessions.of(two);
        std::cout << "two browsers, " << (shared ? "one session" : "two sessions") << std::endl;
        sessions.of(one)->logout(); // For all browsers of the user.
        std::cout << "logged out" << std::endl;
    } catch (const std::exception &error) {
        std::cerr << error.what() << std::endl;
        return 1;
    }
    return 0;
}

// cmauth.hpp without exceptions: every call that can fail returns a result. Compiled with -fno-exceptions -fno-rtti.

#include <cmauth.hpp>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                             \
            std::exit(1);                                                                                              \
        }                                                                                                              \
    } while (0)

namespace {

std::string env(const char *name) {
    const char *value = std::getenv(name);
    return value ? value : "";
}

// A store whose functions return what went wrong.
class Own : public cm::CustomStore {
  public:
    cm::Result<std::optional<std::string>> load() override {
        if (fails)
            return cm::Error("the database is away");
        return record;
    }
    cm::Result<bool> save(std::string_view text, std::int64_t number) override {
        if (number <= kept)
            return false;
        record = std::string(text);
        kept = number;
        return true;
    }
    cm::Result<bool> clear(std::int64_t number) override {
        record.reset();
        kept = number;
        return true;
    }
    cm::Result<bool> try_lock(std::chrono::milliseconds) override { return true; }
    cm::Result<void> unlock() override { return cm::Error("the lock is away"); }
    cm::Result<std::int64_t> generation() override { return kept; }
    std::optional<std::string> record;
    std::int64_t kept = 0;
    bool fails = false;
};

} // namespace

int main() {
    cm::Config config(env("CMAUTH_CLIENT_ID"), env("CMAUTH_CLIENT_SECRET"));
    std::string log;
    config.set_log(CM_LOG_LEVEL_WARN, [&](cm_log_level, std::string_view line) { log.append(line).append("\n"); });
    config.set_timeout(std::chrono::milliseconds(0));
    const cm::Result<cm::Client> bad = cm::Client::make(config);
    CHECK(!bad && bad.error().status() == CM_STATUS_INVALID_ARGUMENT);
    CHECK(std::string(bad.error().what()).find("timeout_ms") == 0);

    cm::Config good(env("CMAUTH_CLIENT_ID"), env("CMAUTH_CLIENT_SECRET"));
    good.set_base_url(env("CMAUTH_BASE_URL")).set_ca_file(env("CMAUTH_CA_FILE")).set_proxy("");
    good.set_log(CM_LOG_LEVEL_WARN, [&](cm_log_level, std::string_view line) { log.append(line).append("\n"); });
    const cm::Result<cm::Client> client = cm::Client::make(good);
    CHECK(client.has_value());
    const cm::Result<cm::Login> login = cm::Login::begin(*client, "https://example.com");
    CHECK(login.has_value());
    std::cout << "open " << login->url() << std::endl;
    std::string redirected;
    CHECK(std::getline(std::cin, redirected));
    CHECK(login->finish("https://example.com/?code=a&state=b").error().status() == CM_STATUS_STATE_MISMATCH);
    cm::Result<cm::Tokens> tokens = login->finish(redirected);
    CHECK(tokens && tokens->token_type() == "bearer");

    const auto own = std::make_shared<Own>();
    const cm::Result<cm::Session> session = cm::Session::open(*client, cm::Store::custom(own));
    CHECK(session && session->tokens().error().status() == CM_STATUS_LOGIN_REQUIRED);
    CHECK(session->start(*tokens));
    CHECK(log.find("could not be unlocked: the lock is away") != std::string::npos);
    int calls = 0;
    CHECK(session->with_tokens([&](const auto &present) {
        calls++;
        return present.access_token() == tokens->access_token() ? CM_ANSWER_REJECTED : CM_ANSWER_DONE;
    }));
    CHECK(calls == 2);
    const cm::Result<cm::Health> health = session->health();
    CHECK(health && health->logged_in() && health->generation() == own->kept);
    own->fails = true;
    const cm::Result<cm::Session> away = cm::Session::open(*client, cm::Store::custom(own));
    CHECK(!away && std::string(away.error().what()).find("the database is away") != std::string::npos);
    own->fails = false;
    const cm::Result<bool> ended = session->logout();
    CHECK(ended && *ended);
    return 0;
}

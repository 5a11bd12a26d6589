// Uses every member of cmauth.hpp with the sandbox: calls, errors, moves, views, callbacks that throw, and cancel.

#include <cmauth.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                             \
            std::exit(1);                                                                                              \
        }                                                                                                              \
    } while (0)

namespace {

constexpr const char *uri = "https://example.com";

template <typename T> constexpr bool moves_only() {
    return !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> &&
           std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T>;
}
static_assert(moves_only<cm::Config>() && moves_only<cm::Client>() && moves_only<cm::Login>());
static_assert(moves_only<cm::Tokens>() && moves_only<cm::Session>() && moves_only<cm::Store>());
static_assert(moves_only<cm::User>() && moves_only<cm::SignedUrl>());
static_assert(moves_only<cm::Health>() && moves_only<cm::Cancel>());
static_assert(std::is_nothrow_copy_constructible_v<cm::Error>);

std::string env(const char *name) {
    const char *value = std::getenv(name);
    return value ? value : "";
}

cm::Config settings() {
    cm::Config config(env("CMAUTH_CLIENT_ID"), env("CMAUTH_CLIENT_SECRET"));
    config.set_base_url(env("CMAUTH_BASE_URL")).set_ca_file(env("CMAUTH_CA_FILE")).set_proxy("");
    return config;
}

// The test harness plays the user: it logs in on the printed page and writes the redirected URL to our input.
cm::Tokens log_in(const cm::Client &client) {
    cm::Login login(client, uri);
    std::cout << "open " << login.url() << std::endl;
    std::string redirected;
    CHECK(std::getline(std::cin, redirected));
    CHECK(login.is_redirect(redirected) && !login.is_redirect("https://example.org/?code=a"));
    // A view need not end with a NUL.
    const std::string longer = redirected + "&code=evil";
    return login.finish(std::string_view(longer).substr(0, redirected.size()));
}

template <typename Call> cm::Error fails(cm_status status, Call call) {
    try {
        call();
    } catch (const cm::Error &error) {
        if (error.status() != status)
            std::fprintf(stderr, "%s: %s\n", cm_status_name(error.status()), error.what());
        CHECK(error.status() == status);
        CHECK(std::string_view(error.what()).size() > 10);
        return error;
    }
    std::fprintf(stderr, "nothing was thrown\n");
    std::exit(1);
}

void settings_are_checked_by_the_client() {
    cm::Config config = settings();
    config.set_scope("write")
        .set_timeout(std::chrono::seconds(20))
        .set_connect_timeout(std::chrono::milliseconds(5000))
        .add_ca_file(env("CMAUTH_CA_FILE"))
        .set_proxy(std::nullopt)
        .set_user_agent("every_member.cpp/1.0")
        .set_max_retries(1)
        .set_params_in_body(true)
        .allow_origin("https://media.example");
    const cm::Client good(config);
    good.check_url("https://media.example/x");
    fails(CM_STATUS_INVALID_ARGUMENT, [&] { good.check_url("https://other.example/x"); });
    config.set_timeout(std::chrono::milliseconds(0));
    const cm::Error error = fails(CM_STATUS_INVALID_ARGUMENT, [&] { cm::Client bad(config); });
    CHECK(std::string(error.what()).find("timeout_ms") != std::string::npos);
    CHECK(error.advice() == CM_ADVICE_FIX && !error.http_status());
    CHECK(!error.oauth_error() && !error.oauth_description() && !error.retry_after());
    const cm::Config with_nul(std::string_view("i\0d", 3), "secret");
    const cm::Error nul = fails(CM_STATUS_INVALID_ARGUMENT, [&] { cm::Client bad(with_nul); });
    CHECK(std::string(nul.what()).find("client_id: it has a NUL in it") == 0);
}

void the_three_calls(const cm::Client &client) {
    cm::Tokens tokens = log_in(client);
    CHECK(tokens.token_type() == "bearer" && tokens.scope() == "write");
    CHECK(tokens.authorization() == "Bearer " + std::string(tokens.access_token()));
    CHECK(tokens.expires_in() && tokens.expires_in()->count() > 40000 && *tokens.expires_at() > 1700000000);
    const cm::Tokens kept = cm::Tokens::from_json(tokens.to_json());
    CHECK(kept.access_token() == tokens.access_token() && kept.refresh_token() == tokens.refresh_token());
    CHECK(!cm::Tokens::from_json("{\"access_token\":\"a\"}").expires_at());
    CHECK(!cm::Tokens::from_json("{\"access_token\":\"a\"}").refresh_token());

    const cm::User user = client.user(tokens.access_token());
    CHECK(!user.id().empty() && user.name() == "demo" && user.email());

    // The argument is a view into the tokens that the result replaces.
    tokens = client.refresh(*tokens.refresh_token());
    CHECK(tokens.access_token() != kept.access_token());
    client.logout(tokens.access_token());
    fails(CM_STATUS_TOKEN_REJECTED, [&] { client.logout(tokens.access_token()); });
    const cm::Error error = fails(CM_STATUS_LOGIN_REQUIRED, [&] { (void)client.exchange_code("NoCode", uri); });
    CHECK(error.http_status() == 400 && error.oauth_error() == "invalid_grant" && error.oauth_description());
    const cm::Error copy = error;
    CHECK(std::string_view(copy.what()) == error.what() && copy.advice() == CM_ADVICE_LOG_IN);
}

// A custom store that throws on demand.
class Own : public cm::CustomStore {
  public:
    std::optional<std::string> load() override {
        CHECK(time_left() > std::chrono::milliseconds(900));
        if (throws)
            throw std::runtime_error("the database is away");
        return record;
    }
    bool save(std::string_view text, std::int64_t number) override {
        if (number <= kept)
            return false;
        record = std::string(text);
        kept = number;
        return true;
    }
    bool clear(std::int64_t number) override {
        if (number <= kept)
            return false;
        record.reset();
        kept = number;
        return true;
    }
    bool try_lock(std::chrono::milliseconds hold) override {
        CHECK(hold.count() >= 10000);
        return lock.try_lock();
    }
    void unlock() override {
        lock.unlock();
        if (unlock_throws)
            throw std::runtime_error("the lock is away");
    }
    std::int64_t generation() override { return kept; }
    std::mutex lock;
    std::optional<std::string> record;
    std::int64_t kept = std::int64_t(1) << 52; // As from a machine whose clock was far ahead.
    bool throws = false, unlock_throws = false;
};

void with_tokens(const cm::Session &session, const cm::Tokens &present) {
    int calls = 0;
    session.with_tokens([&](const auto &tokens) {
        CHECK(tokens.access_token() == present.access_token());
        return calls++ ? CM_ANSWER_REJECTED : CM_ANSWER_DONE;
    });
    CHECK(calls == 1);
    const cm::Error error =
        fails(CM_STATUS_TOKEN_REJECTED, [&] { session.with_tokens([&](const auto &) { return CM_ANSWER_REJECTED; }); });
    CHECK(error.advice() == CM_ADVICE_RETRY);
    try {
        session.with_tokens([](const auto &) -> cm_answer { throw std::length_error("of ours"); });
        CHECK(false);
    } catch (const std::length_error &) {
    }
}

void sessions(const cm::Client &client, const cm::Store &store) {
    cm::Session session(client, store);
    CHECK(!session.health().logged_in() && !session.health().last_error());
    fails(CM_STATUS_LOGIN_REQUIRED, [&] { (void)session.tokens(); });
    CHECK(!session.tokens_at_hand() && !session.next_action() && !session.health().generation());
    std::vector<std::int64_t> changes;
    std::vector<cm_change> kinds;
    session.on_change([&](cm_change change, std::int64_t generation) {
        kinds.push_back(change);
        changes.push_back(generation);
        throw std::runtime_error("is ignored");
    });
    cm::Session moved = std::move(session);
    moved.start(log_in(client));
    const cm::Tokens tokens = moved.tokens();
    const cm::Tokens fresh = moved.rejected(tokens);
    CHECK(fresh.access_token() != tokens.access_token());
    // They are young, so another rejection does not refresh them.
    const cm::Error young = fails(CM_STATUS_TOKEN_REJECTED, [&] { (void)moved.rejected(fresh); });
    CHECK(moved.rejected(tokens.access_token()).access_token() == fresh.access_token());
    CHECK(moved.tokens_at_hand()->access_token() == fresh.access_token());
    CHECK(*moved.next_action() > std::chrono::hours(1));
    moved.keep_fresh(true);
    CHECK(moved.health().kept_fresh());
    moved.keep_fresh(false);
    CHECK(!moved.health().kept_fresh());
    CHECK(young.advice() == CM_ADVICE_RETRY && young.retry_after() > std::chrono::seconds(10));
    const cm::Health health = moved.health();
    CHECK(health.logged_in() && health.saved() && health.failures() == 0);
    CHECK(health.generation() == changes.back() && changes.size() == 2);
    CHECK(*health.next_refresh() < *health.expires_at());
    CHECK(!health.held_until());
    CHECK(moved.tokens_for(std::chrono::hours(1)).access_token() == fresh.access_token());
    fails(CM_STATUS_INVALID_ARGUMENT, [&] { (void)moved.tokens_for(std::chrono::hours(24)); });
    CHECK(moved.hold(*health.next_refresh() + 60).access_token() == fresh.access_token());
    CHECK(moved.health().held_until() == *health.next_refresh() + 60);
    const cm::SignedUrl signed_url = moved.sign_url(env("CMAUTH_BASE_URL") + "/x?a=1");
    CHECK(signed_url.url().find("/x?a=1&access_token=") != std::string_view::npos);
    CHECK(signed_url.expires_at() == fresh.expires_at());
    fails(CM_STATUS_INVALID_ARGUMENT, [&] { (void)moved.sign_url("https://other.example/x"); });
    with_tokens(moved, fresh);
    CHECK(moved.logout());
    CHECK(!moved.logout());
    CHECK(kinds == std::vector<cm_change>({CM_CHANGE_TOKENS, CM_CHANGE_TOKENS, CM_CHANGE_ENDED_HERE}));
    moved.forget();
    CHECK(moved.get() != nullptr);
}

void forget_removes_a_damaged_file(const cm::Client &client, const std::string &path) {
    std::ofstream(path) << "{";
    std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    cm::Session session(client, cm::Store::file(path));
    const cm::Health health = session.health();
    CHECK(!health.logged_in() && health.last_error()->find("call forget") != std::string_view::npos);
    fails(CM_STATUS_STORE, [&] { (void)session.tokens(); });
    session.forget();
    CHECK(!std::filesystem::exists(path));
    fails(CM_STATUS_LOGIN_REQUIRED, [&] { (void)session.tokens(); });
}

void logins_that_listen_and_logins_that_two_clients_share(const cm::Client &client) {
    const cm::Login login = cm::Login::listen(client);
    fails(CM_STATUS_TIMEOUT, [&] { (void)login.wait(std::chrono::milliseconds(1)); });
    login.set_message("Done & dusted").set_page(CM_PAGE_TEXT_PRODUCT, "Recorder");
    std::cout << "open " << login.url() << std::endl;
    const cm::Tokens tokens = login.wait(std::chrono::seconds(60));
    CHECK(!tokens.access_token().empty());
    const cm::Login ended = cm::Login::listen(client);
    std::thread canceller([&] { ended.cancel(); });
    fails(CM_STATUS_CANCELLED, [&] { (void)ended.wait(std::chrono::seconds(60)); });
    canceller.join();

    cm::Config config = cm::Config::without_secret(env("CMAUTH_CLIENT_ID"));
    config.set_base_url(env("CMAUTH_BASE_URL")).set_ca_file(env("CMAUTH_CA_FILE"));
    const cm::Login shown(cm::Client(config), uri);
    const cm::Login taken = cm::Login::from_json(client, shown.to_json());
    CHECK(taken.url() == shown.url());
}

void cancelled_from_another_thread() {
    const cm::Client client(settings());
    client.cancel();
    const cm::Error error = fails(CM_STATUS_CANCELLED, [&] { (void)client.refresh("r"); });
    CHECK(error.advice() == CM_ADVICE_NONE);
    const cm::Client other(settings());
    const cm::Cancel cancel;
    {
        const cm::CancelScope scope(cancel);
        cancel.now();
        fails(CM_STATUS_CANCELLED, [&] { (void)other.refresh("r"); });
    }
    fails(CM_STATUS_LOGIN_REQUIRED, [&] { (void)other.refresh("unknown"); });
}

// Constructed before everything that set_log could keep in static storage, so destroyed after it.
struct LogsAtExit {
    LogsAtExit() : client(settings()) {}
    ~LogsAtExit() {
        client.cancel();
        fails(CM_STATUS_CANCELLED, [&] { (void)client.refresh("r"); });
    }
    cm::Client client;
};
const LogsAtExit logs_at_exit;

} // namespace

int main() {
    std::vector<std::string> lines;
    std::mutex guard;
    cm::set_log(CM_LOG_LEVEL_INFO, [&](cm_log_level, std::string_view line) {
        const std::lock_guard<std::mutex> lock(guard);
        lines.emplace_back(line);
        throw std::runtime_error("is ignored");
    });
    settings_are_checked_by_the_client();
    const cm::Client client(settings());
    the_three_calls(client);
    logins_that_listen_and_logins_that_two_clients_share(client);
    sessions(client, cm::Store::memory());
    const auto folder =
        std::filesystem::temp_directory_path() /
        ("cmauth-every-member-" + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count()));
    CHECK(std::filesystem::create_directory(folder));
    sessions(client, cm::Store::file((folder / "session").string()));
    CHECK(!std::filesystem::exists(folder / "session"));
    forget_removes_a_damaged_file(client, (folder / "session").string());
    CHECK(std::filesystem::remove_all(folder) == 2);
    const auto own = std::make_shared<Own>();
    sessions(client, cm::Store::custom(own));
    CHECK(own.use_count() == 1);
    {
        const cm::Store store = cm::Store::custom(own);
        own->throws = true;
        const cm::Error error = fails(CM_STATUS_STORE, [&] { cm::Session session(client, store); });
        CHECK(std::string(error.what()).find("the database is away") != std::string::npos);
    }
    fails(CM_STATUS_INVALID_ARGUMENT, [&] { cm::Session session(client, cm::Store::file("/nowhere/at/all")); });
    std::thread(cancelled_from_another_thread).join();
    fails(CM_STATUS_INVALID_ARGUMENT, [&] { cm::open_browser("file:///etc/passwd"); });
    {
        std::vector<std::string> own_lines;
        cm::Config config = settings();
        config.set_log(CM_LOG_LEVEL_INFO, [&](cm_log_level, std::string_view line) { own_lines.emplace_back(line); });
        const auto stuck = std::make_shared<Own>();
        stuck->unlock_throws = true;
        const std::size_t before = lines.size();
        const cm::Client quiet(config);
        cm::Session(quiet, cm::Store::custom(stuck)).start(cm::Tokens::from_json("{\"access_token\":\"some-token\"}"));
        CHECK(lines.size() == before && own_lines.size() == 2);
        CHECK(own_lines[1] ==
              "session: the store could not be unlocked: the lock is away; fix the cause, then try again");
    }
    cm::set_log(CM_LOG_LEVEL_OFF, nullptr);
    CHECK(!lines.empty() && !cm::version().empty());
    // `logs_at_exit` logs after main.
    cm::set_log(CM_LOG_LEVEL_INFO, [](cm_log_level, std::string_view line) { std::cout << line << std::endl; });
    return 0;
}

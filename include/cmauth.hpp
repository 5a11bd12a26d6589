/*
 * libcmauth for C++17 and later: cmauth.h with destructors, exceptions and std::string_view. Header only.
 *
 *     #include <cmauth.hpp>
 *
 *     cm::Client client(cm::Config("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345"));
 *     cm::Session session(client, cm::Store::file("/var/lib/recorder/cameramanager"));
 *     if (!session.health().logged_in()) {
 *         cm::Login login(client, "https://example.com");
 *         session.start(login.finish(open_browser_and_get_redirect(login.url())));
 *     }
 *     cm::Tokens tokens = session.tokens(); // For "Authorization: Bearer " + tokens.access_token()
 *
 * Build it with `c++ -std=c++17 program.cpp -lcmauth`. cmauth.h describes what each function does. C++ adds this:
 *
 * - An object owns its handle. It can be moved, but not copied. After a move, only destroy the old object or assign to
 *   it. `get()` gives the handle for functions of cmauth.h, and the object still owns it.
 * - A call that fails throws cm::Error. Setters, getters and destructors throw nothing, except std::bad_alloc and, for
 *   a text that contains a NUL, std::invalid_argument.
 * - Texts that you pass are std::string_view. The object copies them, and wipes its copy after the call.
 * - Texts that you get are std::string_view. They are valid while the object exists that gave them.
 * - Many threads may call `const` member functions of one object at once.
 * - An exception of a store's function becomes the message of the failure. Exceptions of other callbacks are ignored.
 */

#ifndef CMAUTH_HPP
#define CMAUTH_HPP

#include <cmauth.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace cm {

namespace detail {

template <typename T, void (*Free)(T *)> struct Deleter {
    void operator()(T *handle) const noexcept { Free(handle); }
};

template <typename T, void (*Free)(T *)> using Handle = std::unique_ptr<T, Deleter<T, Free>>;

/* A NUL-terminated copy of a text. The destructor wipes it, because it may be secret. */
class Text {
  public:
    explicit Text(std::string_view text) : copy_(text) {
        if (text.find('\0') != std::string_view::npos) {
            wipe();
            throw std::invalid_argument("libcmauth: a text has a NUL in it");
        }
    }
    Text(const Text &) = delete;
    Text &operator=(const Text &) = delete;
    ~Text() { wipe(); }
    operator const char *() const noexcept { return copy_.c_str(); }

  private:
    void wipe() noexcept {
        volatile char *bytes = copy_.data();
        for (std::size_t i = 0; i < copy_.size(); i++)
            bytes[i] = 0;
    }
    std::string copy_;
};

inline std::optional<std::string_view> optional_text(const char *text) {
    return text ? std::optional<std::string_view>(text) : std::nullopt;
}

inline std::optional<std::int64_t> optional_time(std::int64_t time) {
    return time == INT64_MAX ? std::nullopt : std::optional<std::int64_t>(time);
}

} // namespace detail

/* Details of a failure. `what()` is one line: what happened, and what to do. It contains no secret. */
class Error : public std::runtime_error {
  public:
    /* Takes ownership of `error`. */
    Error(cm_status status, cm_error *error)
        : std::runtime_error(error ? cm_error_message(error) : cm_status_name(status)), status_(status),
          error_(error, cm_error_free) {}
    cm_status status() const noexcept { return status_; }
    cm_advice advice() const noexcept { return cm_error_advice(error_.get()); }
    /* 0 if there was no response. */
    int http_status() const noexcept { return cm_error_http_status(error_.get()); }
    std::optional<std::string_view> oauth_error() const {
        return detail::optional_text(cm_error_oauth_error(error_.get()));
    }
    std::optional<std::string_view> oauth_description() const {
        return detail::optional_text(cm_error_oauth_description(error_.get()));
    }
    /* How long to wait before the next try, if a time is known. */
    std::optional<std::chrono::seconds> retry_after() const {
        const std::int64_t seconds = cm_error_retry_after(error_.get());
        return seconds < 0 ? std::nullopt : std::optional<std::chrono::seconds>(seconds);
    }

  private:
    cm_status status_;
    std::shared_ptr<cm_error> error_; /* Shared, because copying an exception must not throw. */
};

namespace detail {

/* Runs a call, and throws its error if it fails. */
template <typename Call> void check(Call call) {
    cm_error *error = nullptr;
    if (const cm_status status = call(&error))
        throw Error(status, error);
}

/* Runs a call that makes a handle, and returns the handle. */
template <typename Handle, typename Call> Handle make(Call call) {
    typename Handle::pointer made = nullptr;
    check([&](cm_error **error) { return call(&made, error); });
    return Handle(made);
}

/* The base of the classes: it owns the handle. */
template <typename T, void (*Free)(T *)> class Object {
  public:
    T *get() const noexcept { return handle_.get(); }

  protected:
    using Handle = detail::Handle<T, Free>;
    explicit Object(Handle handle) noexcept : handle_(std::move(handle)) {}

  private:
    Handle handle_;
};

} // namespace detail

/* The API key, the server and the limits. */
class Config : public detail::Object<cm_config, cm_config_free> {
  public:
    Config(std::string_view client_id, std::string_view client_secret)
        : Object(Handle(cm_config_new(detail::Text(client_id), detail::Text(client_secret)))) {}
    /* For a machine that must not have the secret. It can begin logins and log out. */
    static Config without_secret(std::string_view client_id) {
        return Config(Handle(cm_config_new_public(detail::Text(client_id))));
    }
    Config &set_base_url(std::string_view url) {
        cm_config_set_base_url(get(), detail::Text(url));
        return *this;
    }
    Config &set_scope(std::string_view scope) {
        cm_config_set_scope(get(), detail::Text(scope));
        return *this;
    }
    Config &set_timeout(std::chrono::milliseconds timeout) {
        cm_config_set_timeout_ms(get(), timeout.count());
        return *this;
    }
    Config &set_connect_timeout(std::chrono::milliseconds timeout) {
        cm_config_set_connect_timeout_ms(get(), timeout.count());
        return *this;
    }
    Config &set_ca_file(std::string_view path) {
        cm_config_set_ca_file(get(), detail::Text(path));
        return *this;
    }
    Config &add_ca_file(std::string_view path) {
        cm_config_add_ca_file(get(), detail::Text(path));
        return *this;
    }
    /* std::nullopt: from the environment; "": no proxy. */
    Config &set_proxy(std::optional<std::string_view> url) {
        if (url)
            cm_config_set_proxy(get(), detail::Text(*url));
        else
            cm_config_set_proxy(get(), nullptr);
        return *this;
    }
    Config &set_user_agent(std::string_view product) {
        cm_config_set_user_agent(get(), detail::Text(product));
        return *this;
    }
    Config &set_max_retries(int retries) {
        cm_config_set_max_retries(get(), retries);
        return *this;
    }
    Config &set_params_in_body(bool in_body) {
        cm_config_set_params_in_body(get(), in_body ? 1 : 0);
        return *this;
    }

  private:
    explicit Config(Handle handle) noexcept : Object(std::move(handle)) {}
};

/* The tokens of a user, and when they expire. They never change: a refresh makes new ones. */
class Tokens : public detail::Object<cm_tokens, cm_tokens_free> {
  public:
    /* Takes ownership of tokens from a function of cmauth.h. */
    explicit Tokens(cm_tokens *tokens) noexcept : Object(Handle(tokens)) {}
    static Tokens from_json(std::string_view json) {
        const detail::Text text(json);
        return Tokens(
            detail::make<Handle>([&](auto out, auto error) { return cm_tokens_from_json(text, out, error); }));
    }
    std::string_view access_token() const { return cm_tokens_access_token(get()); }
    std::optional<std::string_view> refresh_token() const {
        return detail::optional_text(cm_tokens_refresh_token(get()));
    }
    std::string_view token_type() const { return cm_tokens_token_type(get()); }
    std::optional<std::string_view> scope() const { return detail::optional_text(cm_tokens_scope(get())); }
    /* Unix seconds; std::nullopt: never. */
    std::optional<std::int64_t> expires_at() const { return detail::optional_time(cm_tokens_expires_at(get())); }
    /* How long the access token is still valid, at least 0; std::nullopt: it never expires. */
    std::optional<std::chrono::seconds> expires_in() const {
        const auto seconds = detail::optional_time(cm_tokens_expires_in(get()));
        return seconds ? std::optional<std::chrono::seconds>(*seconds) : std::nullopt;
    }
    /* Secret. Valid while the tokens exist. */
    std::string_view to_json() const { return cm_tokens_to_json(get()); }

  private:
    explicit Tokens(Handle handle) noexcept : Object(std::move(handle)) {}
    friend class Client;
    friend class Login;
    friend class Session;
};

/* Sends requests for one API key: exchanges a code, refreshes, logs out. All threads can share it. */
class Client : public detail::Object<cm_client, cm_client_free> {
  public:
    explicit Client(const Config &config)
        : Object(detail::make<Handle>([&](auto out, auto error) { return cm_client_new(config.get(), out, error); })) {}
    Tokens exchange_code(std::string_view code, std::string_view redirect_uri) const {
        const detail::Text code_text(code), uri_text(redirect_uri);
        return Tokens(detail::make<Tokens::Handle>(
            [&](auto out, auto error) { return cm_exchange_code(get(), code_text, uri_text, out, error); }));
    }
    Tokens refresh(std::string_view refresh_token) const {
        const detail::Text text(refresh_token);
        return Tokens(
            detail::make<Tokens::Handle>([&](auto out, auto error) { return cm_refresh(get(), text, out, error); }));
    }
    void logout(std::string_view access_token) const {
        const detail::Text text(access_token);
        detail::check([&](auto error) { return cm_logout(get(), text, error); });
    }
    /* Ends calls in progress within 100 ms, and later calls at once. cm_client_cancel has the exceptions. */
    void cancel() const noexcept { cm_client_cancel(get()); }
};

/* One login of a user. */
class Login : public detail::Object<cm_login, cm_login_free> {
  public:
    Login(const Client &client, std::string_view redirect_uri) : Object(begin(client, redirect_uri)) {}
    /* A login whose redirect this machine receives: open its url(), then call wait(). */
    static Login listen(const Client &client, int port = 0) {
        return Login(detail::make<Handle>(
            [&](auto out, auto error) { return cm_login_listen(client.get(), port, out, error); }));
    }
    /* A login that another process or machine began. */
    static Login from_json(const Client &client, std::string_view json) {
        const detail::Text text(json);
        return Login(detail::make<Handle>(
            [&](auto out, auto error) { return cm_login_from_json(client.get(), text, out, error); }));
    }
    std::string_view url() const { return cm_login_url(get()); }
    /* Secret. Valid while the login exists. */
    std::string_view to_json() const { return cm_login_to_json(get()); }
    bool is_redirect(std::string_view url) const { return cm_login_is_redirect(get(), detail::Text(url)) == 1; }
    Tokens finish(std::string_view redirected_url) const {
        const detail::Text text(redirected_url);
        return Tokens(detail::make<Tokens::Handle>(
            [&](auto out, auto error) { return cm_login_finish(get(), text, out, error); }));
    }
    /* Waits for the browser and finishes a login that listens. */
    Tokens wait(std::chrono::milliseconds timeout) const {
        return Tokens(detail::make<Tokens::Handle>(
            [&](auto out, auto error) { return cm_login_wait(get(), timeout.count(), out, error); }));
    }
    /* Ends wait() within 100 ms: see cm_login_cancel. Another thread calls it. */
    void cancel() const noexcept { cm_login_cancel(get()); }
    /* The text that the browser shows after a successful wait(). */
    const Login &set_message(std::string_view text) const {
        cm_login_set_message(get(), detail::Text(text));
        return *this;
    }

  private:
    explicit Login(Handle handle) noexcept : Object(std::move(handle)) {}
    static Handle begin(const Client &client, std::string_view redirect_uri) {
        const detail::Text text(redirect_uri);
        return detail::make<Handle>([&](auto out, auto error) { return cm_login_new(client.get(), text, out, error); });
    }
};

/* The base class of a store of your own. cm_store_callbacks has the rules. If a function throws, the message of the
 * exception becomes the message of the session's error; tokens in it are hidden. */
class CustomStore {
  public:
    virtual ~CustomStore() = default;
    virtual std::optional<std::string> load() = 0;
    /* Returns false if the stored generation is not smaller. */
    virtual bool save(std::string_view record, std::uint64_t generation) = 0;
    virtual bool clear(std::uint64_t generation) = 0;
    /* Does not wait. Returns false if another holder has the lock. */
    virtual bool try_lock(std::chrono::milliseconds hold) = 0;
    /* Called on the thread of the try_lock. */
    virtual void unlock() = 0;
    /* The generation of the last save or clear, if the store tracks generations. Called after each load. */
    virtual std::uint64_t generation() { return 0; }
};

/* Keeps the tokens of a session when the process ends. */
class Store : public detail::Object<cm_store, cm_store_free> {
  public:
    static Store memory() { return Store(Handle(cm_store_memory())); }
    static Store file(std::string_view path) { return Store(Handle(cm_store_file(detail::Text(path)))); }
    /* `store` exists at least until the last session that uses it is destroyed. */
    static Store custom(std::shared_ptr<CustomStore> store) {
        static const cm_store_callbacks callbacks = {
            sizeof(cm_store_callbacks), &load, &save, &clear, &try_lock, &unlock, &destroy,
        };
        auto context = std::make_unique<std::shared_ptr<CustomStore>>(std::move(store));
        Store made(Handle(cm_store_custom(&callbacks, context.get())));
        context.release(); /* destroy() frees it. */
        return made;
    }

  private:
    explicit Store(Handle handle) noexcept : Object(std::move(handle)) {}

    static CustomStore &of(void *context) { return **static_cast<std::shared_ptr<CustomStore> *>(context); }
    /* Keeps exceptions out of C. */
    template <typename Work> static int guarded(cm_store_reply *reply, Work work) noexcept {
        try {
            return work();
        } catch (const std::exception &error) {
            cm_store_reply_set_message(reply, error.what());
        } catch (...) {
            cm_store_reply_set_message(reply, "an exception of an unknown type");
        }
        return CM_STORE_RESULT_FAILED;
    }
    static int load(void *context, cm_store_reply *reply) noexcept {
        return guarded(reply, [&] {
            if (const std::optional<std::string> record = of(context).load())
                cm_store_reply_set_record(reply, detail::Text(*record));
            cm_store_reply_set_generation(reply, of(context).generation());
            return CM_STORE_RESULT_OK;
        });
    }
    static int save(void *context, const char *record, std::uint64_t generation, cm_store_reply *reply) noexcept {
        return guarded(
            reply, [&] { return of(context).save(record, generation) ? CM_STORE_RESULT_OK : CM_STORE_RESULT_NEWER; });
    }
    static int clear(void *context, std::uint64_t generation, cm_store_reply *reply) noexcept {
        return guarded(reply,
                       [&] { return of(context).clear(generation) ? CM_STORE_RESULT_OK : CM_STORE_RESULT_NEWER; });
    }
    static int try_lock(void *context, std::int64_t hold_ms, cm_store_reply *reply) noexcept {
        return guarded(reply, [&] {
            return of(context).try_lock(std::chrono::milliseconds(hold_ms)) ? CM_STORE_RESULT_OK : CM_STORE_RESULT_BUSY;
        });
    }
    static void unlock(void *context) noexcept {
        guarded(nullptr, [&] {
            of(context).unlock();
            return CM_STORE_RESULT_OK;
        });
    }
    static void destroy(void *context) noexcept { delete static_cast<std::shared_ptr<CustomStore> *>(context); }
};

/* The state of a session at one moment. It contains no secret. */
class Health : public detail::Object<cm_health, cm_health_free> {
  public:
    bool logged_in() const noexcept { return cm_health_logged_in(get()) == 1; }
    std::uint64_t generation() const noexcept { return cm_health_generation(get()); }
    /* Unix seconds; std::nullopt: never, or nobody is logged in. */
    std::optional<std::int64_t> expires_at() const { return detail::optional_time(cm_health_expires_at(get())); }
    std::optional<std::int64_t> next_refresh() const { return detail::optional_time(cm_health_next_refresh(get())); }
    std::uint32_t failures() const noexcept { return cm_health_failures(get()); }
    /* The message of the last failure, if there is one. cm_health_last_error(health.get()) has the details. */
    std::optional<std::string_view> last_error() const {
        const cm_error *error = cm_health_last_error(get());
        return error ? std::optional<std::string_view>(cm_error_message(error)) : std::nullopt;
    }
    bool saved() const noexcept { return cm_health_saved(get()) == 1; }

  private:
    explicit Health(Handle handle) noexcept : Object(std::move(handle)) {}
    friend class Session;
};

/* One logged-in user. Threads, processes and machines that share the store share the user. */
class Session {
  public:
    /* Also succeeds if the content of the store is damaged or belongs to another API key or server. Then health() has
     * the reason, the other calls throw it (CM_STATUS_STORE, CM_ADVICE_FIX), and forget() clears the store. */
    Session(const Client &client, const Store &store)
        : on_change_(std::make_unique<OnChange>()), handle_(detail::make<Handle>([&](auto out, auto error) {
              return cm_session_open(client.get(), store.get(), out, error);
          })) {}
    cm_session *get() const noexcept { return handle_.get(); }
    void start(const Tokens &tokens) const {
        detail::check([&](auto error) { return cm_session_start(get(), tokens.get(), error); });
    }
    /* After a failure of the server, calls throw the same error at once until its retry_after() has passed. */
    Tokens tokens() const {
        return Tokens(
            detail::make<Tokens::Handle>([&](auto out, auto error) { return cm_session_tokens(get(), out, error); }));
    }
    /* Throws CM_STATUS_TOKEN_REJECTED with a retry_after() if the tokens are too young to be refreshed again. */
    Tokens rejected(const Tokens &tokens) const {
        return Tokens(detail::make<Tokens::Handle>(
            [&](auto out, auto error) { return cm_session_rejected(get(), tokens.get(), out, error); }));
    }
    /* true: the server confirmed it; false: the login had already ended. Throws if the server could not be told. */
    bool logout() const {
        cm_error *error = nullptr;
        const cm_status status = cm_session_logout(get(), &error);
        if (status != CM_STATUS_OK && status != CM_STATUS_LOGIN_REQUIRED)
            throw Error(status, error);
        cm_error_free(error);
        return status == CM_STATUS_OK;
    }
    void forget() const {
        detail::check([&](auto error) { return cm_session_forget(get(), error); });
    }
    /* Set the callback once, before other threads use the session. It is called on a thread that is in a call of the
     * session. The generation is a different number after each change. */
    void on_change(std::function<void(std::uint64_t generation)> callback) {
        cm_session_on_change(get(), nullptr, nullptr);
        *on_change_ = std::move(callback);
        if (*on_change_)
            cm_session_on_change(get(), &changed, on_change_.get());
    }
    Health health() const {
        cm_health *health = nullptr;
        if (const cm_status status = cm_session_health(get(), &health))
            throw Error(status, nullptr);
        return Health(Health::Handle(health));
    }

  private:
    using Handle = detail::Handle<cm_session, cm_session_free>;
    using OnChange = std::function<void(std::uint64_t)>;
    static void changed(void *context, std::uint64_t generation) noexcept {
        try {
            (*static_cast<OnChange *>(context))(generation);
        } catch (...) { /* Keeps exceptions out of C. */
        }
    }
    std::unique_ptr<OnChange>
        on_change_; /* Destroyed after the handle below. Keeps its address when the session is moved. */
    Handle handle_;
};

/* Sets the log callback of this process. An empty function turns the log off. See cm_set_log. */
inline void set_log(cm_log_level level, std::function<void(cm_log_level level, std::string_view line)> callback) {
    using Callback = std::function<void(cm_log_level, std::string_view)>;
    static std::mutex guard;
    static std::unique_ptr<Callback> current;
    struct Thunk {
        static void call(void *context, cm_log_level level, const char *line) noexcept {
            try {
                (*static_cast<Callback *>(context))(level, line);
            } catch (...) { /* Keeps exceptions out of C. */
            }
        }
    };
    const std::lock_guard<std::mutex> lock(guard);
    auto next = callback ? std::make_unique<Callback>(std::move(callback)) : nullptr;
    cm_set_log(level, next ? &Thunk::call : nullptr, next.get());
    current = std::move(next); /* The previous callback is no longer in use. */
}

/* The version of the loaded library, such as "0.1.0". */
inline std::string_view version() {
    return cm_version();
}

} // namespace cm

#endif

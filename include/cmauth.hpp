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
 *     session.with_tokens([&](const auto &tokens) { // "Authorization: " + tokens.authorization()
 *         return get_cameras(tokens.authorization()) == 401 ? CM_ANSWER_REJECTED : CM_ANSWER_DONE;
 *     });
 *
 * Build it with `c++ -std=c++17 program.cpp -lcmauth`. cmauth.h describes what each function does. C++ adds this:
 *
 * - An object owns its handle. It can be moved, but not copied. After a move, only destroy the old object or assign to
 *   it. `get()` gives the handle for functions of cmauth.h, and the object still owns it.
 * - A call that fails throws cm::Error. Setters, getters and destructors throw nothing except std::bad_alloc.
 * - Without exceptions (-fno-exceptions), a call that can fail returns a cm::Result, which has the value or the
 * cm::Error. In place of the constructors of Client, Login and Session, use Client::make, Login::begin and
 * Session::open, which exist with exceptions as well.
 * - Texts that you pass are std::string_view. The object copies them, and wipes its copy after the call. A text that
 *   contains a NUL is refused with CM_STATUS_INVALID_ARGUMENT.
 * - Texts that you get are std::string_view. They are valid while the object exists that gave them.
 * - Many threads may call `const` member functions of one object at once.
 * - The library keeps the functions that you pass, until it does not call them any more. An exception of a store's
 *   function becomes the message of the failure. Exceptions of other callbacks are ignored.
 */

#ifndef CMAUTH_HPP
#define CMAUTH_HPP

#include <cmauth.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS) || defined(_CPPUNWIND)
#define CM_HAS_EXCEPTIONS 1
#else
#define CM_HAS_EXCEPTIONS 0
#endif

namespace cm {
/* Two names, so that a program can link files that were compiled with exceptions and without. */
#if CM_HAS_EXCEPTIONS
inline namespace with_exceptions {
#else
inline namespace without_exceptions {
#endif

namespace detail {

template <typename T, void (*Free)(T *)> struct Deleter {
    void operator()(T *handle) const noexcept { Free(handle); }
};

template <typename T, void (*Free)(T *)> using Handle = std::unique_ptr<T, Deleter<T, Free>>;

/* A NUL-terminated copy of a text. The destructor wipes it, because it may be secret. */
class Text {
  public:
    explicit Text(std::string_view text) : copy_(text) {
        /* The library refuses these two bytes and says that the text has a NUL in it. */
        for (std::size_t at = 0; (at = copy_.find('\0', at)) != std::string::npos; at += 2)
            copy_.replace(at, 1, "\xC0\x80");
    }
    Text(const Text &) = delete;
    Text &operator=(const Text &) = delete;
    ~Text() {
        volatile char *bytes = copy_.data();
        for (std::size_t i = 0; i < copy_.size(); i++)
            bytes[i] = 0;
    }
    operator const char *() const noexcept { return copy_.c_str(); }

  private:
    std::string copy_;
};

inline std::optional<std::string_view> optional_text(const char *text) {
    return text ? std::optional<std::string_view>(text) : std::nullopt;
}

inline std::optional<std::int64_t> optional_number(std::int64_t number) {
    return number == CM_NONE ? std::nullopt : std::optional<std::int64_t>(number);
}

template <typename Unit> std::optional<Unit> optional_time(std::int64_t number) {
    return number == CM_NONE ? std::nullopt : std::optional<Unit>(number);
}

/* Runs `work`. An exception does not leave it: `failed` gets its message. */
template <typename Work, typename Failed> void guarded(Work work, Failed failed) noexcept {
#if CM_HAS_EXCEPTIONS
    try {
        work();
    } catch (const std::exception &error) {
        failed(error.what());
    } catch (...) {
        failed("an exception of an unknown type");
    }
#else
    (void)failed;
    work();
#endif
}

/* A function that the library keeps as the context of a callback. */
template <typename... Parameters> struct Kept {
    using Function = std::function<void(Parameters...)>;
    template <typename... Arguments> static void call(void *context, Arguments... arguments) noexcept {
        guarded([&] { (*static_cast<Function *>(context))(Parameters(arguments)...); }, [](const char *) {});
    }
    static void destroy(void *context) noexcept { delete static_cast<Function *>(context); }
};

} // namespace detail

/* Details of a failure. `what()` is one line: what happened, and what to do. It contains no secret. */
class Error : public std::runtime_error {
  public:
    /* Takes ownership of `error`. */
    Error(cm_status status, cm_error *error)
        : std::runtime_error(error ? cm_error_message(error) : cm_status_name(status)), status_(status),
          error_(error, cm_error_free) {}
    /* For a CustomStore that must not throw: the message becomes that of the session's error. */
    explicit Error(const std::string &message) : std::runtime_error(message), status_(CM_STATUS_STORE) {}
    [[nodiscard]] cm_status status() const noexcept { return status_; }
    [[nodiscard]] cm_advice advice() const noexcept { return cm_error_advice(error_.get()); }
    /* std::nullopt: there was no response. */
    [[nodiscard]] std::optional<int> http_status() const {
        const std::int32_t status = cm_error_http_status(error_.get());
        return status == CM_NONE ? std::nullopt : std::optional<int>(status);
    }
    [[nodiscard]] std::optional<std::string_view> oauth_error() const {
        return detail::optional_text(cm_error_oauth_error(error_.get()));
    }
    [[nodiscard]] std::optional<std::string_view> oauth_description() const {
        return detail::optional_text(cm_error_oauth_description(error_.get()));
    }
    /* How long to wait before the next try, if a time is known. */
    [[nodiscard]] std::optional<std::chrono::seconds> retry_after() const {
        return detail::optional_time<std::chrono::seconds>(cm_error_retry_after(error_.get()));
    }

  private:
    cm_status status_;
    std::shared_ptr<cm_error> error_; /* Shared, because copying an exception must not throw. */
};

/* The value that a call returned, or its error. Read only the one that is there. */
template <typename T> class [[nodiscard]] Result {
  public:
    Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : content_(std::in_place_index<1>, std::move(error)) {}
    [[nodiscard]] bool has_value() const noexcept { return content_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }
    [[nodiscard]] T &value() & { return *std::get_if<0>(&content_); }
    [[nodiscard]] const T &value() const & { return *std::get_if<0>(&content_); }
    [[nodiscard]] T &&value() && { return std::move(*std::get_if<0>(&content_)); }
    [[nodiscard]] T &operator*() & { return value(); }
    [[nodiscard]] const T &operator*() const & { return value(); }
    [[nodiscard]] T &&operator*() && { return std::move(*this).value(); }
    [[nodiscard]] T *operator->() { return &value(); }
    [[nodiscard]] const T *operator->() const { return &value(); }
    [[nodiscard]] const Error &error() const { return *std::get_if<1>(&content_); }

  private:
    std::variant<T, Error> content_;
};

template <> class [[nodiscard]] Result<void> {
  public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}
    [[nodiscard]] bool has_value() const noexcept { return !error_; }
    explicit operator bool() const noexcept { return has_value(); }
    [[nodiscard]] const Error &error() const { return *error_; }

  private:
    std::optional<Error> error_;
};

/* What a call that can fail returns. */
#if CM_HAS_EXCEPTIONS
template <typename T> using Returns = T;
#else
template <typename T> using Returns = Result<T>;
#endif

namespace detail {

/* Fails a call: throws, or returns the error. */
#if CM_HAS_EXCEPTIONS
[[noreturn]] inline void fail(Error error) {
    throw error;
}
#else
inline Error fail(Error error) {
    return error;
}
#endif

/* Runs a call that makes no handle. */
template <typename Call> Returns<void> check(Call call) {
    cm_error *error = nullptr;
    if (const cm_status status = call(&error))
        return fail(Error(status, error));
    return Returns<void>();
}

/* Runs a call that makes a handle. */
template <typename T, typename Call> Returns<typename T::Handle> make_handle(Call call) {
    typename T::Handle::pointer made = nullptr;
    cm_error *error = nullptr;
    if (const cm_status status = call(&made, &error)) {
#if CM_HAS_EXCEPTIONS
        throw Error(status, error);
#else
        return Error(status, error);
#endif
    }
    return typename T::Handle(made);
}

/* The base of the classes: it owns the handle. */
template <typename T, void (*Free)(T *)> class Object {
  public:
    using Handle = detail::Handle<T, Free>;
    [[nodiscard]] T *get() const noexcept { return handle_.get(); }

  protected:
    explicit Object(Handle handle) noexcept : handle_(std::move(handle)) {}

  private:
    Handle handle_;
};

/* Makes an object of the handle that a call makes. The classes have constructors that only this can use. */
struct Maker {
    template <typename T, typename Call> static Returns<T> make(Call call) {
#if CM_HAS_EXCEPTIONS
        return T(make_handle<T>(call));
#else
        auto handle = make_handle<T>(call);
        if (!handle)
            return handle.error();
        return T(std::move(*handle));
#endif
    }
};

} // namespace detail

/* The API key, the server and the limits. */
class Config : public detail::Object<cm_config, cm_config_free> {
  public:
    Config(std::string_view client_id, std::string_view client_secret)
        : Object(Handle(cm_config_new(detail::Text(client_id), detail::Text(client_secret)))) {}
    /* For a machine that must not have the secret. It can begin logins and log out. */
    [[nodiscard]] static Config without_secret(std::string_view client_id) {
        return Config(Handle(cm_config_new_public(detail::Text(client_id))));
    }
    Config &set_base_url(std::string_view url) {
        cm_config_set_base_url(get(), detail::Text(url));
        return *this;
    }
    /* Another origin that may get the access token of a user: "https://media.example". Call it once for each. */
    Config &allow_origin(std::string_view origin) {
        cm_config_allow_origin(get(), detail::Text(origin));
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
    Config &set_max_retries(std::int32_t retries) {
        cm_config_set_max_retries(get(), retries);
        return *this;
    }
    Config &set_params_in_body(bool in_body) {
        cm_config_set_params_in_body(get(), in_body ? 1 : 0);
        return *this;
    }
    /* The log of the client. An empty function: it logs nothing. */
    Config &set_log(cm_log_level level, std::function<void(cm_log_level level, std::string_view line)> log) {
        using Log = detail::Kept<cm_log_level, std::string_view>;
        if (log)
            cm_config_set_log(get(), level, &Log::call, new Log::Function(std::move(log)), &Log::destroy);
        else
            cm_config_set_log(get(), level, nullptr, nullptr, nullptr);
        return *this;
    }

  private:
    explicit Config(Handle handle) noexcept : Object(std::move(handle)) {}
};

/* What Tokens and TokensView have in common. */
template <typename Self> class TokensReader {
  public:
    [[nodiscard]] std::string_view access_token() const { return cm_tokens_access_token(tokens()); }
    /* "Bearer " and the access token, for the header Authorization. */
    [[nodiscard]] std::string_view authorization() const { return cm_tokens_authorization(tokens()); }
    [[nodiscard]] std::optional<std::string_view> refresh_token() const {
        return detail::optional_text(cm_tokens_refresh_token(tokens()));
    }
    [[nodiscard]] std::string_view token_type() const { return cm_tokens_token_type(tokens()); }
    [[nodiscard]] std::optional<std::string_view> scope() const {
        return detail::optional_text(cm_tokens_scope(tokens()));
    }
    /* Unix seconds; std::nullopt: never. */
    [[nodiscard]] std::optional<std::int64_t> expires_at() const {
        return detail::optional_number(cm_tokens_expires_at(tokens()));
    }
    /* How long the access token is still valid, at least 0; std::nullopt: it never expires. */
    [[nodiscard]] std::optional<std::chrono::seconds> expires_in() const {
        return detail::optional_time<std::chrono::seconds>(cm_tokens_expires_in(tokens()));
    }
    /* Secret. Valid while the tokens exist. */
    [[nodiscard]] std::string_view to_json() const { return cm_tokens_to_json(tokens()); }

  private:
    const cm_tokens *tokens() const noexcept { return static_cast<const Self *>(this)->get(); }
};

/* The tokens of a user, and when they expire. They never change: a refresh makes new ones. */
class Tokens : public detail::Object<cm_tokens, cm_tokens_free>, public TokensReader<Tokens> {
  public:
    /* Takes ownership of tokens from a function of cmauth.h. */
    explicit Tokens(cm_tokens *tokens) noexcept : Object(Handle(tokens)) {}
    [[nodiscard]] static Returns<Tokens> from_json(std::string_view json) {
        const detail::Text text(json);
        return detail::Maker::make<Tokens>([&](auto out, auto error) { return cm_tokens_from_json(text, out, error); });
    }

  private:
    explicit Tokens(Handle handle) noexcept : Object(std::move(handle)) {}
    friend detail::Maker;
};

/* Tokens that a callback may read until it returns. */
class TokensView : public TokensReader<TokensView> {
  public:
    explicit TokensView(const cm_tokens *tokens) noexcept : tokens_(tokens) {}
    [[nodiscard]] const cm_tokens *get() const noexcept { return tokens_; }

  private:
    const cm_tokens *tokens_;
};

/* Who a login is of. It contains no secret. */
class User : public detail::Object<cm_user, cm_user_free> {
  public:
    /* The same for every login of the user. */
    [[nodiscard]] std::string_view id() const { return cm_user_id(get()); }
    [[nodiscard]] std::optional<std::string_view> name() const { return detail::optional_text(cm_user_name(get())); }
    [[nodiscard]] std::optional<std::string_view> email() const { return detail::optional_text(cm_user_email(get())); }

  private:
    explicit User(Handle handle) noexcept : Object(std::move(handle)) {}
    friend detail::Maker;
};

/* Sends requests for one API key: exchanges a code, refreshes, logs out. All threads can share it. */
class Client : public detail::Object<cm_client, cm_client_free> {
  public:
#if CM_HAS_EXCEPTIONS
    explicit Client(const Config &config) : Client(make(config)) {}
#endif
    [[nodiscard]] static Returns<Client> make(const Config &config) {
        return detail::Maker::make<Client>(
            [&](auto out, auto error) { return cm_client_new(config.get(), out, error); });
    }
    [[nodiscard]] Returns<Tokens> exchange_code(std::string_view code, std::string_view redirect_uri) const {
        const detail::Text code_text(code), uri_text(redirect_uri);
        return detail::Maker::make<Tokens>(
            [&](auto out, auto error) { return cm_exchange_code(get(), code_text, uri_text, out, error); });
    }
    [[nodiscard]] Returns<Tokens> refresh(std::string_view refresh_token) const {
        const detail::Text text(refresh_token);
        return detail::Maker::make<Tokens>([&](auto out, auto error) { return cm_refresh(get(), text, out, error); });
    }
    Returns<void> logout(std::string_view access_token) const {
        const detail::Text text(access_token);
        return detail::check([&](auto error) { return cm_logout(get(), text, error); });
    }
    /* Asks the API who the user of the token is. */
    [[nodiscard]] Returns<User> user(std::string_view access_token) const {
        const detail::Text text(access_token);
        return detail::Maker::make<User>([&](auto out, auto error) { return cm_get_user(get(), text, out, error); });
    }
    /* Fails if the URL may not get the access token of a user. Sends nothing. */
    Returns<void> check_url(std::string_view url) const {
        const detail::Text text(url);
        return detail::check([&](auto error) { return cm_client_check_url(get(), text, error); });
    }
    /* Ends calls in progress within 100 ms, and later calls at once. cm_client_cancel has the exceptions. */
    void cancel() const noexcept { cm_client_cancel(get()); }

  private:
    explicit Client(Handle handle) noexcept : Object(std::move(handle)) {}
    friend detail::Maker;
};

/* Ends the calls that a thread makes in a CancelScope of it. */
class Cancel : public detail::Object<cm_cancel, cm_cancel_free> {
  public:
    Cancel() : Object(Handle(cm_cancel_new())) {}
    /* From any thread. A signal handler calls cm_cancel_now(cancel.get()). */
    void now() const noexcept { cm_cancel_now(get()); }
};

/* While it exists, the calls of this thread end when `cancel` is cancelled. Destroy it on the same thread. */
class [[nodiscard]] CancelScope {
  public:
    explicit CancelScope(const Cancel &cancel) noexcept : outer_(cm_cancel_scope(cancel.get())) {}
    ~CancelScope() { cm_cancel_scope(outer_); }
    CancelScope(const CancelScope &) = delete;
    CancelScope &operator=(const CancelScope &) = delete;

  private:
    const cm_cancel *outer_;
};

/* One login of a user. */
class Login : public detail::Object<cm_login, cm_login_free> {
  public:
#if CM_HAS_EXCEPTIONS
    Login(const Client &client, std::string_view redirect_uri) : Login(begin(client, redirect_uri)) {}
#endif
    [[nodiscard]] static Returns<Login> begin(const Client &client, std::string_view redirect_uri) {
        const detail::Text text(redirect_uri);
        return detail::Maker::make<Login>(
            [&](auto out, auto error) { return cm_login_new(client.get(), text, out, error); });
    }
    /* A login whose redirect this machine receives: open its url(), then call wait(). */
    [[nodiscard]] static Returns<Login> listen(const Client &client, std::int32_t port = 0) {
        return detail::Maker::make<Login>(
            [&](auto out, auto error) { return cm_login_listen(client.get(), port, out, error); });
    }
    /* A login that another process or machine began. */
    [[nodiscard]] static Returns<Login> from_json(const Client &client, std::string_view json) {
        const detail::Text text(json);
        return detail::Maker::make<Login>(
            [&](auto out, auto error) { return cm_login_from_json(client.get(), text, out, error); });
    }
    [[nodiscard]] std::string_view url() const { return cm_login_url(get()); }
    /* Secret. Valid while the login exists. */
    [[nodiscard]] std::string_view to_json() const { return cm_login_to_json(get()); }
    [[nodiscard]] bool is_redirect(std::string_view url) const {
        return cm_login_is_redirect(get(), detail::Text(url)) == 1;
    }
    [[nodiscard]] Returns<Tokens> finish(std::string_view redirected_url) const {
        const detail::Text text(redirected_url);
        return detail::Maker::make<Tokens>(
            [&](auto out, auto error) { return cm_login_finish(get(), text, out, error); });
    }
    /* Waits for the browser and finishes a login that listens. */
    [[nodiscard]] Returns<Tokens> wait(std::chrono::milliseconds timeout) const {
        return detail::Maker::make<Tokens>(
            [&](auto out, auto error) { return cm_login_wait(get(), timeout.count(), out, error); });
    }
    /* Ends wait() within 100 ms: see cm_login_cancel. Another thread calls it. */
    void cancel() const noexcept { cm_login_cancel(get()); }
    /* The text that the browser shows after a successful wait(). */
    const Login &set_message(std::string_view text) const {
        cm_login_set_message(get(), detail::Text(text));
        return *this;
    }
    /* A text of the page that the browser shows after wait(). */
    const Login &set_page(cm_page_text key, std::string_view text) const {
        cm_login_set_page(get(), key, detail::Text(text));
        return *this;
    }

  private:
    explicit Login(Handle handle) noexcept : Object(std::move(handle)) {}
    friend detail::Maker;
};

/* Opens a page, such as the url() of a login, in the user's browser. */
inline Returns<void> open_browser(std::string_view url) {
    const detail::Text text(url);
    return detail::check([&](auto error) { return cm_open_browser(text, error); });
}

/* The base class of a store of your own. cm_store_callbacks has the rules. A function that fails throws, or returns
 * Error("..."), and its message becomes that of the session's error; tokens in it are hidden. */
class CustomStore {
  public:
    virtual ~CustomStore() = default;
    virtual Returns<std::optional<std::string>> load() = 0;
    /* Returns false if the stored generation is not smaller. */
    virtual Returns<bool> save(std::string_view record, std::int64_t generation) = 0;
    virtual Returns<bool> clear(std::int64_t generation) = 0;
    /* Does not wait. Returns false if another holder has the lock. */
    virtual Returns<bool> try_lock(std::chrono::milliseconds hold) = 0;
    /* Called on the thread of the try_lock. A failure is logged. */
    virtual Returns<void> unlock() = 0;
    /* The generation of the last save or clear, if the store tracks generations. Called after each load. */
    virtual Returns<std::int64_t> generation() { return std::int64_t(0); }

  protected:
    /* How long the function that runs may still take: neither a timeout nor a cancel ends it. */
    [[nodiscard]] static std::optional<std::chrono::milliseconds> time_left() {
        return detail::optional_time<std::chrono::milliseconds>(cm_store_time_left_ms());
    }
};

/* Keeps the tokens of a session when the process ends. */
class Store : public detail::Object<cm_store, cm_store_free> {
  public:
    [[nodiscard]] static Store memory() { return Store(Handle(cm_store_memory())); }
    [[nodiscard]] static Store file(std::string_view path) { return Store(Handle(cm_store_file(detail::Text(path)))); }
    /* `store` exists at least until the last session that uses it is destroyed. */
    [[nodiscard]] static Store custom(std::shared_ptr<CustomStore> store) {
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
    /* The result for C. `use` gets the value. */
    template <typename Work, typename Use>
    static std::int32_t result(cm_store_reply *reply, Work work, Use use) noexcept {
        std::int32_t result = CM_STORE_RESULT_FAILED;
        const auto failed = [&](const char *message) { cm_store_reply_set_message(reply, message); };
        detail::guarded(
            [&] {
#if CM_HAS_EXCEPTIONS
                result = use(work());
#else
                auto value = work();
                if (value)
                    result = use(*value);
                else
                    failed(value.error().what());
#endif
            },
            failed);
        return result;
    }
    static std::int32_t load(void *context, cm_store_reply *reply) noexcept {
        const std::int32_t loaded = result(
            reply, [&] { return of(context).load(); },
            [&](const std::optional<std::string> &record) {
                if (record)
                    cm_store_reply_set_record(reply, detail::Text(*record));
                return CM_STORE_RESULT_OK;
            });
        if (loaded != CM_STORE_RESULT_OK)
            return loaded;
        return result(
            reply, [&] { return of(context).generation(); },
            [&](std::int64_t generation) {
                cm_store_reply_set_generation(reply, generation);
                return CM_STORE_RESULT_OK;
            });
    }
    static std::int32_t save(void *context, const char *record, std::int64_t generation,
                             cm_store_reply *reply) noexcept {
        return result(
            reply, [&] { return of(context).save(record, generation); },
            [](bool saved) { return saved ? CM_STORE_RESULT_OK : CM_STORE_RESULT_NEWER; });
    }
    static std::int32_t clear(void *context, std::int64_t generation, cm_store_reply *reply) noexcept {
        return result(
            reply, [&] { return of(context).clear(generation); },
            [](bool cleared) { return cleared ? CM_STORE_RESULT_OK : CM_STORE_RESULT_NEWER; });
    }
    static std::int32_t try_lock(void *context, std::int64_t hold_ms, cm_store_reply *reply) noexcept {
        return result(
            reply, [&] { return of(context).try_lock(std::chrono::milliseconds(hold_ms)); },
            [](bool locked) { return locked ? CM_STORE_RESULT_OK : CM_STORE_RESULT_BUSY; });
    }
    static std::int32_t unlock(void *context, cm_store_reply *reply) noexcept {
        return result(
            reply,
            [&]() -> Returns<bool> {
#if CM_HAS_EXCEPTIONS
                of(context).unlock();
#else
                if (const Result<void> unlocked = of(context).unlock(); !unlocked)
                    return unlocked.error();
#endif
                return true;
            },
            [](bool) { return CM_STORE_RESULT_OK; });
    }
    static void destroy(void *context) noexcept { delete static_cast<std::shared_ptr<CustomStore> *>(context); }
};

/* A URL with an access token in its query. It is as secret as the token. */
class SignedUrl : public detail::Object<cm_signed_url, cm_signed_url_free> {
  public:
    [[nodiscard]] std::string_view url() const noexcept { return cm_signed_url_url(get()); }
    /* Unix seconds; std::nullopt: never. */
    [[nodiscard]] std::optional<std::int64_t> expires_at() const {
        return detail::optional_number(cm_signed_url_expires_at(get()));
    }

  private:
    explicit SignedUrl(Handle handle) noexcept : Object(std::move(handle)) {}
    friend detail::Maker;
};

/* The state of a session at one moment. It contains no secret. */
class Health : public detail::Object<cm_health, cm_health_free> {
  public:
    [[nodiscard]] bool logged_in() const noexcept { return cm_health_logged_in(get()) == 1; }
    /* std::nullopt: this process has seen no login. */
    [[nodiscard]] std::optional<std::int64_t> generation() const {
        return detail::optional_number(cm_health_generation(get()));
    }
    /* Unix seconds; std::nullopt: never, or nobody is logged in. */
    [[nodiscard]] std::optional<std::int64_t> expires_at() const {
        return detail::optional_number(cm_health_expires_at(get()));
    }
    [[nodiscard]] std::optional<std::int64_t> next_refresh() const {
        return detail::optional_number(cm_health_next_refresh(get()));
    }
    /* Until when Session::hold() holds early refreshes off. */
    [[nodiscard]] std::optional<std::int64_t> held_until() const {
        return detail::optional_number(cm_health_held_until(get()));
    }
    [[nodiscard]] std::int32_t failures() const noexcept { return cm_health_failures(get()); }
    /* The message of the last failure, if there is one. cm_health_last_error(health.get()) has the details. */
    [[nodiscard]] std::optional<std::string_view> last_error() const {
        const cm_error *error = cm_health_last_error(get());
        return error ? std::optional<std::string_view>(cm_error_message(error)) : std::nullopt;
    }
    [[nodiscard]] bool saved() const noexcept { return cm_health_saved(get()) == 1; }
    [[nodiscard]] bool kept_fresh() const noexcept { return cm_health_kept_fresh(get()) == 1; }

  private:
    explicit Health(Handle handle) noexcept : Object(std::move(handle)) {}
    friend detail::Maker;
};

/* One logged-in user. Threads, processes and machines that share the store share the user. */
class Session : public detail::Object<cm_session, cm_session_free> {
  public:
#if CM_HAS_EXCEPTIONS
    Session(const Client &client, const Store &store) : Session(open(client, store)) {}
#endif
    /* Also succeeds if the content of the store is damaged or belongs to another API key or server. Then health() has
     * the reason, the other calls fail with it (CM_STATUS_STORE, CM_ADVICE_FIX), and forget() clears the store. */
    [[nodiscard]] static Returns<Session> open(const Client &client, const Store &store) {
        return detail::Maker::make<Session>(
            [&](auto out, auto error) { return cm_session_open(client.get(), store.get(), out, error); });
    }
    Returns<void> start(const Tokens &tokens) const {
        return detail::check([&](auto error) { return cm_session_start(get(), tokens.get(), error); });
    }
    /* After a failure of the server, calls fail with the same error at once until its retry_after() has passed. */
    [[nodiscard]] Returns<Tokens> tokens() const {
        return detail::Maker::make<Tokens>([&](auto out, auto error) { return cm_session_tokens(get(), out, error); });
    }
    /* Tokens that are valid for at least this long, refreshed first if need be. */
    [[nodiscard]] Returns<Tokens> tokens_for(std::chrono::seconds time) const {
        return detail::Maker::make<Tokens>(
            [&](auto out, auto error) { return cm_session_tokens_for(get(), time.count(), out, error); });
    }
    /* Holds early refreshes off until `until` (Unix seconds), for all sessions on the store. */
    Returns<Tokens> hold(std::int64_t until) const {
        return detail::Maker::make<Tokens>(
            [&](auto out, auto error) { return cm_session_hold(get(), until, out, error); });
    }
    /* The URL with the access token in its query. Fails if the URL may not get the token. */
    [[nodiscard]] Returns<SignedUrl> sign_url(std::string_view url) const {
        const detail::Text text(url);
        return detail::Maker::make<SignedUrl>(
            [&](auto out, auto error) { return cm_session_sign_url(get(), text, out, error); });
    }
    /* Never waits. std::nullopt: call tokens() on another thread. */
    [[nodiscard]] std::optional<Tokens> tokens_at_hand() const {
        cm_tokens *tokens = cm_session_tokens_at_hand(get());
        return tokens ? std::optional<Tokens>(tokens) : std::nullopt;
    }
    /* Fails with CM_STATUS_TOKEN_REJECTED and a retry_after() if the tokens are too young to be refreshed again. */
    [[nodiscard]] Returns<Tokens> rejected(const Tokens &tokens) const {
        return detail::Maker::make<Tokens>(
            [&](auto out, auto error) { return cm_session_rejected(get(), tokens.get(), out, error); });
    }
    /* For a caller that has only the access token. */
    [[nodiscard]] Returns<Tokens> rejected(std::string_view access_token) const {
        const detail::Text text(access_token);
        return detail::Maker::make<Tokens>(
            [&](auto out, auto error) { return cm_session_rejected_token(get(), text, out, error); });
    }
    /* Calls `use(const TokensView &)`, which returns CM_ANSWER_DONE or, after a 401, CM_ANSWER_REJECTED. Then calls it
     * once more with other tokens. An exception of `use` ends the call, and is thrown. */
    template <typename Use> Returns<void> with_tokens(Use use) const {
        struct Context {
            Use &use;
            std::exception_ptr thrown;
            static std::int32_t call(void *context, const cm_tokens *tokens) noexcept {
                auto &self = *static_cast<Context *>(context);
#if CM_HAS_EXCEPTIONS
                try {
                    return self.use(TokensView(tokens));
                } catch (...) {
                    self.thrown = std::current_exception();
                    return CM_ANSWER_DONE;
                }
#else
                return self.use(TokensView(tokens));
#endif
            }
        } context{use, nullptr};
#if CM_HAS_EXCEPTIONS
        detail::check([&](auto error) { return cm_session_with_tokens(get(), &Context::call, &context, error); });
        if (context.thrown)
            std::rethrow_exception(context.thrown);
#else
        return detail::check(
            [&](auto error) { return cm_session_with_tokens(get(), &Context::call, &context, error); });
#endif
    }
    /* true: the server confirmed it; false: the login had already ended. Fails if the server could not be told. */
    Returns<bool> logout() const {
        cm_error *error = nullptr;
        const cm_status status = cm_session_logout(get(), &error);
        if (status != CM_STATUS_OK && status != CM_STATUS_LOGIN_REQUIRED) {
#if CM_HAS_EXCEPTIONS
            throw Error(status, error);
#else
            return Error(status, error);
#endif
        }
        cm_error_free(error);
        return status == CM_STATUS_OK;
    }
    Returns<void> forget() const {
        return detail::check([&](auto error) { return cm_session_forget(get(), error); });
    }
    /* Is called after each change, on a thread that is in a call of the session, or on the thread of keep_fresh(). An
     * empty function: none. */
    void on_change(std::function<void(cm_change change, std::int64_t generation)> callback) const {
        using Changed = detail::Kept<cm_change, std::int64_t>;
        if (callback)
            cm_session_on_change(get(), &Changed::call, new Changed::Function(std::move(callback)), &Changed::destroy);
        else
            cm_session_on_change(get(), nullptr, nullptr, nullptr);
    }
    /* How long tokens() has nothing to do but to give the tokens at hand. std::nullopt: nothing will be due. */
    [[nodiscard]] std::optional<std::chrono::milliseconds> next_action() const {
        return detail::optional_time<std::chrono::milliseconds>(cm_session_next_action_ms(get()));
    }
    /* Refreshes in time without a call of the program. */
    void keep_fresh(bool on) const noexcept { cm_session_keep_fresh(get(), on ? 1 : 0); }
    [[nodiscard]] Returns<Health> health() const {
        return detail::Maker::make<Health>([&](auto out, auto) { return cm_session_health(get(), out); });
    }

  private:
    explicit Session(Handle handle) noexcept : Object(std::move(handle)) {}
    friend detail::Maker;
};

/* Sets the log of the process: the default for clients that have none of their own. An empty function turns it off. */
inline void set_log(cm_log_level level, std::function<void(cm_log_level level, std::string_view line)> log) {
    using Log = detail::Kept<cm_log_level, std::string_view>;
    if (log)
        cm_set_log(level, &Log::call, new Log::Function(std::move(log)), &Log::destroy);
    else
        cm_set_log(level, nullptr, nullptr, nullptr);
}

/* The version of the loaded library, such as "0.1.0". */
[[nodiscard]] inline std::string_view version() {
    return cm_version();
}

} // namespace with_exceptions or without_exceptions
} // namespace cm

#endif

#include "account.h"

using namespace std::chrono_literals;

Account::Account(const cm::Config &config, const cm::Store &store) : client_(config), session_(client_, store) {
    // A signal is safe from any thread: Qt passes it on to the thread of the receiver.
    session_.on_change([this](cm_change change, std::int64_t) { emit loggedIn(change == CM_CHANGE_TOKENS); });
    session_.keep_fresh(true);
}

Account::~Account() {
    session_.keep_fresh(false);
    session_.on_change(nullptr);
}

void Account::cancel() {
    const std::lock_guard<std::mutex> lock(guard_);
    if (cancel_)
        cancel_->now();
}

// Runs a call that `cancel` can end, and reports its failure.
template <typename Work> void Account::run(Work work) {
    const auto cancel = std::make_shared<cm::Cancel>();
    {
        const std::lock_guard<std::mutex> lock(guard_);
        cancel_ = cancel;
    }
    try {
        const cm::CancelScope scope(*cancel);
        work();
    } catch (const cm::Error &error) {
        emit failed(error.status() == CM_STATUS_CANCELLED ? QString() : QString::fromUtf8(error.what()));
    }
    const std::lock_guard<std::mutex> lock(guard_);
    cancel_ = nullptr;
}

void Account::logIn() {
    run([&] {
        const cm::Login login = cm::Login::listen(client_);
        login.set_page(CM_PAGE_TEXT_PRODUCT, "Qt Recorder");
        const std::string_view url = login.url();
        emit pageReady(QString::fromUtf8(url.data(), static_cast<qsizetype>(url.size())));
        session_.start(login.wait(5min));
    });
}

void Account::logOut() {
    run([&] { session_.logout(); });
}

void Account::report() {
    emit loggedIn(session_.health().logged_in());
}

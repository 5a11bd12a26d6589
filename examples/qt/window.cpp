#include "window.h"

#include <QDesktopServices>
#include <QHBoxLayout>
#include <QUrl>
#include <QVBoxLayout>

Window::Window(std::unique_ptr<Account> account)
    : account_(std::move(account)), state_(new QLabel(tr("..."))), logIn_(new QPushButton(tr("Log in"))),
      logOut_(new QPushButton(tr("Log out"))), cancel_(new QPushButton(tr("Cancel"))) {
    setWindowTitle(tr("CameraManager"));
    state_->setObjectName("state");
    state_->setWordWrap(true);
    auto *buttons = new QHBoxLayout;
    for (auto *button : {logIn_, logOut_, cancel_}) {
        button->setObjectName(button->text());
        buttons->addWidget(button);
    }
    auto *layout = new QVBoxLayout(this);
    layout->addWidget(state_);
    layout->addLayout(buttons);

    account_->moveToThread(&worker_);
    connect(logIn_, &QPushButton::clicked, account_.get(), &Account::logIn);
    connect(logOut_, &QPushButton::clicked, account_.get(), &Account::logOut);
    connect(logIn_, &QPushButton::clicked, this, [this] { setBusy(true); });
    connect(logOut_, &QPushButton::clicked, this, [this] { setBusy(true); });
    // Not a slot of the account: its thread is busy with the call.
    connect(cancel_, &QPushButton::clicked, this, [this] { account_->cancel(); });
    connect(account_.get(), &Account::pageReady, this, [](const QString &url) { QDesktopServices::openUrl(url); });
    connect(account_.get(), &Account::loggedIn, this, &Window::show);
    connect(account_.get(), &Account::failed, this, [this](const QString &message) {
        setBusy(false);
        state_->setText(message.isEmpty() ? tr("Cancelled") : message);
    });
    connect(&worker_, &QThread::started, account_.get(), &Account::report);
    worker_.start();
}

Window::~Window() {
    account_->cancel();
    worker_.quit();
    worker_.wait();
}

void Window::setBusy(bool isBusy) {
    logIn_->setEnabled(!isBusy);
    logOut_->setEnabled(!isBusy);
    cancel_->setEnabled(isBusy);
}

void Window::show(bool isLoggedIn) {
    setBusy(false);
    state_->setText(isLoggedIn ? tr("Logged in") : tr("Not logged in"));
    logIn_->setEnabled(!isLoggedIn);
    logOut_->setEnabled(isLoggedIn);
}

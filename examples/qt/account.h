// The CameraManager account of a Qt program. It lives in a worker thread, because its calls block.

#pragma once

#include <cmauth.hpp>

#include <QObject>
#include <QString>

#include <memory>
#include <mutex>

class Account : public QObject {
    Q_OBJECT

  public:
    // Throws cm::Error.
    Account(const cm::Config &config, const cm::Store &store);
    ~Account() override;
    // Ends the call in progress. For the thread of the window: the worker thread is busy.
    void cancel();

  public slots:
    void logIn();
    void logOut();
    void report();

  signals:
    // Open this page in the browser.
    void pageReady(const QString &url);
    void loggedIn(bool isLoggedIn);
    // "" if the user cancelled.
    void failed(const QString &message);

  private:
    template <typename Work> void run(Work work);

    cm::Client client_;
    cm::Session session_;
    std::mutex guard_;
    std::shared_ptr<cm::Cancel> cancel_; // That of the call in progress.
};

// A window that logs in and out. The calls are made in a worker thread, so the window never freezes.

#pragma once

#include "account.h"

#include <QLabel>
#include <QPushButton>
#include <QThread>
#include <QWidget>

class Window : public QWidget {
    Q_OBJECT

  public:
    explicit Window(std::unique_ptr<Account> account);
    ~Window() override;

  private:
    void setBusy(bool isBusy);
    void show(bool isLoggedIn);

    std::unique_ptr<Account> account_;
    QThread worker_;
    QLabel *state_;
    QPushButton *logIn_, *logOut_, *cancel_;
};

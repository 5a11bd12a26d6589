// Presses the buttons of the window. The page is not opened in a browser but printed, and the test harness logs in
// there.

#include "window.h"

#include <QDesktopServices>
#include <QtTest>

#include <iostream>

class WindowTest : public QObject {
    Q_OBJECT

  public slots:
    void openPage(const QUrl &url) {
        pages_++;
        if (opens_)
            std::cout << "open " << url.toString(QUrl::FullyEncoded).toStdString() << std::endl;
    }

  private slots:
    void init() {
        QDesktopServices::setUrlHandler("https", this, "openPage");
        cm::Config config(variable("CMAUTH_CLIENT_ID"), variable("CMAUTH_CLIENT_SECRET"));
        config.set_base_url(variable("CMAUTH_BASE_URL")).set_ca_file(variable("CMAUTH_CA_FILE")).set_proxy("");
        window_ = std::make_unique<Window>(std::make_unique<Account>(config, cm::Store::memory()));
        window_->QWidget::show();
        QTRY_COMPARE(state(), QString("Not logged in"));
        pages_ = 0;
    }
    void cleanup() {
        window_.reset();
        QDesktopServices::unsetUrlHandler("https");
    }

    void theUserLogsInAndOut() {
        opens_ = true;
        press("Log in");
        QVERIFY(!button("Log in")->isEnabled() && button("Cancel")->isEnabled());
        QTRY_COMPARE_WITH_TIMEOUT(state(), QString("Logged in"), 30000);
        QCOMPARE(pages_, 1);
        press("Log out");
        QTRY_COMPARE_WITH_TIMEOUT(state(), QString("Not logged in"), 30000);
    }

    void cancelEndsTheLoginAndTheNextOneWorks() {
        opens_ = false;
        press("Log in");
        QTRY_COMPARE_WITH_TIMEOUT(pages_, 1, 30000);
        press("Cancel");
        QTRY_COMPARE_WITH_TIMEOUT(state(), QString("Cancelled"), 30000);
        opens_ = true;
        press("Log in");
        QTRY_COMPARE_WITH_TIMEOUT(state(), QString("Logged in"), 30000);
    }

    void theWindowCanBeClosedDuringALogin() {
        opens_ = false;
        press("Log in");
        QTRY_COMPARE_WITH_TIMEOUT(pages_, 1, 30000);
    }

  private:
    static std::string variable(const char *name) { return qEnvironmentVariable(name).toStdString(); }
    QPushButton *button(const char *name) const { return window_->findChild<QPushButton *>(name); }
    QString state() const { return window_->findChild<QLabel *>("state")->text(); }
    void press(const char *name) { QTest::mouseClick(button(name), Qt::LeftButton); }

    std::unique_ptr<Window> window_;
    bool opens_ = true;
    int pages_ = 0;
};

QTEST_MAIN(WindowTest)
#include "window_test.moc"

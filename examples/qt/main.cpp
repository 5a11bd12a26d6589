// A Qt program that logs in to CameraManager.
//
// The API key comes from CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET. CMAUTH_BASE_URL and CMAUTH_CA_FILE name a test
// server; without them, it is the real one.

#include "window.h"

#include <QApplication>
#include <QMessageBox>
#include <QStandardPaths>

int main(int argc, char **argv) {
    QApplication app(argc, argv);
    QApplication::setApplicationName("cmauth-qt");
    const auto variable = [](const char *name) { return qEnvironmentVariable(name).toStdString(); };
    try {
        cm::Config config(variable("CMAUTH_CLIENT_ID"), variable("CMAUTH_CLIENT_SECRET"));
        if (qEnvironmentVariableIsSet("CMAUTH_BASE_URL"))
            config.set_base_url(variable("CMAUTH_BASE_URL"));
        if (qEnvironmentVariableIsSet("CMAUTH_CA_FILE"))
            config.set_ca_file(variable("CMAUTH_CA_FILE"));
        // A product uses cm::Store::file, in a folder that only the user can read.
        Window window(std::make_unique<Account>(config, cm::Store::memory()));
        window.QWidget::show();
        return QApplication::exec();
    } catch (const cm::Error &error) {
        QMessageBox::critical(nullptr, "CameraManager", QString::fromUtf8(error.what()));
        return 1;
    }
}

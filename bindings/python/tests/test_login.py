"""Logins that listen on this machine, and logins that another machine finishes."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable

import cmauth
import pytest
from cmauth.testing import CLIENT_SECRET, Sandbox


def in_background(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def test_a_whole_login_in_one_call(cmauth_sandbox: Sandbox) -> None:
    client = cmauth_sandbox.client()
    pages: list[str] = []
    browsers: list[threading.Thread] = []

    def show(url: str) -> None:
        browsers.append(in_background(lambda: pages.append(cmauth_sandbox.come_back(url))))

    tokens = client.login(show=show, message="Recorder 7 & co", timeout=30)
    browsers[0].join()
    assert tokens.refresh_token
    assert "Recorder 7 &amp; co" in pages[0]


def test_a_login_opens_the_browser(cmauth_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(url: str) -> bool:
        in_background(lambda: cmauth_sandbox.come_back(url))
        return True

    monkeypatch.setattr(webbrowser, "open", opened)
    assert cmauth_sandbox.client().login(timeout=30).access_token


def test_without_a_browser_the_error_names_the_remedy(cmauth_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    with pytest.raises(cmauth.FixError, match="show=print"):
        cmauth_sandbox.client().login()


def test_an_exception_of_show_is_raised(cmauth_sandbox: Sandbox) -> None:
    def show(_: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cmauth_sandbox.client().login(show=show)


def test_a_user_who_denies_the_access(cmauth_sandbox: Sandbox) -> None:
    login = cmauth_sandbox.client().listen()
    browser = in_background(lambda: cmauth_sandbox.come_back(login.url, deny=True))
    with pytest.raises(cmauth.LoginError) as caught:
        login.wait(30)
    browser.join()
    assert caught.value.status is cmauth.Status.ACCESS_DENIED


def test_a_login_can_wait_again_after_a_timeout(cmauth_sandbox: Sandbox) -> None:
    login = cmauth_sandbox.client().listen()
    with pytest.raises(cmauth.RetryError) as caught:
        login.wait(0.05)
    assert caught.value.status is cmauth.Status.TIMEOUT
    with pytest.raises(cmauth.FixError, match="timeout"):
        login.wait(-1)
    browser = in_background(lambda: cmauth_sandbox.come_back(login.url))
    assert login.wait(30).access_token
    browser.join()


def test_other_requests_get_400_and_the_wait_goes_on(cmauth_sandbox: Sandbox) -> None:
    login = cmauth_sandbox.client().listen()
    found: list[cmauth.Tokens] = []
    waiter = in_background(lambda: found.append(login.wait(30)))
    port = login.url.split("127.0.0.1%3A")[1].split("%2F")[0]
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/?code=AbCdEf&state=forged", timeout=30)
    assert caught.value.code == 400
    caught.value.close()
    cmauth_sandbox.come_back(login.url)
    waiter.join()
    assert found


def test_another_thread_can_cancel(cmauth_sandbox: Sandbox) -> None:
    login = cmauth_sandbox.client().listen()
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            login.wait(30)
        except cmauth.Error as error:
            raised.append(error)

    waiter = in_background(wait)
    login.cancel()
    waiter.join()
    assert isinstance(raised[0], cmauth.CancelledError)


def test_a_port_can_be_chosen_and_an_error_names_a_port_in_use(cmauth_sandbox: Sandbox) -> None:
    client = cmauth_sandbox.client()
    port = int(client.listen().url.split("127.0.0.1%3A")[1].split("%2F")[0])
    login = client.listen(port)  # The login before it no longer exists.
    with pytest.raises(cmauth.FixError, match=f"{port} is in use"):
        client.listen(port)
    with pytest.raises(OverflowError):
        client.listen(70000)
    assert repr(login) == f'Login(redirect_uri="http://127.0.0.1:{port}/", url=[redacted])'


def test_only_a_login_that_listens_waits(cmauth_sandbox: Sandbox) -> None:
    login = cmauth_sandbox.client().begin_login("https://example.com")
    for call in (login.wait, login.cancel, lambda: login.set_message("text")):
        with pytest.raises(cmauth.FixError, match=r"Client\.listen"):
            call()


def test_a_machine_with_the_secret_finishes_a_login_of_one_without(cmauth_sandbox: Sandbox) -> None:
    workstation = cmauth_sandbox.client(None)
    shown = workstation.begin_login("https://example.com")
    redirected = cmauth_sandbox.visit(shown.url)
    with pytest.raises(cmauth.FixError, match="client_secret"):
        shown.finish(redirected)
    json = shown.to_json()
    assert CLIENT_SECRET not in json
    login = cmauth.Login.from_json(cmauth_sandbox.client(), json)
    assert login.url == shown.url
    assert login.finish(redirected).refresh_token
    with pytest.raises(cmauth.FixError, match="json"):
        cmauth.Login.from_json(workstation, "{}")

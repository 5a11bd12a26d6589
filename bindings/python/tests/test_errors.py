"""The exception for each response: its class, its attributes, and the secrets that it hides."""

from __future__ import annotations

import copy
import pickle
import socket
import traceback
from collections.abc import Callable

import cmauth
import pytest
from cmauth import Advice, Status, _cmauth, _errors
from conftest import ACCESS_TOKEN, CLIENT_SECRET, CODE, REFRESH_TOKEN, Fake

URI = "https://example.com"
SCRIPTS_TOKEN = "cccccccc-script:10003"


def failure(kind: type[cmauth.Error], call: Callable[..., object], *arguments: str) -> cmauth.Error:
    with pytest.raises(kind) as caught:
        call(*arguments)
    assert type(caught.value) is kind
    return caught.value


def test_statuses_and_advices_are_those_of_the_core() -> None:
    assert [(status.name, status.value) for status in Status] == _cmauth._STATUSES
    named = [(advice.name.title().replace("_", ""), advice.value) for advice in Advice]
    assert named == _cmauth._ADVICES


def test_every_advice_has_its_exception() -> None:
    made = {advice: type(_errors.make("m", Status.INTERNAL, advice)) for advice in Advice}
    assert made == {
        Advice.NONE: cmauth.CancelledError,
        Advice.FIX: cmauth.FixError,
        Advice.LOG_IN: cmauth.LoginError,
        Advice.REFRESH: cmauth.RefreshError,
        Advice.RETRY: cmauth.RetryError,
        Advice.REPORT: cmauth.InternalError,
    }
    for advice, kind in made.items():
        assert issubclass(kind, cmauth.Error)
        assert kind.advice is advice


def test_a_wrong_key_is_to_be_fixed(fake: Fake) -> None:
    fake.responds(401, {"error": "unauthorized", "error_description": "Bad credentials"})
    error = failure(cmauth.FixError, fake.client().refresh, REFRESH_TOKEN)
    assert error.status is Status.CLIENT_REJECTED
    assert error.advice is Advice.FIX
    assert error.http_status == 401
    assert error.oauth_error == "unauthorized"
    assert error.oauth_description == "Bad credentials"
    assert error.retry_after is None
    assert error.request_sent
    assert str(error) == error.message
    assert "\n" not in error.message


def test_an_invalid_code_asks_for_a_login(fake: Fake) -> None:
    description = f"Invalid authorization code: {CODE}"
    fake.responds(400, {"error": "invalid_grant", "error_description": description})
    error = failure(cmauth.LoginError, fake.client().exchange_code, CODE, URI)
    assert error.status is Status.LOGIN_REQUIRED
    assert error.oauth_description == "Invalid authorization code: [redacted]"


def test_a_rejected_access_token_asks_for_a_refresh(fake: Fake) -> None:
    fake.responds(401, {"error": "invalid_token"})
    error = failure(cmauth.RefreshError, fake.client().logout, ACCESS_TOKEN)
    assert error.status is Status.TOKEN_REJECTED


def test_a_busy_server_asks_for_a_retry_after_its_time(fake: Fake) -> None:
    fake.responds(503, "busy", Retry_After="7")
    error = failure(cmauth.RetryError, fake.client().refresh, REFRESH_TOKEN)
    assert (error.status, error.http_status, error.retry_after) == (Status.SERVER, 503, 7.0)


def test_an_exchange_that_may_have_used_up_the_code_asks_for_a_login(fake: Fake) -> None:
    fake.responds(503, "busy")
    error = failure(cmauth.LoginError, fake.client().exchange_code, CODE, URI)
    assert error.status is Status.SERVER


def test_a_refused_connection_is_a_network_error_and_sends_nothing() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        client = cmauth.Client("id", CLIENT_SECRET, base_url=url, proxy="", max_retries=0)
        error = failure(cmauth.RetryError, client.refresh, REFRESH_TOKEN)
    assert error.status is Status.NETWORK
    assert not error.request_sent
    assert error.http_status is None


def test_a_web_page_is_a_protocol_error(fake: Fake) -> None:
    fake.responds(200, "<html>")
    error = failure(cmauth.FixError, fake.client().refresh, REFRESH_TOKEN)
    assert error.status is Status.PROTOCOL


def test_an_error_survives_pickle_and_copy(fake: Fake) -> None:
    fake.responds(429, {"error": "slow_down"}, Retry_After="7")
    error = failure(cmauth.RetryError, fake.client().refresh, REFRESH_TOKEN)
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is cmauth.RetryError
        assert other.args == error.args
        assert vars(other) == vars(error)
        assert other.status is Status.SERVER


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 500])
@pytest.mark.parametrize("code", ["invalid_grant", "invalid_token", "its own"])
def test_no_secret_shows_in_an_error(fake: Fake, status: int, code: str) -> None:
    client = fake.client()
    options: cmauth.Options = {"base_url": fake.url, "proxy": "", "max_retries": 0}
    calls: dict[str, Callable[[], object]] = {
        CODE: lambda: client.exchange_code(CODE, URI),
        REFRESH_TOKEN: lambda: client.refresh(REFRESH_TOKEN),
        ACCESS_TOKEN: lambda: client.logout(ACCESS_TOKEN),
        # The package has no Python frame here, whose variables a crash report would collect.
        SCRIPTS_TOKEN: lambda: cmauth.refresh("id", CLIENT_SECRET, SCRIPTS_TOKEN, **options),
    }
    for sent, call in calls.items():
        # The server echoes what it received.
        echo = f"{sent} and {CLIENT_SECRET}"
        fake.responds(status, {"error": code, "error_description": echo, "message": echo})
        if status == 200 and sent == ACCESS_TOKEN:
            continue
        with pytest.raises(cmauth.Error) as caught:
            call()
        error = caught.value
        shown = (
            "".join(traceback.format_exception(type(error), error, error.__traceback__))
            + repr(error)
            + str(vars(error))
        )
        assert CLIENT_SECRET not in shown
        assert sent not in shown
        frames = traceback.walk_tb(error.__traceback__)
        assert all("cmauth" not in frame.f_globals.get("__name__", "") for frame, _ in frames)


def test_no_state_shows_in_an_error_about_a_redirect(fake: Fake) -> None:
    login = fake.client().begin_login(URI)
    state = login.url.partition("state=")[2]
    assert len(state) >= 43
    for redirect in (
        f"{URI}?code={CODE}&state={state}x",
        f"{URI}?error=invalid_scope&error_description={state}&state={state}",
        f"{URI}?code={CODE}&code={CODE}&state={state}",
    ):
        with pytest.raises(cmauth.Error) as caught:
            login.finish(redirect)
        shown = repr(caught.value) + str(vars(caught.value))
        assert state not in shown
        assert CODE not in shown

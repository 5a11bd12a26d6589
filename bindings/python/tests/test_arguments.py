"""Arguments: errors name invalid values without showing them; wrong types are TypeErrors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cmauth
import pytest
from conftest import CLIENT_SECRET, Fake


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_url", "http://example.com"),
        ("scope", ""),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", float("nan")),
        ("timeout", float("inf")),
        ("timeout", 1e9),
        ("connect_timeout", 0),
        ("connect_timeout", float("-inf")),
        ("ca_file", ""),
        ("ca_file", "/no/such/file"),
        ("add_ca_files", ["/no/such/file"]),
        ("proxy", "hunter2://host"),
        ("user_agent", "a\r\nb"),
        ("max_retries", 11),
        ("max_retries", -1),
        ("max_retries", 2**70),
    ],
)
def test_a_bad_option_is_named(name: str, value: object) -> None:
    options: Any = {name: value}
    with pytest.raises(cmauth.FixError) as caught:
        cmauth.Client("id", "secret", **options)
    assert caught.value.status is cmauth.Status.INVALID_ARGUMENT
    assert caught.value.message.startswith(f"{name}: ")
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "client_id", "client_secret"),
    [
        ("client_id", "", "secret"),
        ("client_id", "a:b", "secret"),
        ("client_secret", "id", ""),
        ("client_secret", "id", "hunter2\n"),
        # A UnicodeEncodeError would contain the whole string.
        ("client_secret", "id", "hunter2\udc80"),
    ],
)
def test_a_bad_api_key_is_named_and_its_secret_not_shown(name: str, client_id: str, client_secret: str) -> None:
    with pytest.raises(cmauth.FixError, match=f"^{name}: ") as caught:
        cmauth.Client(client_id, client_secret)
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_bad_parameter_is_named_and_nothing_is_sent(fake: Fake) -> None:
    client = fake.client()
    for name, call in (
        ("code", lambda: client.exchange_code("", "https://example.com")),
        ("redirect_uri", lambda: client.exchange_code("code", "example.com")),
        ("refresh_token", lambda: client.refresh("a\n")),
        ("access_token", lambda: client.logout("a b")),
        ("redirect_uri", lambda: client.begin_login("app://login")),
        ("redirected_url", lambda: client.begin_login("https://example.com").finish("")),
        ("json", lambda: cmauth.Tokens.from_json("hunter2")),
        ("refresh_token", lambda: client.refresh("hunter2\udc80")),
    ):
        with pytest.raises(cmauth.FixError, match=f"^{name}: ") as caught:
            call()
        assert "hunter2" not in repr(caught.value)
        assert not caught.value.request_sent
    assert fake.requests == []


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": "5"},
        {"max_retries": 1.5},
        {"ca_file": b"ca.pem"},
        {"add_ca_files": "ca.pem"},
        {"add_ca_files": [5]},
        {"params_in_body": 1},
        {"tiemout": 5},
    ],
)
def test_a_wrong_type_or_keyword_is_a_type_error(options: Any) -> None:
    with pytest.raises(TypeError):
        cmauth.Client("id", "secret", **options)
    with pytest.raises(TypeError):
        cmauth.refresh("id", "secret", "token", **options)


def test_a_key_of_bytes_is_a_type_error_that_does_not_show_it() -> None:
    with pytest.raises(TypeError) as caught:
        cmauth.Client("id", b"hunter2")  # type: ignore[arg-type]
    assert "hunter2" not in repr(caught.value)


def test_paths_may_be_paths(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    for option in ({"ca_file": path}, {"add_ca_files": iter([path])}):
        options: Any = option
        with pytest.raises(cmauth.FixError, match=r"ca\.pem"):
            cmauth.Client("id", "secret", **options)


def test_the_options_reach_the_request(fake: Fake) -> None:
    client = fake.client(scope="read", user_agent="Recorder/1.0", params_in_body=True)
    client.refresh("a+b:1")
    [(line, headers, body)] = fake.requests
    assert line == "POST /oauth/token"
    assert headers["user-agent"] == f"libcmauth/{cmauth.__version__} Recorder/1.0"
    assert body == "grant_type=refresh_token&scope=read&refresh_token=a%2Bb%3A1"


def test_a_client_is_immutable_and_shows_no_secret(fake: Fake) -> None:
    client = fake.client(proxy="http://user:hunter2@127.0.0.1:1")
    assert repr(client) == f'Client(client_id="test.key", base_url="{fake.url}")'
    assert CLIENT_SECRET not in repr(client)
    with pytest.raises(AttributeError):
        client.timeout = 5  # type: ignore[attr-defined]

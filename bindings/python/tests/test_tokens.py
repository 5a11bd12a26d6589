"""Logins and tokens, against the fake server."""

from __future__ import annotations

import json
import time

import cmauth
import pytest
from conftest import ACCESS_TOKEN, CLIENT_SECRET, CODE, REFRESH_TOKEN, Fake, Response, tokens_response

URI = "https://example.com"


def redirect_of(login: cmauth.Login) -> str:
    return f"{URI}/?code={CODE}&state={login.url.partition('state=')[2]}"


def test_a_login_is_finished_with_its_redirect(fake: Fake) -> None:
    login = fake.client().begin_login(URI)
    assert login.url.startswith(f"{fake.url}/oauth/authorize?scope=write&client_id=test.key&")
    assert login.is_redirect(redirect_of(login))
    assert not login.is_redirect("https://example.org/?code=a")
    tokens = login.finish(redirect_of(login))
    assert tokens.access_token == ACCESS_TOKEN
    [(line, _, _)] = fake.requests
    assert f"code={CODE}" in line
    with pytest.raises(cmauth.FixError, match="already finished"):
        login.finish(redirect_of(login))
    assert len(fake.requests) == 1


def test_a_redirect_of_another_login_is_rejected_and_the_login_stays_open(fake: Fake) -> None:
    client = fake.client()
    login, other = client.begin_login(URI), client.begin_login(URI)
    with pytest.raises(cmauth.LoginError) as caught:
        login.finish(redirect_of(other))
    assert caught.value.status is cmauth.Status.STATE_MISMATCH
    assert fake.requests == []
    assert login.finish(redirect_of(login))


def test_tokens_have_typed_properties(fake: Fake) -> None:
    before = int(time.time())
    tokens = fake.client().refresh("old")
    assert tokens.access_token == ACCESS_TOKEN
    assert tokens.refresh_token == REFRESH_TOKEN
    assert tokens.token_type == "bearer"
    assert tokens.scope == "write"
    assert tokens.expires_at is not None
    assert before + 43199 <= tokens.expires_at <= time.time() + 43199
    assert tokens.expires_in is not None
    assert 43190 <= tokens.expires_in <= 43199


def test_fields_that_the_server_left_out_are_none(fake: Fake) -> None:
    fake.responds(200, {"access_token": "a", "token_type": "bearer"})
    tokens = fake.client().exchange_code(CODE, URI)
    left_out = (tokens.refresh_token, tokens.scope, tokens.expires_at, tokens.expires_in)
    assert left_out == (None, None, None, None)
    # A refresh without a refresh token in its response keeps the old one.
    assert fake.client().refresh("old").refresh_token == "old"


def test_tokens_survive_json(fake: Fake) -> None:
    tokens = fake.client().refresh("old")
    text = tokens.to_json()
    assert json.loads(text)["refresh_token"] == REFRESH_TOKEN
    again = cmauth.Tokens.from_json(text)
    assert again == tokens
    assert again.to_json() == text
    fake.respond = lambda: tokens_response(access_token="another")
    assert fake.client().refresh("old") != tokens
    assert tokens != text


def test_tokens_are_immutable_and_have_no_constructor(fake: Fake) -> None:
    tokens = fake.client().refresh("old")
    with pytest.raises(AttributeError):
        tokens.access_token = "b"  # type: ignore[misc]
    with pytest.raises(TypeError):
        cmauth.Tokens()
    with pytest.raises(TypeError):
        hash(tokens)


def test_repr_hides_secrets(fake: Fake) -> None:
    client = fake.client()
    tokens = client.refresh("old")
    shown = f"{tokens!r} {tokens} {[tokens]}"
    assert ACCESS_TOKEN not in shown
    assert REFRESH_TOKEN not in shown
    assert repr(tokens) == (
        "Tokens(access_token=[redacted], refresh_token=[redacted], "
        f'token_type="bearer", scope="write", expires_at={tokens.expires_at})'
    )
    sparse = cmauth.Tokens.from_json('{"access_token": "a"}')
    assert "refresh_token=None" in repr(sparse)
    login = client.begin_login(URI)
    assert repr(login) == f'Login(redirect_uri="{URI}", url=[redacted])'


def test_a_secret_that_is_an_ordinary_word_hides_no_other_text(fake: Fake) -> None:
    for token in ("e", "bearer", "write"):
        tokens = cmauth.Tokens.from_json(
            json.dumps({"access_token": token, "token_type": "bearer", "scope": "write", "expires_at": None})
        )
        assert 'token_type="bearer", scope="write"' in repr(tokens)
    fake.respond = lambda: Response(401, {"error": "unauthorized", "error_description": "Bad client credentials"})
    for secret in ("client", "credentials", "d"):
        client = cmauth.Client("my.key", secret, base_url=fake.url, proxy="")
        with pytest.raises(cmauth.FixError, match=r"unauthorized: Bad client credentials\b"):
            client.refresh("token")
    fake.respond = lambda: Response(
        400, {"error": "invalid_grant", "error_description": "Invalid refresh token: token"}
    )
    with pytest.raises(cmauth.LoginError, match=r"Invalid refresh token: \[redacted\]"):
        fake.client().refresh("token")


def test_scripts_need_no_client(fake: Fake) -> None:
    key = ("test.key", CLIENT_SECRET)
    here: cmauth.Options = {"base_url": fake.url, "proxy": "", "scope": "read"}
    assert cmauth.exchange_code(*key, CODE, URI, **here).access_token == ACCESS_TOKEN
    assert cmauth.refresh(*key, REFRESH_TOKEN, **here).access_token == ACCESS_TOKEN
    cmauth.logout(*key, ACCESS_TOKEN, **here)
    assert [line.partition("?")[0] for line, _, _ in fake.requests] == [
        "POST /oauth/token",
        "POST /oauth/token",
        "DELETE /rest/v2.0/users/self/tokens/current",
    ]
    assert "scope=read" in fake.requests[1][0]

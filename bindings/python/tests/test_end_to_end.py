"""The whole story against the stand-in server, over TLS: log in, use, refresh, log out."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

import cmauth
import pytest
from conftest import WORKSPACE, Sandbox

# The stand-in's API key is that of the vendor's guide.
CLIENT_ID = "cameramanager.test"
CLIENT_SECRET = "qwertyuiopasdfghjklzxcvbnm12345"
URI = "https://example.com"


@pytest.fixture
def client(sandbox: Sandbox) -> cmauth.Client:
    return cmauth.Client(
        CLIENT_ID, CLIENT_SECRET, base_url=sandbox.url, ca_file=sandbox.ca_file, proxy=""
    )


def log_in(client: cmauth.Client, sandbox: Sandbox) -> cmauth.Tokens:
    login = client.begin_login(URI)
    return login.finish(sandbox.visit(login.url))


def ask(sandbox: Sandbox, path: str, token: str | None = None, body: bytes | None = None) -> object:
    headers = {"Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(sandbox.url + path, headers=headers, data=body)
    trust = ssl.create_default_context(cafile=sandbox.ca_file)
    with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def cameras(sandbox: Sandbox, tokens: cmauth.Tokens) -> object:
    return ask(sandbox, "/rest/v2.4/cameras", tokens.access_token)


def refused(sandbox: Sandbox, tokens: cmauth.Tokens) -> bool:
    try:
        cameras(sandbox, tokens)
    except urllib.error.HTTPError as error:
        with error:
            return error.code == 401
    return False


def test_log_in_use_refresh_log_out(client: cmauth.Client, sandbox: Sandbox) -> None:
    tokens = log_in(client, sandbox)
    assert cameras(sandbox, tokens)

    assert tokens.refresh_token
    refreshed = client.refresh(tokens.refresh_token)
    assert refreshed.access_token != tokens.access_token
    assert refused(sandbox, tokens)
    assert cameras(sandbox, refreshed)

    client.logout(refreshed.access_token)
    assert refused(sandbox, refreshed)
    assert refreshed.refresh_token
    with pytest.raises(cmauth.LoginError):
        client.refresh(refreshed.refresh_token)
    with pytest.raises(cmauth.RefreshError):
        client.logout(refreshed.access_token)


def test_an_expired_access_token_is_refreshed_and_then_logged_out(
    client: cmauth.Client, sandbox: Sandbox
) -> None:
    tokens = log_in(client, sandbox)
    ask(sandbox, "/sandbox/clock", body=json.dumps({"advance": 43200}).encode())
    assert refused(sandbox, tokens)
    with pytest.raises(cmauth.RefreshError) as caught:
        client.logout(tokens.access_token)
    assert caught.value.status is cmauth.Status.TOKEN_REJECTED
    assert tokens.refresh_token
    client.logout(client.refresh(tokens.refresh_token).access_token)


def test_a_user_who_says_no_is_asked_again(sandbox: Sandbox) -> None:
    # The scope is one that no other test has had approved, for approval is asked for once.
    client = cmauth.Client(
        CLIENT_ID,
        CLIENT_SECRET,
        base_url=sandbox.url,
        ca_file=sandbox.ca_file,
        proxy="",
        scope="read",
    )
    login = client.begin_login(URI)
    with pytest.raises(cmauth.LoginError) as caught:
        login.finish(sandbox.visit(login.url, deny=True))
    assert caught.value.status is cmauth.Status.ACCESS_DENIED
    assert caught.value.oauth_error == "access_denied"


def test_a_wrong_secret_is_to_be_fixed(sandbox: Sandbox) -> None:
    with pytest.raises(cmauth.FixError) as caught:
        cmauth.refresh(
            CLIENT_ID, "wrong", "token", base_url=sandbox.url, ca_file=sandbox.ca_file, proxy=""
        )
    assert caught.value.status is cmauth.Status.CLIENT_REJECTED


def test_a_server_that_nobody_vouches_for_gets_nothing(sandbox: Sandbox) -> None:
    client = cmauth.Client(CLIENT_ID, CLIENT_SECRET, base_url=sandbox.url, proxy="")
    with pytest.raises(cmauth.FixError) as caught:
        client.refresh("token")
    assert caught.value.status is cmauth.Status.TLS
    assert not caught.value.request_sent


def test_a_certificate_can_be_trusted_beside_the_systems(sandbox: Sandbox) -> None:
    client = cmauth.Client(
        CLIENT_ID, CLIENT_SECRET, base_url=sandbox.url, add_ca_files=[sandbox.ca_file], proxy=""
    )
    client.logout(log_in(client, sandbox).access_token)


def test_the_example_tells_the_story(sandbox: Sandbox) -> None:
    environment = {
        **os.environ,
        "CMAUTH_CLIENT_ID": CLIENT_ID,
        "CMAUTH_CLIENT_SECRET": CLIENT_SECRET,
        "CMAUTH_BASE_URL": sandbox.url,
        "CMAUTH_CA_FILE": sandbox.ca_file,
        "CMAUTH_REDIRECT_URI": URI,
        "NO_PROXY": "127.0.0.1,localhost",
    }
    command = [sys.executable, str(WORKSPACE / "examples" / "python" / "login.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as example:
        assert example.stdout
        lines = iter(example.stdout.readline, "")
        url = next(line.strip() for line in lines if line.startswith("http"))
        told, complaints = example.communicate(sandbox.visit(url) + "\n", timeout=30)
    assert example.returncode == 0, complaints
    for part in ("Logged in: access token ", "  camera ", "Refreshed: ", "Logged out"):
        assert part in told
    assert CLIENT_SECRET not in told


def test_the_programs_of_the_readmes_log_in(sandbox: Sandbox) -> None:
    """With the sandbox as the server, and its key; the rest as it stands there."""
    for readme in (WORKSPACE / "README.md", WORKSPACE / "bindings" / "python" / "README.md"):
        program = readme.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
        assert len([line for line in program.splitlines() if line]) <= 20
        client = f"cmauth.Client({CLIENT_ID!r}, {CLIENT_SECRET!r}, "
        client += f"base_url={sandbox.url!r}, ca_file={sandbox.ca_file!r}, proxy='')"
        before, after = re.split(r"cmauth\.Client\(.*?\)", program)
        program = before + client + after
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [sys.executable, "-u", "-c", program], stdin=pipe, stdout=pipe, stderr=pipe, text=True
        ) as run:
            assert run.stdout
            url = run.stdout.readline().split()[-1]
            told, complaints = run.communicate(sandbox.visit(url) + "\n", timeout=30)
        assert (run.returncode, complaints) == (0, "")
        # Both programs end with a logout; an error would have been told in a line of its own.
        assert told.count("\n") <= 1, told

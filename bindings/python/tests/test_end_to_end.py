"""End-to-end tests against the sandbox, over TLS: log in, use, refresh, log out."""

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
from cmauth.testing import CLIENT_ID, CLIENT_SECRET, Sandbox
from conftest import WORKSPACE

URI = "https://example.com"


def cameras(sandbox: Sandbox, tokens: cmauth.Tokens) -> object:
    request = urllib.request.Request(
        f"{sandbox.url}/rest/v2.4/cameras",
        headers={"Accept": "application/json", "Authorization": f"Bearer {tokens.access_token}"},
    )
    trust = ssl.create_default_context(cafile=sandbox.ca_file)
    with urllib.request.urlopen(request, timeout=30, context=trust) as response:
        return json.load(response)


def rejects(sandbox: Sandbox, tokens: cmauth.Tokens) -> bool:
    try:
        cameras(sandbox, tokens)
    except urllib.error.HTTPError as error:
        with error:
            return error.code == 401
    return False


def test_log_in_use_refresh_log_out(client: cmauth.Client, sandbox: Sandbox) -> None:
    tokens = sandbox.log_in(client)
    assert cameras(sandbox, tokens)

    assert tokens.refresh_token
    refreshed = client.refresh(tokens.refresh_token)
    assert refreshed.access_token != tokens.access_token
    assert rejects(sandbox, tokens)
    assert cameras(sandbox, refreshed)

    client.logout(refreshed.access_token)
    assert rejects(sandbox, refreshed)
    assert refreshed.refresh_token
    with pytest.raises(cmauth.LoginError):
        client.refresh(refreshed.refresh_token)
    with pytest.raises(cmauth.RefreshError):
        client.logout(refreshed.access_token)


def test_an_expired_access_token_is_refreshed_and_then_logged_out(client: cmauth.Client, sandbox: Sandbox) -> None:
    tokens = sandbox.log_in(client)
    sandbox.advance(43200)
    assert rejects(sandbox, tokens)
    with pytest.raises(cmauth.RefreshError) as caught:
        client.logout(tokens.access_token)
    assert caught.value.status is cmauth.Status.TOKEN_REJECTED
    assert tokens.refresh_token
    client.logout(client.refresh(tokens.refresh_token).access_token)


def test_a_user_who_denies_the_access_must_log_in_again(sandbox: Sandbox) -> None:
    # No other test has approved this scope, so the approval page appears.
    client = sandbox.client(scope="read")
    login = client.begin_login(URI)
    with pytest.raises(cmauth.LoginError) as caught:
        login.finish(sandbox.visit(login.url, deny=True))
    assert caught.value.status is cmauth.Status.ACCESS_DENIED
    assert caught.value.oauth_error == "access_denied"


def test_a_wrong_secret_is_to_be_fixed(sandbox: Sandbox) -> None:
    with pytest.raises(cmauth.FixError) as caught:
        cmauth.refresh(CLIENT_ID, "wrong", "token", base_url=sandbox.url, ca_file=sandbox.ca_file, proxy="")
    assert caught.value.status is cmauth.Status.CLIENT_REJECTED


def test_a_server_with_an_untrusted_certificate_gets_nothing(sandbox: Sandbox) -> None:
    client = cmauth.Client(CLIENT_ID, CLIENT_SECRET, base_url=sandbox.url, proxy="")
    with pytest.raises(cmauth.FixError) as caught:
        client.refresh("token")
    assert caught.value.status is cmauth.Status.TLS
    assert not caught.value.request_sent


def test_a_certificate_can_be_trusted_in_addition_to_the_systems(sandbox: Sandbox) -> None:
    client = cmauth.Client(CLIENT_ID, CLIENT_SECRET, base_url=sandbox.url, add_ca_files=[sandbox.ca_file], proxy="")
    client.logout(sandbox.log_in(client).access_token)


def test_the_example_logs_in_refreshes_and_logs_out(sandbox: Sandbox) -> None:
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
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as example:
        assert example.stdout
        lines = iter(example.stdout.readline, "")
        url = next(line.strip() for line in lines if line.startswith("http"))
        out, err = example.communicate(sandbox.visit(url) + "\n", timeout=30)
    assert example.returncode == 0, err
    for part in ("Logged in: access token ", "  camera ", "Refreshed: ", "Logged out"):
        assert part in out
    assert CLIENT_SECRET not in out


def test_the_programs_of_the_readmes_log_in(sandbox: Sandbox) -> None:
    """Only the arguments of the client are replaced by those of the sandbox."""
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
            out, err = run.communicate(sandbox.visit(url) + "\n", timeout=30)
        assert (run.returncode, err) == (0, "")
        # Both programs end with a logout. An error would add a line.
        assert out.count("\n") <= 1, out

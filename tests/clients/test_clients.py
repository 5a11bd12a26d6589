"""OAuth clients that nobody here wrote log in at the sandbox, refresh, and log out, as their users would."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from cmauth.testing import CLIENT_ID, CLIENT_SECRET, Sandbox
from conftest import ROOT, TARGET
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

URI = "https://example.com"
CURRENT = "rest/v2.0/users/self/tokens/current"


def uses(api: Any, sandbox: Sandbox) -> None:
    """The session of a client library that is based on requests: calls the API, and logs out."""
    cameras = api.get(f"{sandbox.url}/rest/v2.4/cameras", headers={"Accept": "application/json"})
    assert len(cameras.json()) == 3
    assert api.delete(f"{sandbox.url}/{CURRENT}", headers={"Accept": "application/json"}).status_code == 200


def test_requests_oauthlib(sandbox: Sandbox) -> None:
    refreshed: list[dict[str, Any]] = []
    api = OAuth2Session(
        CLIENT_ID,
        redirect_uri=URI,
        scope=["write"],
        auto_refresh_url=f"{sandbox.url}/oauth/token",
        token_updater=refreshed.append,
    )
    url, _state = api.authorization_url(f"{sandbox.url}/oauth/authorize")
    key = HTTPBasicAuth(CLIENT_ID, CLIENT_SECRET)
    token = api.fetch_token(f"{sandbox.url}/oauth/token", authorization_response=sandbox.visit(url), auth=key)
    again = api.refresh_token(f"{sandbox.url}/oauth/token", token["refresh_token"], auth=key)
    assert again["access_token"] != token["access_token"]
    uses(api, sandbox)


def test_authlib(sandbox: Sandbox) -> None:
    api = AuthlibSession(CLIENT_ID, CLIENT_SECRET, redirect_uri=URI, scope="write")
    url, state = api.create_authorization_url(f"{sandbox.url}/oauth/authorize")
    token = api.fetch_token(f"{sandbox.url}/oauth/token", authorization_response=sandbox.visit(url), state=state)
    again = api.refresh_token(f"{sandbox.url}/oauth/token", refresh_token=token["refresh_token"])
    assert again["access_token"] != token["access_token"]
    uses(api, sandbox)


def test_authlib_with_the_key_in_the_body(sandbox: Sandbox) -> None:
    api = AuthlibSession(
        CLIENT_ID, CLIENT_SECRET, redirect_uri=URI, scope="write", token_endpoint_auth_method="client_secret_post"
    )
    url, state = api.create_authorization_url(f"{sandbox.url}/oauth/authorize")
    api.fetch_token(f"{sandbox.url}/oauth/token", authorization_response=sandbox.visit(url), state=state)
    uses(api, sandbox)


def needs(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        assert "CI" not in os.environ, f"CI must have {missing}: see scripts/setup-ci"
        pytest.skip(f"{' and '.join(missing)} missing: make setup-ci")


def go() -> list[str]:
    needs("go")
    program = TARGET / "clients" / "oauth2"
    subprocess.run(["go", "build", "-o", str(program), "."], cwd=ROOT / "tests/clients/go", check=True)
    return [str(program)]


def node() -> list[str]:
    needs("node", "npm")
    folder = TARGET / "clients" / "node"
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("package.json", "package-lock.json", "login.mjs"):
        shutil.copy(ROOT / "tests/clients/node" / file, folder)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True)
    return ["node", str(folder / "login.mjs")]


@pytest.mark.parametrize("build", [go, node])
def test_clients_of_other_languages(sandbox: Sandbox, build: Callable[[], list[str]]) -> None:
    """The program prints the page to open, reads the URL of the redirect, and prints what it did."""
    environment = {
        **os.environ,
        "BASE_URL": sandbox.url,
        "CLIENT_ID": CLIENT_ID,
        "CLIENT_SECRET": CLIENT_SECRET,
        "SSL_CERT_FILE": sandbox.ca_file,
        "NODE_EXTRA_CA_CERTS": sandbox.ca_file,
        "NO_PROXY": "localhost",
    }
    with subprocess.Popen(
        build(), env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        url = running.stdout.readline().strip()
        out, err = running.communicate(f"{sandbox.visit(url)}\n", timeout=60)
    assert running.returncode == 0, err
    assert out.splitlines() == ["logged in", "refreshed", "3 cameras", "logged out"]

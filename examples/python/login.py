#!/usr/bin/env python3
"""Log in to CameraManager, list the cameras, refresh, log out.

    export CMAUTH_CLIENT_ID=… CMAUTH_CLIENT_SECRET=…     # your API key
    python3 login.py

Optional variables:

CMAUTH_REDIRECT_URI: the redirect URI. Default: https://example.com.
CMAUTH_BASE_URL, CMAUTH_CA_FILE: another server, such as cmauth-sandbox, and the certificate to
    trust for it (PEM).
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request

import cmauth

BASE_URL = os.environ.get("CMAUTH_BASE_URL") or cmauth.DEFAULT_BASE_URL
REDIRECT_URI = os.environ.get("CMAUTH_REDIRECT_URI") or "https://example.com"
CA_FILE = os.environ.get("CMAUTH_CA_FILE") or None


def main() -> None:
    client = cmauth.Client(
        needed("CMAUTH_CLIENT_ID"),
        needed("CMAUTH_CLIENT_SECRET"),
        base_url=BASE_URL,
        ca_file=CA_FILE,
    )

    login = client.begin_login(REDIRECT_URI)
    print("Open this page in a browser and log in:")
    print(login.url)
    print("Then paste the URL to which the browser was redirected:", flush=True)
    tokens = login.finish(sys.stdin.readline().strip())
    show("Logged in", tokens)

    for camera in cameras(tokens.access_token):
        print(f"  camera {camera.get('cameraId')}: {camera.get('name')}")

    if tokens.refresh_token:
        tokens = client.refresh(tokens.refresh_token)
        show("Refreshed", tokens)

    client.logout(tokens.access_token)
    print("Logged out")


def needed(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        sys.exit(f"{variable} is not set; it is a part of your API key")
    return value


def show(what: str, tokens: cmauth.Tokens) -> None:
    """Print the first characters of the tokens only, because tokens are secret."""
    print(f"{what}: access token {tokens.access_token[:4]}…", end="")
    print(f", refresh token {tokens.refresh_token[:4]}…" if tokens.refresh_token else "", end="")
    print(f", {tokens.expires_in} s left" if tokens.expires_in is not None else ", never expires")


def cameras(access_token: str) -> list[dict[str, object]]:
    request = urllib.request.Request(
        f"{BASE_URL.rstrip('/')}/rest/v2.4/cameras",
        headers={"Authorization": f"Bearer {access_token}", "Accept": "application/json"},
    )
    trust = ssl.create_default_context(cafile=CA_FILE)
    with urllib.request.urlopen(request, timeout=30, context=trust) as response:
        found: list[dict[str, object]] = json.load(response)
        return found


if __name__ == "__main__":
    try:
        main()
    except cmauth.Error as error:
        sys.exit(f"{type(error).__name__}, {error.status.name}: {error}")
    except urllib.error.URLError as error:
        sys.exit(f"the cameras could not be listed: {error}")

"""A Python peer: peer.py NAME URL CA_FILE CALLS THREADS. It prints the same line of JSON as the C peers."""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable

NAME, URL, CA_FILE, CALLS, THREADS = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
CLIENT_ID, CLIENT_SECRET = "cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345"
REFRESH_TOKEN = "0f8fad5b-d9cb-469f-a165-70867728950e:10003"
ENDPOINT = f"{URL}/oauth/token"
TIMEOUT = 30
Call = Callable[[], str]


def cmauth_peer() -> Callable[[], Call]:
    import cmauth

    client = cmauth.Client(CLIENT_ID, CLIENT_SECRET, base_url=URL, ca_file=CA_FILE, proxy="")
    return lambda: lambda: client.refresh(REFRESH_TOKEN).access_token


def requests_oauthlib_peer() -> Callable[[], Call]:
    from requests_oauthlib import OAuth2Session

    def per_thread() -> Call:
        session = OAuth2Session(CLIENT_ID)
        session.trust_env = False
        session.verify = CA_FILE

        def call() -> str:
            token = session.refresh_token(
                ENDPOINT, refresh_token=REFRESH_TOKEN, auth=(CLIENT_ID, CLIENT_SECRET), timeout=TIMEOUT
            )
            return str(token["access_token"])

        return call

    return per_thread


def authlib_requests_peer() -> Callable[[], Call]:
    from authlib.integrations.requests_client import OAuth2Session

    def per_thread() -> Call:
        session = OAuth2Session(CLIENT_ID, CLIENT_SECRET, scope="write")
        session.trust_env = False
        session.verify = CA_FILE
        return lambda: str(
            session.refresh_token(ENDPOINT, refresh_token=REFRESH_TOKEN, timeout=TIMEOUT)["access_token"]
        )

    return per_thread


def authlib_httpx_peer() -> Callable[[], Call]:
    import ssl

    from authlib.integrations.httpx_client import OAuth2Client

    trust = ssl.create_default_context(cafile=CA_FILE)

    def per_thread() -> Call:
        client = OAuth2Client(CLIENT_ID, CLIENT_SECRET, scope="write", verify=trust, trust_env=False, timeout=TIMEOUT)
        return lambda: str(client.refresh_token(ENDPOINT, refresh_token=REFRESH_TOKEN)["access_token"])

    return per_thread


def httpx_peer() -> Callable[[], Call]:
    import ssl

    import httpx

    trust = ssl.create_default_context(cafile=CA_FILE)
    client = httpx.Client(verify=trust, trust_env=False, timeout=TIMEOUT, auth=(CLIENT_ID, CLIENT_SECRET))
    parameters = {"grant_type": "refresh_token", "scope": "write", "refresh_token": REFRESH_TOKEN}

    def call() -> str:
        response = client.post(ENDPOINT, params=parameters, headers={"Accept": "application/json"})
        response.raise_for_status()
        return str(response.json()["access_token"])

    return lambda: call


PEERS = {
    "cmauth": cmauth_peer,
    "requests-oauthlib": requests_oauthlib_peer,
    "Authlib on requests": authlib_requests_peer,
    "Authlib on httpx": authlib_httpx_peer,
    "httpx by hand": httpx_peer,
}


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    os.environ["OAUTHLIB_RELAX_TOKEN_SCOPE"] = "1"
    open_peer = PEERS[NAME]()
    ready, go = threading.Barrier(THREADS + 1), threading.Barrier(THREADS + 1)
    took: list[float] = []

    def run() -> None:
        call = open_peer()
        assert len(call()) == 42
        mine = []
        ready.wait()
        go.wait()
        for _ in range(CALLS // THREADS):
            begun = time.perf_counter()
            call()
            mine.append(time.perf_counter() - begun)
        took.extend(mine)

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    ready.wait()
    used, begun = cpu(), time.perf_counter()
    go.wait()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - begun
    result = {
        "calls": len(took),
        "wall": wall,
        "cpu": cpu() - used,
        "latency": sorted(took)[len(took) // 2],
    }
    print(json.dumps(result))


main()

"""Which URLs get the access token, with `requests` and with `httpx`."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cmauth
import httpx
import pytest
import requests
from conftest import ACCESS_TOKEN, Fake, Response, tokens_response
from sessions import some_tokens

BEARER = f"Bearer {ACCESS_TOKEN}"


def by_requests(auth: dict[str, Any], session: cmauth.Session, method: str, url: str, **options: Any) -> int:
    with requests.Session() as http:
        http.auth = cmauth.Auth(session, **auth)
        return http.request(method, url, timeout=10, **options).status_code


def by_httpx(auth: dict[str, Any], session: cmauth.Session, method: str, url: str, **options: Any) -> int:
    with httpx.Client(auth=cmauth.HttpxAuth(session, **auth), follow_redirects=True) as http:
        return http.request(method, url, **options).status_code


def by_async_httpx(auth: dict[str, Any], session: cmauth.Session, method: str, url: str, **options: Any) -> int:
    async def run() -> int:
        async with httpx.AsyncClient(auth=cmauth.HttpxAuth(session, **auth), follow_redirects=True) as http:
            return (await http.request(method, url, **options)).status_code

    return asyncio.run(run())


Call = Callable[..., int]
CALLS = pytest.mark.parametrize("call", [by_requests, by_httpx, by_async_httpx])


@dataclass
class Hosts:
    """The client's server, and another one. Each answers by path."""

    own: Fake
    foreign: Fake
    routes: dict[str, Callable[[], Response]] = field(default_factory=dict)
    refreshes: int = 0

    def session(self, **options: Any) -> cmauth.Session:
        session = cmauth.Session(self.own.client(**options), cmauth.MemoryStore())
        session.start(some_tokens())
        return session

    def answer(self, fake: Fake) -> Response:
        path = fake.requests[-1][0].split()[1]
        if path.startswith("/oauth/token"):
            self.refreshes += 1
            return tokens_response(access_token=f"fresh-{self.refreshes}")
        return self.routes.get(path, lambda: Response(200, {}))()

    def seen(self, fake: Fake) -> list[tuple[str, str | None]]:
        """The requests, each with its header Authorization. Without those of the library."""
        calls = [(line, headers.get("authorization")) for line, headers, _ in fake.requests]
        return [(line, header) for line, header in calls if "/oauth/" not in line]


@pytest.fixture
def hosts(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    monkeypatch.setenv("NO_PROXY", "*")
    foreign = Fake()
    made = Hosts(fake, foreign)
    for server in (fake, foreign):
        server.respond = lambda server=server: made.answer(server)  # type: ignore[misc]
    yield made
    foreign.server.shutdown()
    foreign.server.server_close()


@CALLS
@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("{foreign}/cameras", "is not sent to http://127.0.0.1:"),
        ("https://127.0.0.1:{port}/cameras", "is not sent to https://127.0.0.1:"),
        ("http://localhost:{port}/cameras", "is not sent to http://localhost:"),
        ("http://example.com/cameras", "is not sent to http://example.com"),
        ("http://user:password@127.0.0.1:{port}/cameras", "leave out the user name"),
        ("http://127.0.0.1:{port}@evil.example/cameras", "leave out the user name"),
    ],
)
def test_a_url_of_another_origin_raises_before_anything_is_sent(
    hosts: Hosts, call: Call, url: str, problem: str
) -> None:
    session = hosts.session()
    target = url.format(foreign=hosts.foreign.url, port=hosts.own.server.server_port)
    with pytest.raises(cmauth.FixError, match=problem) as caught:
        call({}, session, "GET", target)
    assert caught.value.status is cmauth.Status.INVALID_ARGUMENT
    assert "password" not in str(caught.value).replace("user name and password", "")
    assert hosts.own.requests == hosts.foreign.requests == []


@CALLS
def test_own_and_allowed_origins_get_the_token(hosts: Hosts, call: Call) -> None:
    session = hosts.session()
    assert call({}, session, "GET", f"{hosts.own.url}/cameras") == 200
    assert call({"allow": [hosts.foreign.url]}, session, "GET", f"{hosts.foreign.url}/media") == 200
    assert hosts.seen(hosts.own) == [("GET /cameras", BEARER)]
    assert hosts.seen(hosts.foreign) == [("GET /media", BEARER)]
    # The client can allow it for all of its sessions.
    assert call({}, hosts.session(allow_origins=[hosts.foreign.url]), "GET", hosts.foreign.url) == 200
    assert hosts.seen(hosts.foreign)[1] == ("GET /", BEARER)


@CALLS
def test_the_program_can_send_other_requests_without_the_token(hosts: Hosts, call: Call) -> None:
    session = hosts.session()
    hosts.routes["/x"] = lambda: Response(401, {})
    assert call({"others": "no_token"}, session, "GET", f"{hosts.foreign.url}/x") == 401
    assert hosts.seen(hosts.foreign) == [("GET /x", None)]
    assert hosts.refreshes == 0, "a 401 without the token rejects nothing"
    assert call({"others": "no_token"}, session, "GET", f"{hosts.own.url}/cameras") == 200
    assert hosts.seen(hosts.own) == [("GET /cameras", BEARER)]


@pytest.mark.parametrize("kind", [cmauth.Auth, cmauth.HttpxAuth])
@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        ({"allow": ["http://media.example"]}, cmauth.FixError, "https:// only"),
        ({"allow": ["https://media.example/path"]}, cmauth.FixError, "scheme, host and port only"),
        ({"allow": "https://media.example"}, TypeError, "a list of origins"),
        ({"others": "ignore"}, ValueError, "others"),
    ],
)
def test_bad_arguments_are_refused_at_once(
    hosts: Hosts, kind: type, options: dict[str, Any], error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        kind(hosts.session(), **options)


@CALLS
@pytest.mark.parametrize("where", ["redirect", "target"])
@pytest.mark.parametrize("status", [302, 303, 307])
def test_a_401_of_a_foreign_host_after_a_redirect_rejects_nothing(
    hosts: Hosts, call: Call, where: str, status: int
) -> None:
    session = hosts.session()
    target = f"{hosts.foreign.url}/elsewhere"
    hosts.routes["/moved"] = lambda: Response(status, {}, (("Location", target),))
    hosts.routes["/elsewhere"] = lambda: Response(401 if where == "target" else 200, {})
    assert call({}, session, "GET", f"{hosts.own.url}/moved") == (401 if where == "target" else 200)
    assert hosts.seen(hosts.own) == [("GET /moved", BEARER)]
    assert hosts.seen(hosts.foreign) == [("GET /elsewhere", None)]
    assert hosts.refreshes == 0


@CALLS
@pytest.mark.parametrize("status", [302, 307])
def test_a_401_at_the_end_of_a_redirect_within_the_server_sends_the_first_request_once(
    hosts: Hosts, call: Call, status: int
) -> None:
    session = hosts.session()
    hosts.routes["/orders"] = lambda: Response(status, {}, (("Location", "/orders/1"),))

    def order() -> Response:
        _, headers, _ = hosts.own.requests[-1]
        return Response(200 if headers.get("authorization") == "Bearer fresh-1" else 401, {})

    hosts.routes["/orders/1"] = order
    assert call({}, session, "POST", f"{hosts.own.url}/orders", data={"a": "1"}) == 200
    again = "POST" if status == 307 else "GET"
    lines = [(line, header) for line, header in hosts.seen(hosts.own)]
    assert lines == [
        ("POST /orders", BEARER),
        (f"{again} /orders/1", BEARER),
        (f"{again} /orders/1", "Bearer fresh-1"),
    ]
    bodies = [body for line, _, body in hosts.own.requests if line == "POST /orders/1"]
    assert bodies == (["a=1", "a=1"] if status == 307 else [])


@CALLS
def test_a_netrc_entry_does_not_replace_the_token(
    hosts: Hosts, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    session = hosts.session()
    assert call({}, session, "GET", f"{hosts.own.url}/cameras") == 200
    assert hosts.seen(hosts.own) == [("GET /cameras", BEARER)]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_absolute_url_is_not_one_of_the_base_url(hosts: Hosts, asynchronous: bool) -> None:
    auth = cmauth.HttpxAuth(hosts.session())

    def refused() -> Any:
        return pytest.raises(cmauth.FixError, match="is not sent to")

    if asynchronous:

        async def run() -> None:
            async with httpx.AsyncClient(base_url=hosts.own.url, auth=auth) as http:
                assert (await http.get("/cameras")).status_code == 200
                with refused():
                    await http.get(hosts.foreign.url)

        asyncio.run(run())
    else:
        with httpx.Client(base_url=hosts.own.url, auth=auth) as client:
            assert client.get("/cameras").status_code == 200
            with refused():
                client.get(hosts.foreign.url)
    assert hosts.seen(hosts.own) == [("GET /cameras", BEARER)]
    assert hosts.foreign.requests == []


@CALLS
def test_plain_http_is_not_sent_through_a_proxy(hosts: Hosts, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, hosts.foreign.url)
    with pytest.raises(cmauth.FixError):
        call({}, hosts.session(), "GET", "http://rest.cameramanager.com/rest/v2.4/cameras")
    assert hosts.foreign.requests == []


def test_a_request_that_had_the_token_loses_it_for_another_url(hosts: Hosts) -> None:
    session = hosts.session()
    with httpx.Client(auth=cmauth.HttpxAuth(session, others="no_token")) as http:
        request = http.build_request("GET", f"{hosts.own.url}/x")
        http.send(request)
        request.url = httpx.URL(f"{hosts.foreign.url}/x")
        http.send(request)
        own = http.get(f"{hosts.foreign.url}/x", headers={"Authorization": "Basic own"})
        assert own.request.headers["Authorization"] == "Basic own"
    auth = cmauth.Auth(session, others="no_token")
    prepared = requests.Request("GET", f"{hosts.own.url}/x", auth=auth).prepare()
    assert prepared.headers["Authorization"] == BEARER
    prepared.prepare_url(f"{hosts.foreign.url}/x", None)
    prepared.prepare_auth(auth)
    assert "Authorization" not in prepared.headers
    assert [header for _, header in hosts.seen(hosts.foreign)] == [None, "Basic own"]


def test_a_response_with_auth_can_be_pickled(hosts: Hosts) -> None:
    session = hosts.session()
    hosts.routes["/cameras"] = lambda: Response(
        200 if hosts.own.requests[-1][1].get("authorization") == "Bearer fresh-1" else 401, {"a": 1}
    )
    response = requests.get(f"{hosts.own.url}/cameras", auth=cmauth.Auth(session), timeout=10)
    copy = pickle.loads(pickle.dumps(response))
    assert (copy.status_code, copy.json()) == (200, {"a": 1})
    assert [earlier.status_code for earlier in copy.history] == [401]


def test_check_url_is_for_other_http_libraries() -> None:
    client = cmauth.Client("id", "secret", allow_origins=["https://media.example:8443"])
    client.check_url("https://rest.cameramanager.com/rest/v2.4/cameras")
    client.check_url("https://media.example:8443/x")
    client.check_url("https://other.example/x", allow=["https://other.example"])
    for url in ("https://media.example/x", "https://rest.cameramanager.com.evil.example", "/x"):
        with pytest.raises(cmauth.FixError, match=r"^url: "):
            client.check_url(url)
    again: cmauth.Client = pickle.loads(pickle.dumps(client))
    again.check_url("https://media.example:8443/x")
    with pytest.raises(TypeError, match="list of origins"):
        cmauth.Client("id", "secret", allow_origins="https://media.example")
    with pytest.raises(cmauth.FixError, match="allow_origins"):
        cmauth.Client("id", "secret", allow_origins=["media.example"])


def test_a_signed_url_has_the_token_and_hides_it(hosts: Hosts) -> None:
    session = hosts.session()
    signed = session.sign_url(f"{hosts.own.url}/download?a=%2B1&access_token=old")
    assert signed.url == f"{hosts.own.url}/download?a=%2B1&access_token={ACCESS_TOKEN.replace(':', '%3A')}"
    assert signed.expires_at == session.tokens().expires_at
    assert repr(signed) == str(signed) == f"SignedUrl(url=[redacted], expires_at={signed.expires_at})"
    with pytest.raises(cmauth.FixError, match="is not sent to"):
        session.sign_url(f"{hosts.foreign.url}/download")
    allowed = session.sign_url(f"{hosts.foreign.url}/download", allow=[hosts.foreign.url])
    assert allowed.url.startswith(f"{hosts.foreign.url}/download?access_token=")
    assert requests.get(signed.url, timeout=10).status_code == 200


def test_the_user_of_tokens_comes_from_the_api(fake: Fake) -> None:
    fake.responds(200, {"userId": 20003, "username": "demo", "emailAddress": "demo@example.com"})
    client = fake.client()
    user = client.user(some_tokens())
    assert (user.id, user.name, user.email) == ("20003", "demo", "demo@example.com")
    assert repr(user) == 'User(id="20003", name="demo", email="demo@example.com")'
    assert client.user(ACCESS_TOKEN) == user
    assert {(line, headers["authorization"]) for line, headers, _ in fake.requests} == {
        ("GET /rest/v2.0/users/self", BEARER)
    }
    fake.responds(401, {"error": "invalid_token"})
    with pytest.raises(cmauth.RefreshError):
        client.user(some_tokens())

"""The library at Spring and at the sandbox: what holds on one of them must hold on all."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cmauth
import pytest
import servers
from person import Person
from servers import ID, SECRET, Server

URI = "https://example.com"
STORM = Path(__file__).parent / "storm.py"


@pytest.fixture(params=["query", "body"])
def client(server: Server, request: pytest.FixtureRequest) -> cmauth.Client:
    return client_of(server, params_in_body=request.param == "body")


def client_of(server: Server, key: tuple[str, str | None] = (ID, SECRET), **options: Any) -> cmauth.Client:
    return cmauth.Client(*key, base_url=server.url, ca_file=server.ca_file, proxy="", **options)


def log_in(server: Server, client: cmauth.Client, user: str = "demo", uri: str = URI) -> cmauth.Tokens:
    login = client.begin_login(uri)
    return login.finish(Person(server.url, user).visit(login.url))


def code_of(server: Server, client: cmauth.Client, user: str = "demo") -> str:
    redirect = Person(server.url, user).visit(client.begin_login(URI).url)
    return redirect.split("code=")[1].split("&")[0]


def accepts(client: cmauth.Client, tokens: cmauth.Tokens) -> bool:
    try:
        client.user(tokens)
    except cmauth.RefreshError:
        return False
    return True


def test_a_login_refreshes_and_a_logout(server: Server, client: cmauth.Client) -> None:
    tokens = log_in(server, client)
    assert client.user(tokens).name == "demo"
    assert tokens.scope == "write"
    assert tokens.expires_in
    assert tokens.refresh_token
    fresh = client.refresh(tokens.refresh_token)
    assert fresh.access_token != tokens.access_token
    assert not accepts(client, tokens), "a refresh ends the old access token"
    assert fresh.refresh_token
    again = client.refresh(fresh.refresh_token)
    client.logout(again.access_token)
    assert not accepts(client, again)
    with pytest.raises(cmauth.LoginError):
        client.refresh(again.refresh_token or "")


def test_a_second_login_of_a_user_shares_the_tokens(server: Server, client: cmauth.Client) -> None:
    first, second = log_in(server, client), log_in(server, client)
    assert first.access_token == second.access_token
    client.logout(first.access_token)
    assert not accepts(client, second)


def test_a_login_that_listens(server: Server, client: cmauth.Client) -> None:
    login = client.listen()

    def visit() -> None:
        redirect = Person(server.url).visit(login.url)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(redirect, timeout=30) as page:
            assert b"logged in" in page.read()

    thread = threading.Thread(target=visit)
    thread.start()
    tokens = login.wait(30)
    thread.join()
    client.logout(tokens.access_token)


def test_a_denial(server: Server) -> None:
    # This user has not approved this scope before.
    login = client_of(server, scope="read").begin_login(URI)
    redirect = Person(server.url, "other").visit(login.url, approve=False)
    with pytest.raises(cmauth.LoginError) as caught:
        login.finish(redirect)
    assert caught.value.status is cmauth.Status.ACCESS_DENIED


# What goes wrong, and the status and the kind of the error, on every server. The preparation must succeed: it returns
# the call that fails.
Failure = Callable[[Server, cmauth.Client], Callable[[], object]]
FAILURES: dict[str, tuple[Failure, str, type[cmauth.Error]]] = {}


def failure(status: str, kind: type[cmauth.Error]) -> Callable[[Failure], Failure]:
    def add(call: Failure) -> Failure:
        FAILURES[call.__name__] = (call, status, kind)
        return call

    return add


@failure("CLIENT_REJECTED", cmauth.FixError)
def a_wrong_secret(server: Server, _client: cmauth.Client) -> Callable[[], object]:
    return lambda: client_of(server, (ID, "wrong")).refresh("x")


@failure("CLIENT_REJECTED", cmauth.FixError)
def an_unknown_key(server: Server, _client: cmauth.Client) -> Callable[[], object]:
    return lambda: client_of(server, ("nobody", "wrong")).exchange_code("AbCdEf", URI)


@failure("LOGIN_REQUIRED", cmauth.LoginError)
def an_unknown_code(_server: Server, client: cmauth.Client) -> Callable[[], object]:
    return lambda: client.exchange_code("AbCdEf", URI)


@failure("LOGIN_REQUIRED", cmauth.LoginError)
def a_code_that_was_used(server: Server, client: cmauth.Client) -> Callable[[], object]:
    code = code_of(server, client)
    client.exchange_code(code, URI)
    return lambda: client.exchange_code(code, URI)


@failure("LOGIN_REQUIRED", cmauth.LoginError)
def another_redirect_uri(server: Server, client: cmauth.Client) -> Callable[[], object]:
    code = code_of(server, client)
    return lambda: client.exchange_code(code, "http://127.0.0.1/")


@failure("CLIENT_REJECTED", cmauth.FixError)
def a_code_of_another_key(server: Server, client: cmauth.Client) -> Callable[[], object]:
    code = code_of(server, client)
    return lambda: client_of(server, ("other", "other")).exchange_code(code, URI)


@failure("LOGIN_REQUIRED", cmauth.LoginError)
def an_unknown_refresh_token(_server: Server, client: cmauth.Client) -> Callable[[], object]:
    return lambda: client.refresh("nosuch:10003")


@failure("LOGIN_REQUIRED", cmauth.LoginError)
def a_refresh_token_of_another_key(server: Server, client: cmauth.Client) -> Callable[[], object]:
    tokens = log_in(server, client)
    return lambda: client_of(server, ("other", "other")).refresh(tokens.refresh_token or "")


@failure("REQUEST_REJECTED", cmauth.FixError)
def a_scope_that_the_key_does_not_have(server: Server, client: cmauth.Client) -> Callable[[], object]:
    tokens = log_in(server, client)
    return lambda: client_of(server, scope="nosuch").refresh(tokens.refresh_token or "")


@failure("REQUEST_REJECTED", cmauth.FixError)
def a_wider_scope_at_a_refresh(server: Server, client: cmauth.Client) -> Callable[[], object]:
    tokens = log_in(server, client_of(server, scope="read"))
    return lambda: client.refresh(tokens.refresh_token or "")


@failure("TOKEN_REJECTED", cmauth.RefreshError)
def a_logout_with_an_unknown_token(_server: Server, client: cmauth.Client) -> Callable[[], object]:
    return lambda: client.logout("nosuch:10003")


@failure("TOKEN_REJECTED", cmauth.RefreshError)
def a_second_logout(server: Server, client: cmauth.Client) -> Callable[[], object]:
    tokens = log_in(server, client)
    client.logout(tokens.access_token)
    return lambda: client.logout(tokens.access_token)


@failure("TOKEN_REJECTED", cmauth.RefreshError)
def a_logout_with_a_token_that_a_refresh_ended(server: Server, client: cmauth.Client) -> Callable[[], object]:
    tokens = log_in(server, client)
    client.refresh(tokens.refresh_token or "")
    return lambda: client.logout(tokens.access_token)


@pytest.mark.parametrize("name", FAILURES)
def test_each_error_has_its_advice_and_shows_no_secret(server: Server, client: cmauth.Client, name: str) -> None:
    prepare, status, kind = FAILURES[name]
    call = prepare(server, client)
    with pytest.raises(cmauth.Error) as caught:
        call()
    error = caught.value
    assert (error.status.name, type(error)) == (status, kind), error
    assert SECRET not in str(error)
    assert ":10003" not in str(error)
    assert "AbCdEf" not in str(error)
    assert "nosuch" not in str(error) or name == "a_scope_that_the_key_does_not_have"


SHORT_LIVED = ["--lifetime=2", "--refresh-lifetime=5", "--form=true"]


@pytest.fixture(params=["sandbox", "memory", "database", "2.5"])
def short_lived(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server whose tokens expire."""
    name: str = request.param
    start: dict[str, Callable[[], AbstractContextManager[Server]]] = {
        "sandbox": lambda: servers.sandbox(name, "--access-token-lifetime", "2", "--refresh-token-lifetime", "5"),
        "memory": lambda: servers.spring(name, *SHORT_LIVED),
        "database": lambda: servers.spring(name, *SHORT_LIVED, "--store=jdbc"),
        "2.5": lambda: servers.spring(name, *SHORT_LIVED, version="2.5"),
    }
    with start[name]() as server:
        yield server


def test_tokens_that_expire(short_lived: Server) -> None:
    client = client_of(short_lived)
    tokens = log_in(short_lived, client)
    assert accepts(client, tokens)
    until(lambda: not accepts(client, tokens))
    # A logout with an expired access token is refused, and the refresh token survives.
    with pytest.raises(cmauth.RefreshError):
        client.logout(tokens.access_token)
    fresh = client.refresh(tokens.refresh_token or "")
    client.logout(fresh.access_token)

    tokens = log_in(short_lived, client)
    session = cmauth.Session(client, cmauth.MemoryStore())
    session.start(tokens)
    until(lambda: not accepts(client, tokens))
    assert accepts(client, session.tokens())
    refresh_token = session.tokens().refresh_token or ""

    def has_expired() -> bool:
        try:
            client.refresh(refresh_token)
        except cmauth.LoginError as error:
            return error.status is cmauth.Status.LOGIN_REQUIRED
        return False

    until(has_expired)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@functools.cache
def compiled(source: str) -> Path:
    library = servers.TARGET / "release"
    program = servers.TARGET / "spring" / source.replace(".", "-")
    compiler = ["cc", "-std=c99"] if source.endswith(".c") else ["c++", "-std=c++17"]
    command = [*compiler, f"-I{servers.ROOT / 'include'}", str(Path(__file__).parent / source), "-o", str(program)]
    subprocess.run([*command, f"-L{library}", "-lcmauth", f"-Wl,-rpath,{library}"], check=True)
    return program


@pytest.mark.parametrize("source", ["story.c", "story.cpp"])
@pytest.mark.parametrize("where", ["query", "body"])
def test_the_same_in_c_and_cpp(server: Server, source: str, where: str) -> None:
    environment = {"CMAUTH_CLIENT_ID": ID, "CMAUTH_CLIENT_SECRET": SECRET, "CMAUTH_BASE_URL": server.url}
    environment.update({"CMAUTH_CA_FILE": server.ca_file} if server.ca_file else {})
    with subprocess.Popen(
        [compiled(source), where],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout
        redirect = Person(server.url).visit(running.stdout.readline().strip())
        out, err = running.communicate(f"{redirect}\n", timeout=60)
    assert running.returncode == 0, err
    assert out.splitlines() == ["logged in as demo", "refreshed", "logged out"]


@pytest.mark.parametrize(
    ("store", "seconds"), [(["--store=jdbc"], 60), (["--store=jdbc", "--rotate=true"], 15), ([], 15)]
)
def test_sessions_of_four_processes_with_eight_threads_each(store: list[str], seconds: int, tmp_path: Path) -> None:
    """Each access token lives for 3 s, so the processes refresh about every two seconds, one at a time."""
    with servers.spring("storm", "--lifetime=3", *store) as server:
        client = client_of(server)
        path = tmp_path / "session"
        session = cmauth.Session(client, cmauth.FileStore(path))
        session.start(log_in(server, client))
        command = [sys.executable, str(STORM), server.url, server.ca_file or "", str(path), str(seconds)]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        results = [json.loads(process.communicate(timeout=seconds + 120)[0]) for process in running]
    errors = [error for result in results for error in result["errors"]]
    done = sum(result["ok"] for result in results)
    repaired = sum(result["repaired"] for result in results)
    print(f"{done} calls with the first token, {repaired} with the second, {len(errors)} errors")
    # No login is lost, and nobody has to log in again.
    assert not [error for error in errors if not error.startswith("retry: ")], errors[:5]
    assert done > 100 * 4
    # A token is refreshed at 75 to 95 % of its lifetime.
    used = {token for result in results for token in result["tokens"]}
    assert len(used) >= seconds / 3, "they have refreshed in time"
    # The session refuses to refresh tokens that are a moment old, and says so.
    assert len(errors) <= done / 100, errors[:5]

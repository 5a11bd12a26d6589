"""After a 401, a request is sent again if its body can be. Otherwise its response is the 401."""

from __future__ import annotations

import asyncio
import gc
import io
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import cmauth
import httpx
import pytest
import requests
from conftest import Fake, Response, tokens_response
from sessions import some_tokens

DATA = b"0123456789"


class Api:
    """Accepts the token that a refresh gives."""

    def __init__(self, fake: Fake) -> None:
        self.fake = fake
        fake.respond = self.respond
        self.session = cmauth.Session(fake.client(), cmauth.MemoryStore())
        self.session.start(some_tokens())

    def respond(self) -> Response:
        line, headers, _ = self.fake.requests[-1]
        if "/oauth/token" in line:
            return tokens_response(access_token="good")
        return Response(200 if headers.get("authorization") == "Bearer good" else 401, {})

    def received(self) -> list[str]:
        return [body for line, _, body in self.fake.requests if line == "POST /upload"]

    def refreshes(self) -> int:
        return sum("/oauth/token" in line for line, _, _ in self.fake.requests)


class Readable:
    """An object with `read` and `len`, which cannot seek."""

    def __init__(self) -> None:
        self._file = io.BytesIO(DATA)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def __len__(self) -> int:
        return len(DATA)


class NoSeek(io.BytesIO):
    """A file that says where it is but cannot seek."""

    def seekable(self) -> bool:
        return False

    def seek(self, _offset: int, _whence: int = 0, /) -> int:
        raise io.UnsupportedOperation("seek")


def pipe() -> Any:
    reading, writing = os.pipe()
    os.write(writing, DATA)
    os.close(writing)
    return os.fdopen(reading, "rb")


def generator() -> Iterator[bytes]:
    yield DATA[:5]
    yield DATA[5:]


def moved(tmp_path: Path) -> Any:
    (tmp_path / "body").write_bytes(b"skipped" + DATA)
    file = (tmp_path / "body").open("rb")
    file.seek(len(b"skipped"))
    return file


REWINDABLE: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda _: DATA,
    "file": lambda _: io.BytesIO(DATA),
    "moved file": moved,
}
OTHERS: dict[str, Callable[[Path], Any]] = {
    "pipe": lambda _: pipe(),
    "generator": lambda _: generator(),
    "iterator": lambda _: iter([DATA[:5], DATA[5:]]),
}


def post_by_requests(api: Api, body: Any) -> int:
    return requests.post(f"{api.fake.url}/upload", data=body, auth=cmauth.Auth(api.session), timeout=10).status_code


def post_by_httpx(api: Api, body: Any) -> int:
    with httpx.Client(auth=cmauth.HttpxAuth(api.session), trust_env=False) as http:
        return http.post(f"{api.fake.url}/upload", content=body).status_code


POSTS = pytest.mark.parametrize("post", [post_by_requests, post_by_httpx])


def close(body: Any) -> None:
    if hasattr(body, "close"):
        body.close()


@POSTS
@pytest.mark.parametrize("body", REWINDABLE)
def test_a_body_that_can_be_rewound_is_sent_again_whole(
    fake: Fake, tmp_path: Path, post: Callable[[Api, Any], int], body: str
) -> None:
    api = Api(fake)
    if body == "moved file" and post is post_by_httpx:
        body = "file"  # httpx itself cannot send the rest of a file.
    data = REWINDABLE[body](tmp_path)
    assert post(api, data) == 200
    close(data)
    assert api.received() == [DATA.decode()] * 2


@POSTS
@pytest.mark.parametrize("body", [*OTHERS, "readable", "no seek"])
def test_with_any_other_body_the_response_is_the_401_and_the_next_request_is_good(
    fake: Fake, tmp_path: Path, post: Callable[[Api, Any], int], body: str
) -> None:
    api = Api(fake)
    others = {**OTHERS, "readable": lambda _: Readable(), "no seek": lambda _: NoSeek(DATA)}
    if body in ("readable", "pipe") and post is post_by_httpx:
        body = "no seek"  # httpx itself cannot send these.
    data = others[body](tmp_path)
    assert post(api, data) == 401
    close(data)
    assert api.received() == [DATA.decode()]
    assert api.refreshes() == 1, "the 401 was reported to the session"
    assert post(api, DATA) == 200
    assert api.received() == [DATA.decode()] * 2


def test_a_form_with_files_is_sent_again_if_its_files_can_be_rewound(fake: Fake) -> None:
    api = Api(fake)
    with httpx.Client(auth=cmauth.HttpxAuth(api.session), trust_env=False) as http:
        form: dict[str, Any] = {"data": {"a": "1"}, "files": {"f": io.BytesIO(DATA)}}
        assert http.post(f"{fake.url}/upload", **form).status_code == 200
        first, second = api.received()
        assert first == second
        assert DATA.decode() in first
        fake.requests.clear()
        api.session.start(some_tokens(access_token="other"))
        assert http.post(f"{fake.url}/upload", files={"f": NoSeek(DATA)}).status_code == 401
        assert len(api.received()) == 1


def test_an_asynchronous_iterator_is_sent_once(fake: Fake) -> None:
    api = Api(fake)

    async def parts() -> AsyncIterator[bytes]:
        for part in generator():
            yield part

    async def run() -> None:
        async with httpx.AsyncClient(auth=cmauth.HttpxAuth(api.session), trust_env=False) as http:
            assert (await http.post(f"{fake.url}/upload", content=parts())).status_code == 401
            assert api.refreshes() == 1
            assert (await http.post(f"{fake.url}/upload", content=DATA)).status_code == 200

    asyncio.run(run())
    assert api.received() == [DATA.decode()] * 2


def test_a_stream_of_the_program_is_not_taken_for_one_of_httpx(fake: Fake) -> None:
    class Encoder(httpx.SyncByteStream):
        def __init__(self) -> None:
            self.fields = {"a": "1"}
            self._stream = io.BytesIO(DATA)
            self._pieces = iter([DATA])

        def __iter__(self) -> Iterator[bytes]:
            yield from self._pieces

    api = Api(fake)
    with httpx.Client(auth=cmauth.HttpxAuth(api.session)) as http:
        request = http.build_request("POST", f"{fake.url}/upload", headers={"Transfer-Encoding": "chunked"})
        request.stream = Encoder()
        assert http.send(request).status_code == 401
        assert api.received() == [DATA.decode()]
        assert http.post(f"{fake.url}/upload", content=DATA).status_code == 200


@pytest.mark.filterwarnings("error")
def test_an_asynchronous_file_is_sent_once_and_without_a_warning(fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    api = Api(fake)

    async def run() -> int:
        async with (
            httpx.AsyncClient(auth=cmauth.HttpxAuth(api.session)) as http,
            await anyio.open_file(tmp_path / "file", "rb") as file,
        ):
            return (await http.post(f"{fake.url}/upload", content=file)).status_code

    assert anyio.run(run) == 401
    gc.collect()
    assert len(api.received()) == 1

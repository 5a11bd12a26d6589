"""A person with a browser, at the pages of Spring and of the sandbox alike: logs in, and approves or denies."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

MAX_PAGES = 12


@dataclass
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value for found, value in self.headers if found.lower() == name]
        return ", ".join(values) if values else None


def send(base: str, method: str, target: str, headers: list[tuple[str, str]], body: bytes | None = None) -> Response:
    """Sends exactly this request, with `Host` and `Content-Length` only added."""
    url = urlsplit(base)
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        trust = ssl._create_unverified_context()  # The certificate of a test server.
        connection = http.client.HTTPSConnection(url.netloc, timeout=30, context=trust)
    else:
        connection = http.client.HTTPConnection(url.netloc, timeout=30)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None or method in ("POST", "PUT"):
            connection.putheader("Content-Length", str(len(body or b"")))
        connection.endheaders(body or None)
        response = connection.getresponse()
        return Response(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


class _Form(HTMLParser):
    """The first form of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: list[tuple[str, str, str]] = []
        self._forms = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if tag == "form":
            self._forms += 1
            if self._forms == 1:
                self.action = values.get("action", "")
        elif tag in ("input", "button") and self._forms == 1 and values.get("name"):
            self.fields.append((values.get("type", "text"), values["name"], values.get("value", "")))


@dataclass
class Person:
    """Has a browser with cookies, and is the user whose name is the password."""

    base: str
    user: str = "demo"
    cookies: dict[str, str] = field(default_factory=dict)

    def visit(self, url: str, *, approve: bool = True) -> str:
        """The URL of the redirect that leaves the server. If there is none, "page " and the status."""
        method, target, form = "GET", self._target(url), None
        for _ in range(MAX_PAGES):
            response = self._send(method, target, form)
            location = response.header("location")
            if location is not None and 300 <= response.status < 400:
                location = urljoin(f"{self.base}{target}", location)
                if urlsplit(location).netloc != urlsplit(self.base).netloc:
                    return location
                method, target, form = "GET", self._target(location), None
                continue
            found = _Form(response.body.decode(errors="replace"))
            if response.status != 200 or found.action is None:
                return f"page {response.status}"
            method, form = "POST", self._filled(found, approve)
            target = self._target(urljoin(f"{self.base}{target}", found.action))
        raise AssertionError("the server shows too many pages")

    def _filled(self, form: _Form, approve: bool) -> dict[str, str]:
        filled = {}
        for kind, name, value in form.fields:
            if kind == "hidden":
                filled[name] = value
            elif name in ("username", "password"):
                filled[name] = self.user
            elif value == ("true" if approve else "false"):
                filled[name] = value
        return filled

    def _send(self, method: str, target: str, form: dict[str, str] | None) -> Response:
        headers = [("Accept", "text/html")]
        if self.cookies:
            headers.append(("Cookie", self.cookie()))
        body = None
        if form is not None:
            headers.append(("Content-Type", "application/x-www-form-urlencoded"))
            body = urlencode(form).encode()
        response = send(self.base, method, target, headers, body)
        for name, value in response.headers:
            if name.lower() == "set-cookie":
                key, _, content = value.split(";")[0].partition("=")
                self.cookies[key] = content
        return response

    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    @staticmethod
    def _target(url: str) -> str:
        parts = urlsplit(url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

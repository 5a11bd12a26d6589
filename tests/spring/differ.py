"""Sends the requests of requests.jsonl to two servers, and compares the responses.

Each line is a case: {"case": NAME, "steps": [STEP, …]}. A step is one of:

    {"code": "c1"}          a code, for the scope, redirect URI, client and user that the step names, or the usual ones
    {"login": "t1"}         tokens from such a code; with "fresh" those that nobody else has
    {"tokens": "t1", …}     tokens by a request with "params"
    {"send": METHOD, …}     a request, whose response is compared; "as" names it; "user": with the cookies of that user
    {"visit": URL, …}       what a person does who opens it, and approves or not; where that ends is compared
    {"wait": true}          until access tokens have expired

In a target, a header and a body, «c1» is the code, «t1.access_token» a token, «x*7000» 7000 letters, «basic» the header
of the API key, and «basic ID:SECRET» that of another one.
"""

from __future__ import annotations

import base64
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

from person import Person, Response, send
from servers import ID, SECRET

CASES = [json.loads(line) for line in (Path(__file__).parent / "requests.jsonl").read_text("utf-8").splitlines()]
REDIRECT = "https://example.com"
CURRENT = "/rest/v2.0/users/self/tokens/current"
HEADERS = ("www-authenticate", "cache-control", "pragma", "content-type", "location", "allow")
# A token is a UUID, or from 2.5 on 20 bytes as base64url, and has a zone.
TOKEN = re.compile(
    r"(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<![\w-])[\w-]{27}(?=:\d))(?::\d+)?"
)


def basic(key: str = f"{ID}:{SECRET}") -> str:
    return f"Basic {base64.b64encode(key.encode()).decode()}"


@dataclass
class World:
    """One server, with its users' browsers."""

    url: str
    people: dict[str, Person] = field(default_factory=dict)

    def person(self, user: str) -> Person:
        return self.people.setdefault(user, Person(self.url, user))

    def code(self, step: dict[str, Any]) -> str:
        query = {
            "response_type": "code",
            "client_id": step.get("client", ID),
            "scope": step.get("scope", "write"),
            "redirect_uri": step.get("redirect_uri", REDIRECT),
        }
        redirect = self.person(step.get("user", "demo")).visit(f"/oauth/authorize?{urlencode(query)}")
        return parse_qs(urlsplit(redirect).query)["code"][0]

    def tokens(self, key: str, params: dict[str, str]) -> dict[str, Any]:
        headers = [("Authorization", key), ("Accept", "application/json")]
        response = send(self.url, "POST", f"/oauth/token?{urlencode(params)}", headers)
        tokens: dict[str, Any] = json.loads(response.body)
        return tokens

    def login(self, step: dict[str, Any]) -> dict[str, Any]:
        key = step.get("key", basic())
        params = {"grant_type": "authorization_code", "code": self.code(step), "redirect_uri": REDIRECT}
        return self.tokens(key, params)

    def fresh(self, step: dict[str, Any]) -> dict[str, Any]:
        old = self.login(step)
        old = self.tokens(basic(), {"grant_type": "refresh_token", "refresh_token": old["refresh_token"]})
        send(self.url, "DELETE", CURRENT, [("Authorization", f"Bearer {old['access_token']}")])
        return self.login(step)


class Run:
    """A case at one server."""

    def __init__(self, world: World, lifetime: float | None) -> None:
        self.world = world
        self.lifetime = lifetime
        self.values: dict[str, Any] = {}
        self.names: dict[str, str] = {}
        self.answers: list[dict[str, Any]] = []

    def case(self, case: dict[str, Any]) -> list[dict[str, Any]]:
        for step in case["steps"]:
            self.step(step)
        return self.answers

    def step(self, step: dict[str, Any]) -> None:
        if "send" in step:
            self.send(step)
        elif "visit" in step:
            person = Person(self.world.url, step["user"])
            end = person.visit(step["visit"], approve=step["approve"])
            self.answers.append({"request": f"a person at {step['visit']}", "end": _as_shown(self.shown(end))})
        elif "wait" in step:
            assert self.lifetime is not None
            time.sleep(self.lifetime + 0.5)  # The server decides by its clock.
        elif "code" in step:
            self.values[step["code"]] = self.world.code(step)
        else:
            name = step.get("login") or step["tokens"]
            known = {**step, "key": self.filled(step.get("key", "«basic»"), quoted=False)}
            if "login" in step:
                tokens = self.world.fresh(known) if step.get("fresh") else self.world.login(known)
            else:
                params = {key: self.filled(value, quoted=False) for key, value in step["params"].items()}
                tokens = self.world.tokens(known["key"], params)
            self.values.update({f"{name}.{key}": str(value) for key, value in tokens.items()})
            if step.get("fresh"):
                self.shown(f"{tokens['access_token']} {tokens['refresh_token']}")

    def send(self, step: dict[str, Any]) -> None:
        headers = [(name, self.filled(value, quoted=False)) for name, value in step.get("headers", [])]
        is_form = any(value.lower().startswith("application/x-www-form") for _, value in headers)
        if "user" in step:
            headers.append(("Cookie", self.world.person(step["user"]).cookie()))
        body = step.get("body")
        sent = None if body is None else self.filled(body, quoted=is_form or body.startswith("grant_type=")).encode()
        request = f"{step['send']} {step['target'][:120]}"
        try:
            response = send(self.world.url, step["send"], self.filled(step["target"], quoted=True), headers, sent)
        except Exception as error:
            self.answers.append({"request": request, "status": type(error).__name__})
            return
        self.answers.append({"request": request, **self.read(response)})
        if "as" in step:
            values = json.loads(response.body)
            self.values.update({f"{step['as']}.{key}": str(value) for key, value in values.items()})

    def filled(self, text: str, *, quoted: bool) -> str:
        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name == "basic":
                return basic()
            if name.startswith("basic "):
                return basic(name[6:])
            if "*" in name:
                letter, count = name.split("*")
                return letter * int(count)
            found = self.values.get(name.removesuffix(" without zone"), "none")
            found = found.split(":")[0] if name.endswith(" without zone") else found
            return quote(found, safe="") if quoted else found

        return re.sub("«([^»]+)»", value, text)

    def shown(self, text: str) -> str:
        """The text with names for what differs by chance. The same token has the same name."""
        text = text.replace(self.world.url, "<server>")
        text = re.sub(r";jsessionid=\w+", "", text)
        text = TOKEN.sub(lambda match: self.names.setdefault(match[0], f"T{len(self.names) + 1}"), text)
        for name, value in self.values.items():
            if name.startswith("c") and "." not in name:
                text = text.replace(value, "<code>")
        return re.sub(r"([?&#]code=)[\w-]{6}(?=$|[&\"#'])", r"\1<code>", text)

    def read(self, response: Response) -> dict[str, Any]:
        answer: dict[str, Any] = {"status": response.status}
        for name in HEADERS:
            value = response.header(name)
            answer[name] = None if value is None else self.shown(value)
        answer["body"] = self.body(answer["content-type"] or "", self.shown(response.body.decode(errors="replace")))
        return _without_what_does_not_matter(answer)

    def body(self, kind: str, text: str) -> Any:
        if "html" in kind:
            return "<page>"
        if "xml" in kind:
            return sorted(re.findall(r"<(\w+)>([^<]*)</", text))
        if "json" not in kind or not text:
            return text
        body = json.loads(text)
        if isinstance(body, list):
            return "<list>" if body else "<empty list>"
        if "timestamp" in body or "title" in body:
            return "<error>"
        if "cameraId" in body:
            return "<camera>"
        if "username" in body:
            return {"username": body["username"]}
        if isinstance(body.get("expires_in"), int):
            # Some time passes between the two servers.
            body["expires_in"] = "<twelve hours>" if body["expires_in"] > 43_100 else "<less>"
        return body


def _without_what_does_not_matter(answer: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what depends on the container, or on a proxy in front of it."""
    kind = answer["content-type"] = re.sub(r";\s*charset=utf-8$", "", answer["content-type"] or "", flags=re.I)
    if "max-age=0" in (answer["cache-control"] or ""):
        # Spring Security adds it to every response that says nothing about caches.
        answer["cache-control"] = answer["pragma"] = None
    if kind in ("text/html", "text/plain"):
        answer["content-type"] = answer["cache-control"] = answer["pragma"] = None
    if answer["body"] == "<error>" or (answer["status"] in (404, 405, 406) and answer["body"] in ("<page>", "")):
        answer["body"] = "<error>"
        answer.update(dict.fromkeys(("content-type", "cache-control", "pragma", "allow")))
        if answer["status"] != 401:
            answer["www-authenticate"] = None
    if answer["allow"]:
        answer["allow"] = sorted(re.split(r",\s*", answer["allow"]))
    if answer["status"] in (302, 303):
        answer["status"], answer["cache-control"], answer["pragma"] = "302 or 303", None, None
        answer["location"] = _as_shown(answer["location"].replace("<server>/", "/"))
    return answer


def _as_shown(url: str) -> str:
    """A URL as a program reads it: with a slash after the host, and parameters in any escaping."""
    parts = urlsplit(re.sub(r"^(\w+://[^/?#]+)(?=[?#])", r"\1/", url))
    # A plus stays a plus: the framework echoes it so.
    texts = [part.replace("+", "%2B") for part in (parts.query, parts.fragment)]
    parameters = [parse_qsl(text, keep_blank_values=True) for text in texts]
    return str((parts.scheme, parts.netloc, parts.path, *parameters))


def differences(one: str, other: str, lifetime: float | None = None) -> dict[str, list[str]]:
    """The cases that two servers answer differently, each with lines that say how."""
    worlds = World(one), World(other)
    found = {}
    for case in CASES:
        waits = any("wait" in step for step in case["steps"])
        if waits != (lifetime is not None):
            continue
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(lambda world: Run(world, lifetime).case(case), worlds))  # noqa: B023
        lines = []
        for first, second in zip(*answers, strict=True):
            keys = [key for key in first if first[key] != second.get(key)]
            if keys:
                lines.append(first["request"])
                lines += [f"  {key}: {first[key]!r} and {second.get(key)!r}" for key in keys]
        if lines:
            found[case["case"]] = lines
    return found

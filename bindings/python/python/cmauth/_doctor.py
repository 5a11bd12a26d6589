"""`cmauth doctor`: finds out why a login does not work, one step after the other.

It sends no secret to a server whose certificate is not trusted.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import datetime
import email.utils
import http.client
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import cmauth
from cmauth._cli_output import say
from cmauth._cli_profile import (
    NO_KEY,
    DamagedError,
    Profile,
    ProfileError,
    file_of,
    has_session,
    in_profile,
    public_client,
    saved_profile,
    session_of,
    settings_of,
    state_folder,
    without_password,
)
from cmauth._cli_secret import secret_at_hand
from cmauth._locks import LockFile

_TIMEOUT = 10.0
_LOCK_TIMEOUT = 5.0
# A clock that is further off makes tokens seem expired, or valid.
_MAX_CLOCK_DIFFERENCE = 60
_DAY = 86400
# The longest name of an issuer that is shown, in characters.
_MAX_NAME = 64
_SOON = 14 * _DAY
_MARKS = {"NONE": "ok", "SKIPPED": "skipped", "FIX": "fix", "RETRY": "retry", "LOG_IN": "log in"}
_EXIT_CODES = {"LOG_IN": 3, "RETRY": 4, "FIX": 5}


@dataclass
class Finding:
    """What a check found. advice: NONE (it is fine), SKIPPED, or an advice of `cmauth.Advice`."""

    check: str
    advice: str
    text: str

    def __post_init__(self) -> None:
        # A certificate or a proxy could forge lines and colours of the terminal.
        self.text = "".join(c if c.isprintable() else " " for c in self.text)


@dataclass
class _Server:
    host: str
    port: int
    tls: bool
    proxy: str | None
    ca_file: str | None


def examine(options: argparse.Namespace) -> int:
    """Prints the findings. Returns the exit code of the first one that is not fine."""
    findings = []
    for found in _findings(options):
        findings.append(found)
        if not options.json:
            say(options, f"{_MARKS.get(found.advice, 'report'):8}{found.check}: {found.text}")
    code = next((_EXIT_CODES.get(found.advice, 1) for found in findings if _is_bad(found)), 0)
    if options.json:
        say(options, "", checks=[vars(found) for found in findings], exit_code=code)
    return code


def _is_bad(found: Finding) -> bool:
    return found.advice not in ("NONE", "SKIPPED")


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    try:
        profile = settings_of(options)
        client = _probe(profile)
    except ProfileError as error:
        yield Finding("settings", "FIX", str(error))
        yield from _files(options)
        return
    except cmauth.Error as error:
        yield Finding("settings", error.advice.name, str(error))
        yield from _files(options)
        return
    yield Finding(
        "settings", "NONE", f"server {without_password(profile.base_url)}, API key {profile.client_id or 'not set'}"
    )
    url = urlsplit(profile.base_url)
    tls = url.scheme == "https"
    proxy = client._proxy_url()
    server = _Server(url.hostname or "", url.port or (443 if tls else 80), tls, proxy, profile.ca_file)
    right = True
    for check in (_proxy, _name, _connection):
        for found in check(server) if right else ():
            right = right and (not _is_bad(found) or found.check == "clock")
            yield found
    yield _key(profile, right)
    yield from _files(options)


def _probe(profile: Profile) -> cmauth.Client:
    """A client that reads the settings and sends nothing, even without an API key."""
    return public_client(replace(profile, client_id=profile.client_id or "none"), timeout=_TIMEOUT)


def _proxy(server: _Server) -> Iterator[Finding]:
    if server.proxy is None:
        yield Finding("proxy", "NONE", "none is used")
        return
    scheme, host, port = _proxy_address(server.proxy)
    shown = f"{scheme}://{host}:{port}"
    try:
        socket.create_connection((host, port), _TIMEOUT).close()
    except (OSError, UnicodeError) as error:
        remedy = "check HTTPS_PROXY, ALL_PROXY and NO_PROXY"
        yield Finding("proxy", "FIX", f"{shown} cannot be reached: {_reason(error)}; {remedy}")
    else:
        yield Finding("proxy", "NONE", f"{shown} answers")


def _proxy_address(url: str) -> tuple[str, str, int]:
    proxy = urlsplit(url)
    default = {"http": 80, "https": 443}.get(proxy.scheme, 1080)
    return proxy.scheme, proxy.hostname or "", proxy.port or default


def _name(server: _Server) -> Iterator[Finding]:
    if server.proxy is not None:
        yield Finding("name", "SKIPPED", f"the proxy looks up {server.host}")
        return
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        text = f"{server.host} has no address: {_reason(error)}; check the DNS server of this machine"
        yield Finding("name", "FIX", text)
    else:
        addresses = sorted({str(address[4][0]) for address in found})
        yield Finding("name", "NONE", f"{server.host} is {', '.join(addresses)}")


def _connection(server: _Server) -> list[Finding]:
    """The connection, its certificate, and the clock of the server."""
    if server.proxy is not None and not server.proxy.startswith("http://"):
        return [Finding("TLS", "SKIPPED", "a SOCKS or https proxy is in between; see the line about the API key")]
    try:
        # `ssl` reads files and environment variables of its own here.
        context = ssl.create_default_context(cafile=server.ca_file)
    except OSError as error:
        return [Finding("TLS", "FIX", f"{_reason(error)}; check SSLKEYLOGFILE and the CA file")]
    try:
        connection = _connect(server)
    except (OSError, http.client.HTTPException) as error:
        # `http.client` reports a proxy that refuses as an error without a number.
        refused = server.proxy is not None and getattr(error, "errno", None) is None
        remedy = "check the proxy" if refused else "check the network and the firewall"
        text = f"{server.host}:{server.port}: {_reason(error)}; {remedy}"
        return [Finding("connection", "FIX" if refused else "RETRY", text)]
    found = []
    # The timeout of the socket counts for each piece that arrives.
    end = threading.Timer(_TIMEOUT, _shut_down, [connection])
    end.start()
    try:
        if server.tls:
            try:
                connection = context.wrap_socket(connection, server_hostname=server.host)
            except ssl.SSLCertVerificationError as error:
                return [_untrusted(server, error)]
            found.append(_trusted(server, connection))
        else:
            found.append(Finding("TLS", "SKIPPED", "http:// on this machine, for tests"))
        found.append(_clock(server, connection))
    except (OSError, http.client.HTTPException) as error:
        check = "clock" if found else "TLS"
        text = f"{server.host}:{server.port}: {_reason(error)}; check the network, the proxy and the firewall"
        found.append(Finding(check, "RETRY", text))
    finally:
        end.cancel()
        connection.close()
    return found


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _connect(server: _Server) -> socket.socket:
    if server.proxy is None:
        return socket.create_connection((server.host, server.port), _TIMEOUT)
    proxy = urlsplit(server.proxy)
    _, host, port = _proxy_address(server.proxy)
    tunnel = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    headers = {}
    if proxy.username:
        user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    tunnel.set_tunnel(server.host, server.port, headers)
    tunnel.connect()
    return tunnel.sock


def _trusted(server: _Server, connection: socket.socket) -> Finding:
    assert isinstance(connection, ssl.SSLSocket)
    certificate = connection.getpeercert() or {}
    text = f"the certificate is signed by {_issuer(certificate)}"
    text += f", which {server.ca_file} trusts" if server.ca_file else ""
    until = str(certificate.get("notAfter", ""))
    if until:
        end = ssl.cert_time_to_seconds(until)
        left = end - time.time()
        date = datetime.datetime.fromtimestamp(end, datetime.timezone.utc).date()
        text += f", until {date}" + (f", which is {int(left // _DAY)} days from now" if left < _SOON else "")
    return Finding("TLS", "NONE", text)


def _untrusted(server: _Server, error: ssl.SSLCertVerificationError) -> Finding:
    """Looks at the certificate that was not trusted, on a connection on which nothing is sent."""
    signer = "an unknown signer"
    try:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with _connect(server) as plain, context.wrap_socket(plain, server_hostname=server.host) as connection:
            signer = _issuer(_decoded(connection.getpeercert(binary_form=True) or b""))
    except (OSError, http.client.HTTPException, ValueError):
        pass
    reason = (error.verify_message or "it is not trusted").lower()
    text = f"the certificate of {server.host} is signed by {signer}, and it is not accepted: {reason}"
    if "expired" in reason or "not yet valid" in reason:
        return Finding("TLS", "FIX", f"{text}; check the date of this machine, then the certificate of the server")
    remedy = (
        "if this is the firewall of your site, which inspects TLS, set CMAUTH_CA_FILE to a file with its CA "
        "certificate; else somebody may be listening"
    )
    return Finding("TLS", "FIX", f"{text}; {remedy}")


def _decoded(der: bytes) -> dict[str, object]:
    # Python has no public function for the fields of a certificate that is not trusted.
    decode = getattr(getattr(ssl, "_ssl", None), "_test_decode_cert", None)
    if decode is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "certificate.pem")
        path.write_text(ssl.DER_cert_to_PEM_cert(der), encoding="ascii")
        decoded: dict[str, object] = decode(str(path))
        return decoded


def _issuer(certificate: Mapping[str, object]) -> str:
    issuer = certificate.get("issuer")
    names = dict(pair for part in issuer for pair in part) if isinstance(issuer, tuple) else {}
    name = names.get("organizationName") or names.get("commonName") or "an unknown signer"
    return '"{}"'.format(name.replace('"', "'")[:_MAX_NAME]) if names else name


def _clock(server: _Server, connection: socket.socket) -> Finding:
    """Compares the clocks by the date of a response. The request has nothing secret."""
    exchange = http.client.HTTPConnection(server.host, server.port, timeout=_TIMEOUT)
    exchange.sock = connection
    begun = time.time()
    exchange.request("HEAD", "/", headers={"User-Agent": "cmauth-doctor", "Connection": "close"})
    date = exchange.getresponse().getheader("Date")
    here = (begun + time.time()) / 2
    try:
        there = email.utils.parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return Finding("clock", "SKIPPED", "the server sends no date")
    difference = here - there
    if abs(difference) <= _MAX_CLOCK_DIFFERENCE:
        return Finding("clock", "NONE", f"within {max(1, round(abs(difference)))} s of the server's")
    direction = "ahead of" if difference > 0 else "behind"
    text = f"this clock is {round(abs(difference))} s {direction} the server's; set it, for example by NTP"
    return Finding("clock", "FIX", text)


def _key(profile: Profile, right: bool) -> Finding:
    if not profile.client_id:
        return Finding("API key", "FIX", NO_KEY)
    if not right:
        return Finding("API key", "SKIPPED", "its secret is not sent before the lines above are fine")
    secret, _ = secret_at_hand(profile.client_id)
    if secret is None:
        text = "its secret is neither in CMAUTH_CLIENT_SECRET nor in a keyring, and doctor does not ask for it"
        return Finding("API key", "SKIPPED", text)
    try:
        client = cmauth.Client(
            profile.client_id,
            secret,
            base_url=profile.base_url,
            ca_file=profile.ca_file,
            timeout=_TIMEOUT,
            max_retries=0,
        )
        # The server checks the key before the code. This code is none.
        client.exchange_code("cmauth-doctor", "http://127.0.0.1/")
    except cmauth.Error as error:
        if error.status is cmauth.Status.LOGIN_REQUIRED:
            return Finding("API key", "NONE", f"the server knows {profile.client_id} and its secret")
        # A failed exchange uses its code up, so the advice of the library is a new login. There was no login here.
        is_temporary = error.advice is cmauth.Advice.LOG_IN
        return Finding(
            "API key", "RETRY" if is_temporary else error.advice.name, error.message if is_temporary else str(error)
        )
    return Finding("API key", "REPORT", "the server accepted a code that it did not issue")


def _files(options: argparse.Namespace) -> Iterator[Finding]:
    try:
        state_folder()
    except ProfileError as error:
        yield Finding("store", "FIX", str(error))
    else:
        yield _store(options)
        yield _lock(options)


def _store(options: argparse.Namespace) -> Finding:
    folder, path = state_folder(), file_of(options, "session")
    if os.path.lexists(folder) and not folder.is_dir():
        return Finding("store", "FIX", f"{folder} is no folder; set CMAUTH_STATE_DIR to another one")
    if not folder.is_dir():
        parent = next(parent for parent in folder.parents if parent.exists())
        if parent.is_dir() and _can_write(parent):
            return Finding("store", "NONE", f"{folder} does not exist yet; cmauth login makes it")
        text = f"{folder} cannot be made, because {parent} cannot be written; set CMAUTH_STATE_DIR to another folder"
        return Finding("store", "FIX", text)
    if not _can_write(folder):
        return Finding("store", "FIX", f"{folder} cannot be written; set CMAUTH_STATE_DIR to another folder")
    if not has_session(options):
        return Finding("store", "NONE", f"{folder} can be written; nobody is logged in")
    here = in_profile(options)
    remedy = f"run cmauth login{here}, which replaces it, or cmauth logout --forget{here}"
    try:
        # The session is read by the settings of its login, whatever the options and the environment say.
        saved = saved_profile(options) or Profile("none", cmauth.DEFAULT_BASE_URL, None)
        health = session_of(options, _probe(saved)).health()
    except DamagedError as error:
        return Finding("store", "FIX", f"{file_of(options, 'json')}: {error} ({remedy})")
    except cmauth.Error as error:
        return Finding("store", error.advice.name, str(error))
    if health.last_error is not None:
        return Finding("store", health.last_error.advice.name, f"{path}: {health.last_error} ({remedy})")
    who = f"{saved.user or 'a user'} is logged in" if health.logged_in else "nobody is logged in"
    return Finding("store", "NONE", f"{path}: {who}")


def _can_write(folder: Path) -> bool:
    # Trying is more reliable than the mode of the folder, which does not stop root, nor tell about the file system.
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _lock(options: argparse.Namespace) -> Finding:
    path = file_of(options, "session")
    if not path.exists():
        return Finding("lock", "SKIPPED", "there is no session to lock")
    # For a symbolic link, the library locks the target.
    lock_path = Path(f"{path.resolve()}.lock")
    if not lock_path.exists():
        return Finding("lock", "NONE", "it is free")
    lock = LockFile(lock_path)
    deadline = time.monotonic() + _LOCK_TIMEOUT
    try:
        while not lock.try_lock():
            if time.monotonic() > deadline:
                text = f"{lock_path}: another process has held the lock for {_LOCK_TIMEOUT:.0f} s; find it with lsof"
                return Finding("lock", "RETRY", text)
            time.sleep(0.05)
    except OSError as error:
        return Finding("lock", "FIX", f"{lock_path}: {_reason(error)}; the folder needs a file system with locks")
    lock.unlock()
    return Finding("lock", "NONE", "it is free")


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

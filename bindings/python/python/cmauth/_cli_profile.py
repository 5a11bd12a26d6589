"""The profiles of the command `cmauth`: their files, settings and clients."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import cmauth
from cmauth._cli_input import ask, at_terminal
from cmauth._cli_output import fail, tell
from cmauth._cli_secret import secret_of
from cmauth._locks import LockFile

# The longest name of a profile. Files have longer names.
_MAX_NAME = 64
# How long a command waits for another one, in seconds.
_LOCK_TIMEOUT = 30.0
NO_KEY = "no API key; set CMAUTH_CLIENT_ID (from https://dealer.cameramanager.com)"


@dataclass
class User:
    """Who has logged in. The server need not tell."""

    id: str
    name: str | None
    email: str | None

    def __str__(self) -> str:
        details = ([self.email] if self.email else []) + [f"ID {self.id}"]
        return f"{self.name} ({', '.join(details)})" if self.name else ", ".join(details)


@dataclass
class Profile:
    """The settings of a profile. The session has a file of its own. Nothing here is secret."""

    client_id: str
    base_url: str
    ca_file: str | None
    user: User | None = None

    @classmethod
    def from_json(cls, text: str) -> Profile:
        """Raises `ValueError` if another program wrote the text. Ignores keys of later versions."""
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("not an object")
        user = content.get("user")
        return cls(
            _text(content, "client_id"),
            _text(content, "base_url"),
            _text_or_none(content, "ca_file"),
            None
            if user is None
            else User(_text(user, "id"), _text_or_none(user, "name"), _text_or_none(user, "email")),
        )

    def save(self, options: argparse.Namespace) -> None:
        """Replaces the file, so that it has the old content or the new one."""
        path = file_of(options, "json")
        text = json.dumps(asdict(self)) + "\n"
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False, encoding="utf-8") as temporary:
            temporary.write(text)
        Path(temporary.name).replace(path)


class DamagedError(Exception):
    """The file of a profile's settings cannot be used. The text says why."""


class ProfileError(Exception):
    """The settings cannot be used: the text says why, and the remedy."""

    def __init__(self, message: str, status: str) -> None:
        super().__init__(message)
        self.status = status


def _text(content: Any, key: str) -> str:
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, str) or not value:
        raise ValueError(key)
    return value


def _text_or_none(content: Any, key: str) -> str | None:
    return None if content.get(key) is None else _text(content, key)


def file_of(options: argparse.Namespace, kind: str) -> Path:
    """The file of the profile: "session" or "json"."""
    name: str = options.profile
    if not is_profile_name(name):
        message = f"--profile: use at most {_MAX_NAME} letters, digits, '-', '_' and '.'"
        fail(options, 2, message, "INVALID_ARGUMENT", "FIX")
    return state_folder() / f"{name}.{kind}"


def is_profile_name(name: str) -> bool:
    return 0 < len(name) <= _MAX_NAME and all(c.isalnum() or c in "-_." for c in name) and not name.startswith(".")


def state_folder() -> Path:
    """The folder of all profiles. It need not exist. Raises `ProfileError` if it is unknown."""
    given = os.environ.get("CMAUTH_STATE_DIR")
    try:
        if given:
            return Path(given).absolute()
        import platformdirs

        return Path(platformdirs.user_state_dir("cmauth", appauthor=False)).absolute()
    except (OSError, RuntimeError) as error:
        # The working directory was deleted, or the user has no home folder.
        problem = f"the folder of the sessions is unknown: {error}; set CMAUTH_STATE_DIR to an absolute path"
        raise ProfileError(problem, "STORE") from None


def prepare_folder(options: argparse.Namespace) -> None:
    """Makes the folder, and fails if no file can be made in it."""
    folder = state_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            # The disk can be full.
            file.write(bytes(4096))
    except OSError as error:
        message = (
            f"{folder}: the session cannot be stored there: {error.strerror}; set CMAUTH_STATE_DIR to a folder of yours"
        )
        fail(options, 5, message, "STORE", "FIX")


def profile_names() -> list[str]:
    """The names of all profiles that have a file."""
    try:
        files = [entry.name for entry in os.scandir(state_folder()) if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    names = (file.rpartition(".") for file in files)
    return sorted({name for name, _, kind in names if kind in ("session", "json") and is_profile_name(name)})


def has_session(options: argparse.Namespace) -> bool:
    """Whether there is a session, which can be damaged."""
    # A symbolic link can lead nowhere.
    return os.path.lexists(file_of(options, "session"))


def saved_profile(options: argparse.Namespace) -> Profile | None:
    """The settings of the last login. Raises `DamagedError`."""
    try:
        return Profile.from_json(file_of(options, "json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError):
        raise DamagedError("the settings of the profile are damaged") from None
    except OSError as error:
        raise DamagedError(f"the settings of the profile cannot be read: {error.strerror}") from None


def in_profile(options: argparse.Namespace) -> str:
    """The option that a command needs for this profile."""
    return "" if options.profile == "default" else f" --profile {options.profile}"


def profile_of(options: argparse.Namespace, *, for_login: bool = False) -> Profile:
    """The settings, as of `settings_of`, with an API key: without one, raises `ProfileError`.

    for_login: replaces damaged settings, and asks for the API key's id if it is missing.
    """
    profile = settings_of(options, for_login=for_login)
    # A setting that is wrong is reported before the person types the id.
    public_client(replace(profile, client_id=profile.client_id or "none"))
    if not profile.client_id and for_login and at_terminal():
        profile.client_id = ask("API key id: ")
    if not profile.client_id:
        error = unusable(session_of(options, cmauth.Client("none", None))) if has_session(options) else None
        if error is not None and not for_login:
            raise error
        raise ProfileError(NO_KEY, "INVALID_ARGUMENT")
    return profile


def settings_of(options: argparse.Namespace, *, for_login: bool = False) -> Profile:
    """The settings: those of the options and the environment, else the saved ones. The API key can be missing ("").

    Raises `ProfileError` if they name another API key or server than those of the session: its tokens belong to these.
    """
    here = in_profile(options)
    saved = None
    try:
        saved = saved_profile(options)
    except DamagedError as error:
        path = file_of(options, "json")
        if not for_login:
            remedy = f"run cmauth login{here}, which replaces it, or cmauth logout --forget{here}"
            raise ProfileError(f"{path}: {error} ({remedy})", "STORE") from None
        tell(f"cmauth: {path}: {error} (the new login replaces them)")
    key, server = _owner(options, saved) if has_session(options) else (None, None)
    id_source, client_id = _first(
        ("--client-id", options.client_id),
        ("CMAUTH_CLIENT_ID", os.environ.get("CMAUTH_CLIENT_ID")),
        ("the profile", key or (saved.client_id if saved else None)),
    )
    url_source, base_url = _first(
        ("CMAUTH_BASE_URL", os.environ.get("CMAUTH_BASE_URL")),
        ("the profile", server or (saved.base_url if saved else None)),
        ("the default", cmauth.DEFAULT_BASE_URL),
    )
    differences = [
        (f"the {what} {of_session}", f"{source} says {without_password(given)}")
        for what, of_session, source, given in (
            ("API key", key, id_source, client_id),
            ("server", server, url_source, base_url.rstrip("/")),
        )
        if of_session and given and of_session != given
    ]
    if differences:
        _refuse(options, differences)
    ca_file = os.environ.get("CMAUTH_CA_FILE") or (saved.ca_file if saved else None)
    return Profile(client_id, base_url, ca_file or None, saved.user if saved else None)


def without_password(url: str) -> str:
    return re.sub(r"//[^/?#]*@", "//", url)


def _first(*named: tuple[str, str | None]) -> tuple[str, str]:
    return next(((name, value) for name, value in named if value), ("", ""))


def _owner(options: argparse.Namespace, saved: Profile | None) -> tuple[str | None, str | None]:
    """The API key and the server of the session: those in its file, else those of the last login."""
    client_id = base_url = None
    try:
        record = json.loads(file_of(options, "session").read_text(encoding="utf-8"))
        client_id, base_url = _text_or_none(record, "client_id"), _text_or_none(record, "base_url")
    except (ValueError, RecursionError, AttributeError, OSError):
        pass  # The session reports it.
    if saved is not None:
        client_id, base_url = client_id or saved.client_id, base_url or saved.base_url
    return client_id, base_url and base_url.rstrip("/")


def _refuse(options: argparse.Namespace, differences: list[tuple[str, str]]) -> NoReturn:
    session, here = file_of(options, "session"), in_profile(options)
    have, given = (" and ".join(texts) for texts in zip(*differences))
    message = (
        f"{session}: this login belongs to {have}, but {given}; nothing was sent. Use another --profile, or end this "
        f"login first: cmauth logout{here} with its own API key and server, or cmauth logout --forget{here}"
    )
    raise ProfileError(message, "STORE")


def public_client(profile: Profile, **limits: Any) -> cmauth.Client:
    """A client without the secret."""
    return _client(profile, None, **limits)


def client_of(options: argparse.Namespace, profile: Profile, *, for_login: bool = False) -> cmauth.Client:
    """A client with the secret."""
    # A setting that is wrong is reported before the person types a secret.
    public_client(profile)
    return _client(profile, secret_of(options, profile.client_id, keep=for_login))


def _client(profile: Profile, secret: str | None, **limits: Any) -> cmauth.Client:
    return cmauth.Client(
        profile.client_id,
        secret,
        base_url=profile.base_url,
        ca_file=profile.ca_file,
        user_agent=f"cmauth-cli/{cmauth.__version__}",
        **limits,
    )


def session_of(options: argparse.Namespace, client: cmauth.Client) -> cmauth.Session:
    return cmauth.Session(client, cmauth.FileStore(file_of(options, "session")))


def with_options(options: argparse.Namespace, profile: str) -> argparse.Namespace:
    """The options for another profile."""
    return argparse.Namespace(**{**vars(options), "profile": profile})


def unusable(session: cmauth.Session) -> cmauth.Error | None:
    """The error if the content of the session's file is damaged."""
    error = session.health().last_error
    return error if is_unusable(error) else None


def is_unusable(error: cmauth.Error | None) -> bool:
    return isinstance(error, cmauth.FixError) and error.status is cmauth.Status.STORE


def clean_up(options: argparse.Namespace) -> None:
    """After a logout: the profile keeps its settings, but not who was logged in."""
    try:
        saved = saved_profile(options)
        if saved is not None and saved.user is not None:
            saved.user = None
            with contextlib.suppress(OSError):
                saved.save(options)
    except DamagedError:
        forget_settings(options)


def forget_settings(options: argparse.Namespace) -> None:
    path = file_of(options, "json")
    if path.is_dir():
        fail(options, 5, f"{path}: this folder is in the place of a file; remove it", "STORE", "FIX")
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()


@contextlib.contextmanager
def profile_lock(options: argparse.Namespace) -> Iterator[None]:
    """Keeps other commands from storing a login in this profile."""
    path = file_of(options, "lock")
    lock = LockFile(path)
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while not lock.try_lock():
        if time.monotonic() > deadline:
            fail(options, 4, f"{path}: another cmauth login holds the lock; try again later", "STORE", "RETRY")
        time.sleep(0.05)
    try:
        yield
    finally:
        lock.unlock()

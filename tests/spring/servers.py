"""Builds and starts the servers: Spring Security OAuth, and the sandbox with the same API keys and users."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
ID, SECRET = "cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345"
REDIRECTS = ("https://example.com", "http://127.0.0.1/")
# The version of the framework, with the Spring Boot that fits it.
VERSIONS = {
    "2.3": ("2.3.8.RELEASE", "2.1.18.RELEASE"),
    "2.4": ("2.4.0.RELEASE", "2.7.18"),
    "2.5": ("2.5.2.RELEASE", "2.7.18"),
}


@dataclass
class Server:
    name: str
    url: str
    ca_file: str | None = None


@functools.cache
def jar(version: str) -> Path:
    """The program of a version, built by Maven."""
    missing = [program for program in ("mvn", "java", "javac") if shutil.which(program) is None]
    if missing:
        assert "CI" not in os.environ, f"CI must have {missing}: see scripts/setup-ci"
        pytest.skip(f"{' and '.join(missing)} missing: make setup-ci")
    folder = TARGET / "spring" / version
    oauth, boot = VERSIONS[version]
    command = ["mvn", "-q", "-f", str(ROOT / "tests/spring/pom.xml"), f"-Dfolder={folder}"]
    command += [f"-Doauth={oauth}", f"-Dboot={boot}", "package"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "server.jar"


@contextmanager
def spring(
    name: str, *options: str, version: str = "2.4", key_store: tuple[str, str, str] | None = None
) -> Iterator[Server]:
    """key_store: the file, its password, and the certificate to trust, for https."""
    arguments = list(options)
    if key_store is not None:
        arguments += [f"--server.ssl.key-store={key_store[0]}", f"--server.ssl.key-store-password={key_store[1]}"]
    command = ["java", "-Xmx192m", "-XX:+UseSerialGC", "-jar", str(jar(version)), *arguments]
    with _running(command) as url:
        yield Server(name, url, key_store[2] if key_store else None)


@contextmanager
def sandbox(name: str, *options: str) -> Iterator[Server]:
    command = [os.environ["CMAUTH_SANDBOX"], "--until-eof", "--client", f"{ID}:{SECRET}", "--client", "other:other"]
    command += ["--user", "demo:demo", "--user", "other:other"]
    for uri in REDIRECTS:
        command += ["--redirect-uri", uri]
    with _running([*command, *options]) as url:
        yield Server(name, url)


@contextmanager
def _running(command: list[str]) -> Iterator[str]:
    """A server that prints "ready at URL", and ends with its standard input."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if "ready at " in line:
                break
        else:
            raise AssertionError(f"{command} ended with {process.wait()}")
        # A server that writes to a full pipe would wait.
        output = process.stdout
        rest = threading.Thread(target=output.read)
        rest.start()
        try:
            yield line.split("ready at ")[1].strip()
        finally:
            process.kill()
            rest.join()

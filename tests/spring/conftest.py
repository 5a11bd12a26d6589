"""The servers of these tests: Spring Security OAuth in several set-ups, and the sandbox as each of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import servers
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509 import load_pem_x509_certificate


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """Builds the sandbox and the library, unless the environment names them."""
    if "CMAUTH_SANDBOX" not in os.environ:
        subprocess.run(["cargo", "build", "-q", "-p", "cmauth-sandbox"], cwd=servers.ROOT, check=True)
        os.environ["CMAUTH_SANDBOX"] = str(servers.TARGET / "debug/cmauth-sandbox")
    subprocess.run(["cargo", "build", "-q", "--release", "-p", "cmauth-c"], cwd=servers.ROOT, check=True)


@pytest.fixture(scope="session")
def key_store(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    """A certificate for localhost as Java reads it: its file, the password, and the authority to trust."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    certificate = load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    password = "of-the-test"
    stored = pkcs12.serialize_key_and_certificates(
        b"server",
        key,  # type: ignore[arg-type]
        certificate,
        None,
        BestAvailableEncryption(password.encode()),
    )
    (folder / "server.p12").write_bytes(stored)
    return str(folder / "server.p12"), password, str(folder / "ca.pem")


# Each server on which the stories are told. What holds on one of them must hold on all.
STORIES = ["sandbox", "sandbox 2.5", "memory", "database over https", "rotating", "2.3", "2.5", "boot"]


@pytest.fixture(scope="session", params=STORIES)
def server(request: pytest.FixtureRequest, key_store: tuple[str, str, str]) -> Iterator[servers.Server]:
    name: str = request.param
    start: dict[str, Callable[[], AbstractContextManager[servers.Server]]] = {
        "sandbox": lambda: servers.sandbox(name),
        "sandbox 2.5": lambda: servers.sandbox(name, "--flavour", "2.5"),
        "memory": lambda: servers.spring(name, "--form=true"),
        "database over https": lambda: servers.spring(name, "--store=jdbc", "--form=true", key_store=key_store),
        "rotating": lambda: servers.spring(name, "--store=jdbc", "--rotate=true"),
        "2.3": lambda: servers.spring(name, "--store=jdbc", "--form=true", version="2.3"),
        "2.5": lambda: servers.spring(name, "--store=jdbc", "--form=true", version="2.5"),
        "boot": lambda: servers.spring(name, "--entry=boot"),
    }
    with start[name]() as server:
        yield server

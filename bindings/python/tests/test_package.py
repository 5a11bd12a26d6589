"""The package: the stub agrees with the module in types and docs, and the example is typed."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cmauth
import pytest
from cmauth import _cmauth
from conftest import WORKSPACE

PACKAGE = Path(cmauth.__file__).parent
EXAMPLE = WORKSPACE / "examples" / "python" / "login.py"


def run_module(folder: Path, *arguments: str) -> None:
    # Outside of the source tree, where mypy would find the package without its compiled module.
    command = [sys.executable, "-m", *arguments]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_stub_agrees_with_the_module(tmp_path: Path) -> None:
    run_module(tmp_path, "mypy.stubtest", "cmauth")


def test_the_types_are_strict(tmp_path: Path) -> None:
    run_module(tmp_path, "mypy", "--strict", "-p", "cmauth")
    run_module(tmp_path, "mypy", "--strict", str(EXAMPLE))


def test_options_are_the_keywords_of_a_client(tmp_path: Path) -> None:
    parameters = inspect.signature(cmauth.Client).parameters.values()
    keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    assert list(cmauth.Options.__annotations__) == keywords
    program = tmp_path / "hands_on.py"
    program.write_text(
        "import cmauth\n"
        "from typing_extensions import Unpack\n"
        "def client(**options: Unpack[cmauth.Options]) -> cmauth.Client:\n"
        "    return cmauth.Client('id', 'secret', **options)\n"
        "client(timeout=5, ca_file='ca.pem', add_ca_files=(), proxy='')\n"
    )
    run_module(tmp_path, "mypy", "--strict", str(program))


def documented(body: list[ast.stmt], owner: object) -> Iterator[tuple[str, str | None, str | None]]:
    for node in body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef)) or node.name.startswith("__"):
            continue
        item = getattr(owner, node.name)
        yield node.name, ast.get_docstring(node), inspect.getdoc(item)
        if isinstance(node, ast.ClassDef):
            yield from documented(node.body, item)


def test_the_docs_of_the_stub_are_those_of_the_module() -> None:
    stub = ast.parse((PACKAGE / "_cmauth.pyi").read_text(encoding="utf-8"))
    docs = list(documented(stub.body, _cmauth))
    assert len(docs) > 15
    for name, in_stub, in_module in docs:
        assert in_stub, name
        assert in_stub == in_module, name


def test_every_public_name_has_a_docstring_and_a_public_module() -> None:
    for name in set(cmauth.__all__) - {"__version__", "DEFAULT_BASE_URL"}:
        item = getattr(cmauth, name)
        assert inspect.getdoc(item), name
        if inspect.isclass(item) and item is not cmauth.Options:
            assert item.__module__ == "cmauth"


def test_the_package_is_marked_as_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_the_version_is_that_of_the_package() -> None:
    assert cmauth.__version__ == importlib.metadata.version("cmauth")
    assert cmauth.DEFAULT_BASE_URL == "https://rest.cameramanager.com"


def test_one_wheel_supports_every_python() -> None:
    [compiled] = PACKAGE.glob("_cmauth.*.so")
    assert compiled.name == "_cmauth.abi3.so"


@pytest.mark.parametrize("missing", ["CMAUTH_CLIENT_ID", "CMAUTH_CLIENT_SECRET"])
def test_the_example_names_a_missing_variable(missing: str) -> None:
    environment = {"CMAUTH_CLIENT_ID": "id", "CMAUTH_CLIENT_SECRET": "secret"}
    del environment[missing]
    command = [sys.executable, str(EXAMPLE)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith(missing)
    assert "Traceback" not in run.stderr

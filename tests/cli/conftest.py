"""A repository in small that the bootstrap can install without a network, and ways to run what is installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "small"
version = "1.0"
optional-dependencies = {dev = [], bench = []}
"""

# A PEP 660 build backend in a page: an editable wheel holds a .pth file and its own description.
BACKEND = """\
import os, zipfile

def _metadata(folder):
    name = "small-1.0.dist-info"
    os.makedirs(os.path.join(folder, name), exist_ok=True)
    for file, text in FILES.items():
        with open(os.path.join(folder, file), "w") as out:
            out.write(text)
    return name

FILES = {
    "small-1.0.dist-info/METADATA":
        "Metadata-Version: 2.1\\nName: small\\nVersion: 1.0\\nProvides-Extra: dev\\nProvides-Extra: bench\\n",
    "small-1.0.dist-info/WHEEL":
        "Wheel-Version: 1.0\\nGenerator: small\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
}

def prepare_metadata_for_build_editable(folder, config_settings=None):
    return _metadata(folder)

def build_editable(folder, config_settings=None, metadata_directory=None):
    if "SMALL_BUILD_FIFO" in os.environ:
        with open(os.environ["SMALL_BUILD_FIFO"], "w") as fifo:
            fifo.write("building")
        import time
        time.sleep(600)
    if "SMALL_BUILD_FAILS" in os.environ:
        raise SystemExit("the build fails as it was told to")
    name = "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("small.pth", os.getcwd() + "\\n")
        for file, text in FILES.items():
            wheel.writestr(file, text)
        wheel.writestr("small-1.0.dist-info/RECORD", "")
    return name
"""

COMMAND_LINE = """\
import os, sys
print(sys.argv[1:], os.getcwd())
sys.exit(7)
"""


def small_repository(folder: Path) -> Path:
    """A repository with the real bootstrap, and a command line that prints its arguments and exits with 7."""
    (folder / "bin").mkdir(parents=True)
    shutil.copy(REPOSITORY / "bin" / "troupe", folder / "bin" / "troupe")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "constraints.txt").write_text("")
    (folder / "backend.py").write_text(BACKEND)
    (folder / "actors" / "cli").mkdir(parents=True)
    (folder / "actors" / "cli" / "__init__.py").touch()
    (folder / "actors" / "cli" / "__main__.py").write_text(COMMAND_LINE)
    return folder


def start(repository: Path, *arguments: str, **options: object) -> subprocess.Popen[str]:
    """Start a repository's bin/troupe."""
    environment = {**os.environ, "TROUPE_PYTHON": sys.executable, "PIP_NO_INDEX": "1"}
    # It would come before the small repository, which has packages of the same names.
    environment.pop("PYTHONPATH", None)
    environment.update(options.pop("environment", {}))  # type: ignore[call-overload]
    return subprocess.Popen(
        [str(repository / "bin" / "troupe"), *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs, and all that they start, ignore what Ctrl-C sends.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **options,  # type: ignore[call-overload]
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit status, standard output and standard error."""
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture(scope="session")
def bootstrap() -> ModuleType:
    """The file bin/troupe as a module."""
    loader = SourceFileLoader("troupe_bootstrap", str(REPOSITORY / "bin" / "troupe"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small repository, its path with spaces in it, after its first use."""
    repository = small_repository(tmp_path_factory.mktemp("a folder") / "with spaces")
    status, out, err = finished(start(repository, "first"))
    assert (status, out) == (7, f"['first'] {os.getcwd()}\n"), err
    return repository

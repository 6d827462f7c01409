"""The environment of the peers, beside ours: they want other versions of our libraries.

`.venv-peers` in the repository's folder, made with venv and filled by pip at the first use, as PACKAGES say; nothing of
ours is changed, nothing of theirs is used anywhere else (NautilusTrader is under the LGPL, backtesting.py under the
AGPL). `TROUPE_PEERS` names another Python instead, in which nothing is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.harness import CHILD_S, ROOT, ChildFailed

PACKAGES: Final = (
    "nautilus_trader==1.221.0",
    "hftbacktest==2.4.4",
    "cryptofeed==2.4.1",
    "backtesting==0.6.6",
    "vectorbt==1.0.0",
    # vectorbt 1.0 names parts of plotly that its version 6 has no more.
    "plotly<6",
)
FOLDER: Final = ROOT / ".venv-peers"
STAMP: Final = FOLDER / "troupe-peers.txt"


def python() -> Path:
    """The Python of the peers' environment, whether it is there or not."""
    return Path(os.environ.get("TROUPE_PEERS") or FOLDER / "bin" / "python")


def ensure() -> str:
    """Make the environment, if it is ours to make and not there as PACKAGES say; why that failed, or empty."""
    wanted = "\n".join(PACKAGES) + "\n"
    if os.environ.get("TROUPE_PEERS") or (STAMP.is_file() and STAMP.read_text(encoding="utf-8") == wanted):
        return ""
    print(f"  making {FOLDER} for the peers", file=sys.stderr, flush=True)
    pip = [str(FOLDER / "bin" / "python"), "-m", "pip", "install", "--no-input", "--quiet", *PACKAGES]
    for command in ([sys.executable, "-m", "venv", str(FOLDER)], pip):
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False, text=True)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith(("ERROR", "error"))]
            return f"{' '.join(command[:4])} …: {said[-1] if said else f'status {done.returncode}'}"
    STAMP.write_text(wanted, encoding="utf-8")
    return ""


def ask(script: str, *arguments: str, cwd: Path | None = None) -> Any:
    """The last line of JSON that a script says in the peers' environment. Raises ChildFailed with what went wrong."""
    command = [str(python()), str(ROOT / "benchmarks" / f"{script}.py"), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, cwd=cwd, timeout=CHILD_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ChildFailed(f"{arguments[0]}: {error}") from None
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ChildFailed(f"{arguments[0]}: {said[-1] if said else f'status {done.returncode}'}")
    return msgspec.json.decode(lines[-1])

"""What workers of these tests do in place of a host."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path


def stays(settings: bytes) -> threading.Thread:
    return _started(threading.Event().wait)


def ends(settings: bytes) -> threading.Thread:
    return _started(lambda: None)


def writes(settings: bytes) -> threading.Thread:
    """Writes its process into the file that the settings name, and ends."""
    return _started(lambda: Path(settings.decode()).write_text(str(os.getpid())))


def fails(settings: bytes) -> threading.Thread:
    def fail() -> None:
        raise ValueError(f"settings are {settings.decode()}")

    return _started(fail)


def cannot_start(settings: bytes) -> threading.Thread:
    raise RuntimeError("there is no such thing")


def dies(settings: bytes) -> threading.Thread:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def hangs(settings: bytes) -> threading.Thread:
    """Writes its process into the named pipe in the settings, and never comes to its end."""
    Path(settings.decode()).write_text(f"{os.getpid()}\n")
    threading.Event().wait()
    raise AssertionError


def _started(target: object) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread

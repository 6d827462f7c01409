"""A module that no zygote can start with."""

from __future__ import annotations

import threading
import time


def prepare() -> None:
    """A second thread: whoever forks now may copy a lock that nobody releases."""
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()


def serve(fd: int, *, language: bool) -> None:
    raise AssertionError("nobody gets here")

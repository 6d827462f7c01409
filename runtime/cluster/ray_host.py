"""The Ray actor that is a worker: it starts a host in a thread, and its process ends when that thread does.

Ray sees one call that lasts as long as the host: when it returns, or fails, the worker has ended. A worker whose inside
has died must not stay behind half alive, taking calls that it cannot answer: the process ends by itself, also if
nobody ends it. And when its raylet, its parent, dies, Ray's own end of the worker waits for the call, which waits for
the host: that too is seen to here.

The class is plain; the gateway makes it an actor with `ray.remote`. An entry is `package.module:function`; it is called
with the settings, and returns the thread that it has started.
"""

from __future__ import annotations

import importlib
import os
import select
import threading
from collections.abc import Callable
from typing import Any, cast

LINGER_S = 2.0
"""How long a worker stays after its host has ended, so that the reason reaches the gateway."""


class RayHost:
    """One worker. The constructor raises what the entry does: then Ray ends the process, and tells why."""

    def __init__(self, entry: str, settings: bytes) -> None:
        self._ended = threading.Event()
        self._failures: dict[threading.Thread | None, str] = {}
        module, _, name = entry.partition(":")
        start = cast("Callable[[bytes], threading.Thread]", getattr(importlib.import_module(module), name))
        # What ends a thread with an exception is told nowhere but here.
        self._previous = threading.excepthook
        threading.excepthook = self._thread_failed
        self._thread = start(settings)
        threading.Thread(target=self._end_with_it, name="end-with-host", daemon=True).start()
        threading.Thread(target=_end_with_parent, name="end-with-raylet", daemon=True).start()

    def whereabouts(self) -> tuple[str, int]:
        """Return the id of the node, and the process."""
        import ray

        return str(ray.get_runtime_context().get_node_id()), os.getpid()

    def run_until_exit(self) -> str:
        """Return why the host has ended, once it has."""
        self._ended.wait()
        return self._failures.get(self._thread, "its host ended")

    def end(self) -> None:
        """End at once."""
        os._exit(0)

    def _thread_failed(self, failure: Any) -> None:
        self._failures[failure.thread] = f"its host failed: {failure.exc_type.__name__}: {failure.exc_value}"
        self._previous(failure)

    def _end_with_it(self) -> None:
        self._thread.join()
        self._ended.set()
        threading.Event().wait(LINGER_S)
        # Not sys.exit: threads and exit handlers that hang would keep a worker without a host.
        os._exit(0)


def _end_with_parent() -> None:
    poll = select.poll()
    try:
        poll.register(os.pidfd_open(os.getppid()), select.POLLIN)
    except ProcessLookupError:  # it ended just now
        os._exit(1)
    poll.poll()
    os._exit(1)

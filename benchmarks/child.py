"""The other end of `harness.Child`: one function of a benchmark in a process of its own, on a core of its own.

    python -m benchmarks.child MODULE:FUNCTION PARAMETERS CPU

Talks JSON lines on standard output: what the function announces (a port), then, with the key `result`, what it returns.
"""

from __future__ import annotations

import ctypes
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from runtime.telemetry import TelemetrySettings, open_telemetry

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Run the function and tell its result."""
    name, parameters, cpu = arguments
    # A benchmark that is interrupted must not leave a busy process behind.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if cpu != "any":
        os.sched_setaffinity(0, {int(cpu)})
    # Results go to the pipe we were given; what libraries print goes to standard error.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def announce(value: dict[str, Any]) -> None:
        answers.write(msgspec.json.encode(value) + b"\n")

    module, _, attribute = name.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    keywords = msgspec.json.decode(parameters)
    if "announce" in inspect.signature(function).parameters:
        keywords["announce"] = announce
    with open_telemetry(TelemetrySettings(level="warning", format="json")):
        result = function(**keywords)
    announce({"result": result})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

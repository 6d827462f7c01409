"""End this process after a while with a status of our choice, even if Python never runs again.

A Python thread or signal handler cannot do it while C code holds the interpreter's lock, and `faulthandler`
can, but only with status 1. So a POSIX timer (`timer_create`, `SIGEV_THREAD`) calls the C library's `_exit`
in a thread of its own: no Python is involved once it is armed. Where there is no such timer (macOS) a
Python thread does what it can.

Layout of `struct sigevent`: glibc's and musl's <signal.h> for Linux of 64 bits, where they agree.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading

_CLOCK_MONOTONIC = 1
_SIGEV_THREAD = 2


class _Sigevent(ctypes.Structure):
    _fields_ = (
        # A pointer rather than an int: its 64 bits travel in one register, whatever the byte order.
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("padding", ctypes.c_byte * 32),
    )


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class ExitTimer:
    """Calls `_exit(status)` in `seconds` unless it is cancelled before. Nothing is flushed and nobody is
    asked.

    `certain` is False where only a Python thread could be had, which C code that keeps the interpreter's
    lock stops.
    """

    def __init__(self, seconds: float, status: int) -> None:
        self._timer: ctypes.c_void_p | None = None
        self._thread: threading.Timer | None = None
        try:
            self._timer = _start(seconds, status)
        except (OSError, AttributeError):
            self._thread = threading.Timer(seconds, os._exit, (status,))
            self._thread.daemon = True
            self._thread.start()
        self.certain = self._timer is not None

    def cancel(self) -> None:
        """The process lives on."""
        if self._timer is not None:
            ctypes.CDLL(None).timer_delete(self._timer)
            self._timer = None
        if self._thread is not None:
            self._thread.cancel()
            self._thread = None


def _start(seconds: float, status: int) -> ctypes.c_void_p:
    """Raises OSError or AttributeError where there are no such timers."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise OSError("no POSIX timers that start a thread")
    library = ctypes.CDLL(None, use_errno=True)
    event = _Sigevent(value=status, notify=_SIGEV_THREAD, function=ctypes.cast(library._exit, ctypes.c_void_p).value)
    timer = ctypes.c_void_p()
    if library.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)):
        raise OSError(ctypes.get_errno(), "timer_create")
    # A value of zero would disarm it.
    whole, rest = divmod(max(1, round(seconds * 1e9)), 1_000_000_000)
    when = _Itimerspec(value=_Timespec(whole, rest))
    if library.timer_settime(timer, 0, ctypes.byref(when), None):
        raise OSError(ctypes.get_errno(), "timer_settime")
    return timer

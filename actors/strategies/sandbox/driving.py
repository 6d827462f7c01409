"""A locked worker for whoever is no event loop: a backtest that hands inputs over and waits for what comes of them.

    with SandboxThread(limits) as sandbox:
        value = sandbox.drive(load, steps)

`steps(ready)` is a generator: it yields what to hand over (`Ask`), is sent the reply, and returns the value. It runs on
the thread of the loop, so a step costs no change of threads; the zygote stays for the next strategy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Final, NamedTuple, TypeVar

import trio
import trio.lowlevel

from actors.strategies.sandbox.control import Limits
from actors.strategies.sandbox.failures import SandboxFailed
from actors.strategies.sandbox.loaded import Loaded, NotLoaded
from actors.strategies.sandbox.wire import MOST_BATCH, Input, Load, Ready
from actors.strategies.sandbox.worker import WorkerEnded
from actors.strategies.sandbox.zygote import Zygote, ZygoteFailed
from runtime.process import NotReady

T = TypeVar("T")
NAME: Final = "backtest"


class Ask(NamedTuple):
    """Inputs for the strategy. `until_command`, `until_signal`: as `wire.Run`.

    `begin`: hand them over and go on at once (what is sent back is None); an Ask without inputs then gets the reply.
    """

    inputs: tuple[Input, ...]
    until_command: bool = False
    until_signal: bool = False
    begin: bool = False


Steps = Generator[Any, Any, T]


class SandboxThread:
    """A zygote of one's own on a thread of its own; not for use from two threads at once."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._ready = threading.Event()
        self._zygote: Zygote | None = None
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=trio.run, args=(self._live,), name="sandbox", daemon=True)

    def __enter__(self) -> SandboxThread:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise SandboxFailed("unavailable", f"there is no locked worker on this machine: {self._failure}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._token is not None
        self._token.run_sync_soon(self._scope.cancel)
        self._thread.join()

    def drive(self, load: Load, steps: Callable[[Ready], Steps[T]]) -> T:
        """Load a strategy into a worker and run the steps to their end. Raises SandboxFailed, and what they raise."""
        try:
            return trio.from_thread.run(self._drive, load, steps, trio_token=self._token)
        except trio.Cancelled as error:
            raise SandboxFailed("ended", "it was cancelled") from error

    async def _live(self) -> None:
        try:
            self._zygote = await Zygote.start()
        except (ZygoteFailed, NotReady, OSError) as error:
            self._failure = error
            self._ready.set()
            return
        self._token = trio.lowlevel.current_trio_token()
        self._ready.set()
        try:
            with self._scope:
                await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await self._zygote.close()

    async def _drive(self, load: Load, steps: Callable[[Ready], Steps[T]]) -> T:
        assert self._zygote is not None
        limits = self.limits
        batch_s = max(limits.call_s, limits.batch_s_per_input * MOST_BATCH)
        try:
            worker = await self._zygote.create(NAME, limits)
        except ZygoteFailed as error:
            raise SandboxFailed("unavailable", f"no worker: {error}") from error
        try:
            loaded = await Loaded.load(worker, load, limits.load_s, batch_s)
            return await self._steps(loaded, steps(loaded.ready))
        except NotLoaded as error:
            raise SandboxFailed("invalid", error.reason, error.problems) from None
        except WorkerEnded as error:
            raise SandboxFailed("ended", f"the worker ended: {error}") from error
        finally:
            with trio.CancelScope(shield=True):
                await worker.close()

    async def _steps(self, loaded: Loaded, steps: Steps[T]) -> T:
        """Run the steps; a call that has begun goes on beside them, on another processor where there is one."""
        try:
            ask = next(steps)
            while True:
                if ask.begin:
                    loaded.begin(ask.inputs, until_command=ask.until_command, until_signal=ask.until_signal)
                    ask = steps.send(None)
                    continue
                if ask.inputs:
                    reply = await loaded.run(ask.inputs, until_command=ask.until_command, until_signal=ask.until_signal)
                else:
                    reply = await loaded.finish()
                if self._scope.cancel_called:
                    raise SandboxFailed("ended", "it was cancelled")
                ask = steps.send(reply)
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            steps.close()

"""One thread with an asyncio loop, for libraries that know nothing of trio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

import outcome
import trio

T = TypeVar("T")
CANCEL_S = 1.0


class AsyncioThread:
    """Runs coroutines of asyncio while a trio task waits. A daemon thread: it never keeps the process alive."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it there and wait for its result. Cancelled, it is cancelled there too, and not waited for."""
        task = trio.lowlevel.current_task()
        token = trio.lowlevel.current_trio_token()
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        waiting = True

        def resume() -> None:
            if waiting:
                trio.lowlevel.reschedule(task, outcome.capture(future.result))

        def done(_: Future[T]) -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(resume)

        def abort(_: Any) -> trio.lowlevel.Abort:
            nonlocal waiting
            waiting = False
            future.cancel()
            return trio.lowlevel.Abort.SUCCEEDED

        future.add_done_callback(done)
        result: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    def stop(self, last: Callable[[], None]) -> None:
        """Cancel what runs there, call `last`, and end the thread; does not wait for it."""
        asyncio.run_coroutine_threadsafe(self._shut_down(last), self._loop)

    async def _shut_down(self, last: Callable[[], None]) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=CANCEL_S)
        last()
        self._loop.stop()

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

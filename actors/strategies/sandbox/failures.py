"""Why a sandboxed strategy could not be run to its end, for those who know no event loop."""

from __future__ import annotations

from actors.strategies.sandbox.wire import Problem


class SandboxFailed(Exception):
    """No worker, a source that is not accepted, a worker that has ended, or an exception of the strategy's code.

    `code`: `unavailable`, `invalid`, `ended`, `failed`. `problems` of a source that is not accepted.
    """

    def __init__(self, code: str, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.problems = problems

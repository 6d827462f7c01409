"""Answers that are kept for a while, so that the same question is not asked again."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

A = TypeVar("A")


class Kept(Generic[A]):
    """At most `most` answers, each for its own time; the oldest goes first. Times are monotonic nanoseconds."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.hits = 0
        self._answers: dict[Hashable, tuple[int, A]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, key: Hashable, now: int) -> A | None:
        """The answer to `key` if it is still good at `now`."""
        found = self._answers.get(key)
        if found is None:
            return None
        until, answer = found
        if now >= until:
            del self._answers[key]
            return None
        self.hits += 1
        return answer

    def keep(self, key: Hashable, answer: A, until: int) -> None:
        """Answer `key` with it before `until`."""
        self._answers.pop(key, None)
        while len(self._answers) >= self.most:
            del self._answers[next(iter(self._answers))]
        if self.most:
            self._answers[key] = (until, answer)

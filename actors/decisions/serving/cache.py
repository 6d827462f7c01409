"""Answers to equal observations. A core: no clock; time is the observation's own.

The key is all that an answer depends on: the model's name and version, its normaliser, the observation, the mask, the
regimes. So another version never gives an older one's answer. An answer is given again for `ttl_s` of *event* time:
a replay hits and misses exactly as the live run did, however fast it goes.

Equal observations are computed once (a single flight): those of one batch share one row of the call, and those that
come while a slow model is being called wait in its queue, one call at a time, and then find the answer here.
"""

from __future__ import annotations

from actors.decisions.policy import PolicyAnswer

Key = tuple[str, str, str, bytes, tuple[bool, ...], tuple[float, ...]]
"""Model, version, normaliser, the observation's float64 bytes (so that NaN equals NaN), mask, regimes."""


class AnswerCache:
    """Answers by key, at most `max_entries`, the oldest leave first. `ttl_s` 0: nothing is kept."""

    def __init__(self, ttl_s: float = 30.0, max_entries: int = 1000) -> None:
        self.ttl_ns = round(ttl_s * 1e9)
        self.max_entries = max_entries
        self.hits = self.misses = self.shared = 0
        """`shared`: answers that were computed for an equal observation of the same batch."""
        self._answers: dict[Key, tuple[int, PolicyAnswer]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    @property
    def on(self) -> bool:
        """Whether anything is ever kept."""
        return self.ttl_ns > 0 and self.max_entries > 0

    def get(self, key: Key, ts_event: int) -> PolicyAnswer | None:
        """The answer to an equal observation, not newer than `ts_event` and at most the TTL older. Counts."""
        found = self._answers.get(key)
        if found is not None and 0 <= ts_event - found[0] <= self.ttl_ns:
            self.hits += 1
            return found[1]
        self.misses += 1
        return None

    def put(self, key: Key, ts_event: int, answer: PolicyAnswer) -> None:
        """Keep an answer to an observation of `ts_event`. One to a newer observation stays."""
        if not self.on:
            return
        known = self._answers.get(key)
        if known is not None and known[0] > ts_event:
            return
        if known is not None:
            del self._answers[key]
        elif len(self._answers) >= self.max_entries:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = (ts_event, answer)

    def forget(self, model: str) -> None:
        """Drop every answer of a model: it has another version."""
        self._answers = {key: kept for key, kept in self._answers.items() if key[0] != model}

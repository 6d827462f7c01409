"""Ids of signals, in the form of the inference service. Never random, so that a replay makes them again."""

from __future__ import annotations

import functools
import hashlib
from datetime import UTC, datetime


def signal_id(run: str, count: int, ts: int) -> str:
    """`sig_YYYYMMDD_HHMMSS_8hex`: the time (UTC), and the `count`-th number of 32 bits behind the run's hash.

    So the signals of a run have different ids. Two runs may meet by chance within a second; then the hub says
    `id_taken`, and `next_id` is tried.
    """
    return f"{_second(ts // 1_000_000_000)}_{(_start(run) + count) % 2**32:08x}"


@functools.lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return f"sig_{datetime.fromtimestamp(seconds, UTC):%Y%m%d_%H%M%S}"


@functools.lru_cache(maxsize=1024)
def _start(run: str) -> int:
    return int.from_bytes(hashlib.blake2b(run.encode(), digest_size=4).digest(), "big")


def next_id(taken: str, attempt: int) -> str:
    """The id to be tried, as the `attempt`-th, instead of one that another signal has: the same time, other digits."""
    digest = hashlib.blake2b(f"{taken} {attempt}".encode(), digest_size=4).hexdigest()
    return f"{taken[:-8]}{digest}"

"""Answers to equal observations."""

from __future__ import annotations

from actors.decisions.policy import PolicyAnswer
from actors.decisions.serving.cache import AnswerCache, Key

SECOND = 1_000_000_000
ANSWER = PolicyAnswer(1, (0.1, 0.8, 0.1), 0.8)
OTHER = PolicyAnswer(2, (0.1, 0.1, 0.8), 0.8)


def key(name: str = "rl", version: str = "1", raw: bytes = b"x") -> Key:
    return (name, version, "", raw, (), ())


def test_an_answer_lives_in_event_time() -> None:
    cache = AnswerCache(ttl_s=30)
    cache.put(key(), 100 * SECOND, ANSWER)
    assert cache.get(key(), 100 * SECOND) is ANSWER
    assert cache.get(key(), 130 * SECOND) is ANSWER
    assert cache.get(key(), 130 * SECOND + 1) is None
    assert (cache.hits, cache.misses) == (2, 1)


def test_an_observation_of_before_does_not_get_what_was_said_of_a_later_one() -> None:
    cache = AnswerCache(ttl_s=30)
    cache.put(key(), 100 * SECOND, ANSWER)
    assert cache.get(key(), 99 * SECOND) is None


def test_an_older_observation_does_not_displace_a_newer_ones_answer() -> None:
    cache = AnswerCache(ttl_s=30)
    cache.put(key(), 100 * SECOND, ANSWER)
    cache.put(key(), 90 * SECOND, OTHER)
    assert cache.get(key(), 101 * SECOND) is ANSWER


def test_another_version_has_answers_of_its_own_and_the_old_ones_are_dropped() -> None:
    cache = AnswerCache(ttl_s=30)
    cache.put(key(version="1"), SECOND, ANSWER)
    cache.put(key(name="other"), SECOND, OTHER)
    assert cache.get(key(version="2"), SECOND) is None
    cache.forget("rl")
    assert len(cache) == 1
    assert cache.get(key(name="other"), SECOND) is OTHER


def test_it_keeps_so_many_and_the_oldest_leave_first() -> None:
    cache = AnswerCache(ttl_s=30, max_entries=3)
    for number in range(5):
        cache.put(key(raw=bytes([number])), SECOND, ANSWER)
    assert len(cache) == 3
    assert [cache.get(key(raw=bytes([number])), SECOND) is ANSWER for number in range(5)] == [False] * 2 + [True] * 3


def test_without_a_time_to_live_nothing_is_kept() -> None:
    cache = AnswerCache(ttl_s=0)
    cache.put(key(), SECOND, ANSWER)
    assert not cache.on
    assert len(cache) == 0

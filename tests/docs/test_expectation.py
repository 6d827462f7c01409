"""How the output that a document shows is compared with the one that came."""

from __future__ import annotations

import pytest

from tests.docs.expectation import mismatch


@pytest.mark.parametrize(
    ("expected", "came"),
    [
        ("a\nb", "a\nb\n"),
        ("kept 3 rows", "kept 12,345 rows"),
        ("since 4s", "since 2m03s"),
        ("answered in 4 ms", "answered in 11 ms"),
        ("0.5100 at 2026-11-20T11:07:09.152555+00:00", "0.4900 at 2027-01-02T01:00:00Z"),
        ("troupe 0.1.0 seq=17", "troupe 1.2 seq=1795172830122359786"),
        ("session demo-1.1-1/1.1", "session demo-2.3-14/2.10"),
        ("├─ hub   up   —   0/8192", "├─ hub   up   12   3/8192"),
        ("…rows", "many rows"),
        ("first\n…\nlast", "first\na\nb\nlast"),
        ("first\n…", "first"),
        ('{"a": 1, …}', '{"a": 2, "b": 3}'),
        ("sig_20261120_111213_0a1b2c3d BUY", "sig_20271120_111213_ffffffff SELL"),
    ],
)
def test_what_differs_from_run_to_run_is_no_difference(expected: str, came: str) -> None:
    assert mismatch(expected, came, exact=False) is None


@pytest.mark.parametrize(
    ("expected", "came"),
    [
        ("up", "down"),
        ("a", "a\nb"),
        ("a\nb", "a"),
        ("", "something"),
        ("killed /a/b", "killed /a/c"),
        ("first\n…\nlast", "first\na\nb"),
        ('"ready":true', '"ready":false'),
    ],
)
def test_everything_else_is_one(expected: str, came: str) -> None:
    assert mismatch(expected, came, exact=False) is not None


def test_in_an_exact_block_a_number_is_itself() -> None:
    assert mismatch("the value is 3", "the value is 4", exact=False) is None
    assert mismatch("the value is 3", "the value is 4", exact=True) is not None
    assert mismatch("the value is 3", "the value is 3", exact=True) is None

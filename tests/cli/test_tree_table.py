"""The tree as a table, drawn from a node's JSON."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.cli.tree_table import age, decode, render

S = 1_000_000_000
NOW = 10_000 * S


def actor(path: str, **fields: Any) -> dict[str, Any]:
    return {
        "path": path,
        "kind": "actor",
        "cls": "pkg.Class",
        "state": "up",
        "since": NOW - 12 * S,
        "incarnation": "1.1",
        "restarts": 0,
        "restart_reason": None,
        "mailbox": {"depth": 0, "capacity": 1024, "dropped": 0},
        "rate": 0.0,
        "handling": None,
        "breaker": None,
        "router": None,
        "strategy": None,
        "children": [],
    } | fields


def supervisor(path: str, *children: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return actor(
        path, kind="supervisor", mailbox=None, rate=None, strategy="one_for_one", children=list(children), **fields
    )


SAMPLE = supervisor(
    "/",
    supervisor(
        "/feeds",
        actor(
            "/feeds/kalshi",
            state="backoff",
            restarts=2,
            restart_reason="ConnectionReset: peer closed",
            mailbox={"depth": 41, "capacity": 1024, "dropped": 7},
        ),
        actor("/feeds/binance", since=NOW - 8040 * S, rate=412.4),
    ),
    actor("/books", rate=9120.0),
)


ROUTER = {
    "salt": "x",
    "coverage": 0.1,
    "variants": [
        {"name": "old", "share": 0.9, "shadow": False},
        {"name": "new", "share": 0.1, "shadow": False},
        {"name": "bold", "share": 0.0, "shadow": True},
    ],
}


REPLICAS = {
    "routing": "sticky",
    "key": "market",
    "count": 2,
    "most": 8,
    "replicas": [{"name": "0", "routed": 1200}, {"name": "1", "routed": 7}],
}


def drawn(document: Any, **options: Any) -> list[str]:
    return render(decode(document), NOW, **options).split("\n")


def test_a_tree_is_drawn_with_its_branches_and_columns() -> None:
    assert drawn(SAMPLE) == [
        "PATH           STATE    SINCE  RESTARTS  MAILBOX     RATE/s  NOTES",
        "/              up       12s    0         —           —",
        "├─ feeds       up       12s    0         —           —       1 of 2 children not up",
        "│  ├─ kalshi   backoff  12s    2         41/1024 -7  0       ConnectionReset: peer closed",
        "│  └─ binance  up       2h14m  0         0/1024      412",
        "└─ books       up       12s    0         0/1024      9,120",
    ]


def test_a_branch_below_the_depth_is_summed_up_and_shows_its_worst_state() -> None:
    assert drawn(SAMPLE, depth=1)[2:] == [
        "├─ feeds (2)  backoff 1  12s    2         41       412     1 of 2 children not up",
        "└─ books      up         12s    0         0/1024   9,120",
    ]


def test_a_branch_can_be_drawn_by_itself() -> None:
    assert drawn(SAMPLE["children"][0])[1].startswith("/feeds  ")


def test_of_many_children_those_that_are_not_well_are_shown_and_the_rest_is_counted() -> None:
    children = [actor(f"/books/{number}") for number in range(1000)]
    children[900] = actor("/books/900", state="stopped")
    lines = drawn(supervisor("/books", *children), limit=2)
    assert [line.split("  ")[0] for line in lines[2:]] == ["├─ 0", "├─ 900", "└─ … 998 more"]


def test_children_that_the_node_left_out_are_counted_too() -> None:
    lines = drawn(supervisor("/books", actor("/books/a"), hidden=99_000))
    assert lines[-1] == "└─ … 99,000 more"
    assert drawn(supervisor("/books", actor("/books/a"), hidden=99_000), depth=0)[1].startswith("/books (99,001)")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"breaker": {"state": "half_open", "calls": 3}}, "breaker half_open"),
        ({"router": ROUTER}, "router old 90% new 10% bold shadow"),
        ({"replicas": REPLICAS}, "replicas 2 sticky, 1,207 routed"),
        ({"restart_reason": "Reset", "next_try_s": 1.57}, "Reset; next try in 1.6s"),
        ({"restart_reason": "two\n  lines"}, "two lines"),
    ],
)
def test_breakers_routers_and_reasons_are_told_on_the_actors_line(fields: dict[str, Any], reason: str) -> None:
    assert drawn(actor("/a", **fields))[1].endswith("  " + reason)


def test_unknown_fields_of_a_newer_node_are_no_error_and_a_wrong_type_is() -> None:
    assert decode(actor("/a", invented_later=1)).path == "/a"
    with pytest.raises(msgspec.ValidationError, match=r"restarts"):
        decode(actor("/a", restarts="many"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m00s"), (3599, "59m59s"), (8040, "2h14m"), (187_200, "2d4h"), (-5, "0s")],
)
def test_an_age_has_at_most_two_units_and_a_clock_that_is_ahead_makes_none_negative(seconds: int, text: str) -> None:
    assert age(NOW - seconds * S, NOW) == text


def test_what_has_no_beginning_has_no_age() -> None:
    assert age(None, NOW) == "—"

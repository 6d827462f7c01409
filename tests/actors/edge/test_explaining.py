"""What a validation error says: the field, what was expected, what came."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest

from actors.edge.explaining import decoded, explained

Side = Literal["buy", "sell"]


class Limit(msgspec.Struct, forbid_unknown_fields=True):
    share: str = "0"

    def __post_init__(self) -> None:
        if self.share == "2":
            raise ValueError("share: expected at most 1, got 2")


class Cash(msgspec.Struct, tag_field="kind", tag="cash"):
    amount: Decimal


class Margin(msgspec.Struct, tag_field="kind", tag="margin"):
    leverage: int


class Order(msgspec.Struct, forbid_unknown_fields=True):
    side: Side
    legs: tuple[Side | Literal[""], ...] = ()
    limit: Limit | None = None
    by_market: dict[str, Side] = {}
    account: Cash | Margin | None = None
    name: Annotated[str, msgspec.Meta(max_length=3)] = ""


@pytest.mark.parametrize(
    ("said", "field", "message"),
    [
        ({"side": "hold"}, "side", 'Expected one of buy, sell, got "hold"'),
        ({"side": 3}, "side", "Expected `str`, got `int`, namely 3"),
        ({"side": [3]}, "side", "Expected `str`, got `array`"),
        ({"side": "buy", "legs": ["buy", "up"]}, "legs[1]", 'Expected one of buy, sell, got "up"'),
        ({"side": "buy", "limit": {"share": "2"}}, "limit.share", "expected at most 1, got 2"),
        ({"side": "buy", "limit": {"shares": "2"}}, "limit.shares", "Object contains unknown field `shares`"),
        ({"side": "buy", "by_market": {"X": "up"}}, "by_market[...]", "Expected one of buy, sell"),
        ({"side": "buy", "account": {"kind": "debt"}}, "account.kind", 'Expected one of cash, margin, got "debt"'),
        (
            {"side": "buy", "account": {"kind": "cash", "amount": "x"}},
            "account.amount",
            'Invalid decimal string, got "x"',
        ),
        ({"side": "buy", "name": "long"}, "name", 'Expected `str` of length <= 3, got "long"'),
        ({}, "side", "Object missing required field `side`"),
        ([], "", "Expected `object`, got `array`"),
    ],
)
def test_the_field_what_was_expected_and_what_came_are_named(said: Any, field: str, message: str) -> None:
    content = msgspec.json.encode(said)
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(content, type=Order)
    assert explained(raised.value, Order, decoded(content)) == (message, field)


def test_what_is_long_is_shown_in_part_and_what_is_too_large_or_deep_not_at_all() -> None:
    said = {"side": "x" * 1000}
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert(said, Order)
    message, _ = explained(raised.value, Order, said)
    assert message.endswith("xxx…")
    assert len(message) < 200
    assert decoded(b'"' + b"x" * 100_000 + b'"') is msgspec.UNSET
    assert decoded(b"[" * 10_000) is msgspec.UNSET
    assert explained(raised.value, Order) == ("Expected one of buy, sell", "side")

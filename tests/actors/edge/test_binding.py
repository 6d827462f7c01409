from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest

from actors.edge.binding import Binding
from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.parser import HttpRequest


class Order(msgspec.Struct, forbid_unknown_fields=True):
    market: str
    size: int
    price: Decimal = Decimal(1)
    side: Literal["buy", "sell"] = "buy"
    tags: list[str] = []
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] | None = None
    since: datetime | None = None
    dry_run: bool = msgspec.field(default=False, name="dryRun")


class Nested(msgspec.Struct):
    orders: list[Order]


async def place(request: Order, call: Call) -> None: ...


async def place_many(request: Nested, call: Call) -> None: ...


async def place_list(request: list[int], call: Call) -> None: ...


def bound(
    query: str = "", body: bytes = b"", path: dict[str, str] | None = None, *, get: bool = False, handler: Any = place
) -> Any:
    binding = Binding(handler, tuple(path or ()), in_query=get, websocket=False)
    request = HttpRequest(b"GET" if get else b"POST", b"/", query.encode(), {})
    request.chunks = [body]
    request.complete = True
    return binding.request(request, path or {})


def refusal(*args: Any, **kwargs: Any) -> HttpError:
    with pytest.raises(HttpError) as refused:
        bound(*args, **kwargs)
    assert refused.value.status == 400
    return refused.value


def test_a_body_fills_the_request() -> None:
    assert bound(body=b'{"market":"X","size":3,"dryRun":true}') == Order("X", 3, dry_run=True)


def test_digits_of_a_body_stay_exact_whether_or_not_the_path_adds_a_field() -> None:
    body = b'{"size":1,"price":0.123456789012345678901234567890}'
    assert bound(body=body, path={"market": "X"}).price == Decimal("0.123456789012345678901234567890")


def test_strings_of_a_query_become_what_the_fields_are() -> None:
    query = "market=X&size=3&price=1.10&side=sell&tags=a&tags=b&limit=500&since=2026-01-02T03:04:05Z&dryRun=true"
    order = bound(query, get=True)
    assert (order.size, order.side, order.tags, order.limit, order.dry_run) == (3, "sell", ["a", "b"], 500, True)
    assert str(order.price) == "1.10"
    assert order.since.isoformat() == "2026-01-02T03:04:05+00:00"


def test_a_field_of_text_keeps_digits_as_text() -> None:
    assert bound("market=007&size=1", get=True).market == "007"
    assert bound("market=%22%5C%0A&size=1", get=True).market == '"\\\n'


def test_the_path_cannot_be_overruled_by_body_or_query() -> None:
    assert bound("market=Q", b'{"market":"B","size":1}', {"market": "P"}).market == "P"
    assert bound("", b'{"size":1,"market":"B"}', {"market": "P"}).market == "P"
    assert bound("size=1&market=Q", path={"market": "P"}, get=True).market == "P"


@pytest.mark.parametrize("body", [b"{}", b" { } ", b"", b"\n{\n}\n"])
def test_an_empty_body_is_enough_if_the_path_and_the_query_say_all(body: bytes) -> None:
    assert bound("size=2", body, {"market": "P"}) == Order("P", 2)


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("size=1", "market", "missing required field"),
        ("market=X&size=many", "size", 'Expected `int`, got `str`, namely "many"'),
        ("market=X&size=1.5", "size", "Expected `int`"),
        ("market=X&size=", "size", "Expected `int`"),
        ("market=X&size=1&side=hold", "side", 'Expected one of buy, sell, got "hold"'),
        ("market=X&size=1&size=2", "size", "2 times"),
        ("market=X&size=1&limit=501", "limit", "<= 500"),
        ("market=X&size=1&price=abc", "price", "decimal"),
        ("market=X&size=1&nosuch=1", "nosuch", "no parameter"),
        ("market=%FF&size=1", None, "UTF-8"),
        ("&".join(f"a{number}=1" for number in range(200)), None, "at most 100"),
    ],
)
def test_what_a_query_has_wrong_is_named(query: str, field: str | None, said: str) -> None:
    refused = refusal(query, get=True)
    assert refused.field == field
    assert said in refused.message


@pytest.mark.parametrize(
    ("body", "code", "field", "said"),
    [
        (b'{"market":"X"}', "invalid", "size", "missing required field `size`"),
        (b'{"market":"X","size":"3"}', "invalid", "size", "Expected `int`, got `str`"),
        (b'{"market":"X","size":3,"colour":1}', "invalid", "colour", "unknown field"),
        (b'{"market":"X","size":3,"tags":["a",1]}', "invalid", "tags[1]", "Expected `str`"),
        (b"[1]", "invalid", None, "Expected `object`"),
        (b"null", "invalid", None, "Expected `object`"),
        (b"", "malformed_json", None, "missing"),
        (b"  ", "malformed_json", None, "missing"),
        (b"{", "malformed_json", None, "not JSON"),
        (b'{"market":"X","size":3}}', "malformed_json", None, "not JSON"),
        (b'{"market":"\xff","size":3}', "malformed_json", None, "not JSON"),
        (b"market=X&size=3", "malformed_json", None, "not JSON"),
        (b'{"market":"X","size":3,"tags":' + b"[" * 100_000, "invalid", "tags[0]", "Expected `str`"),
        (b'{"size":' + b"9" * 5000 + b"}", "invalid", "size", "Integer"),
    ],
)
def test_what_a_body_has_wrong_is_named(body: bytes, code: str, field: str | None, said: str) -> None:
    refused = refusal(body=body)
    assert (refused.code, refused.field) == (code, field)
    assert said in refused.message


def test_a_fault_deep_inside_is_named_by_its_place() -> None:
    refused = refusal(body=b'{"orders":[{"market":"X","size":1},{"market":"Y"}]}', handler=place_many)
    assert refused.field == "orders[1].size"


@pytest.mark.parametrize("body", [b"[1]", b"1", b"{", b'"x"', b'{"size":1}}', b'{"size":1},{"size":2}'])
def test_a_body_that_is_no_object_cannot_be_mixed_with_the_path(body: bytes) -> None:
    refusal("", body, {"market": "P"})


def test_a_body_may_be_any_type_when_nothing_else_adds_to_it() -> None:
    assert bound(body=b"[1,2]", handler=place_list) == [1, 2]
    assert refusal(body=b'[1,"x"]', handler=place_list).field == "[1]"

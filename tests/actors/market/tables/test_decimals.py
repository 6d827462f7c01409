"""Columns of digits: what they are in nanos is what `protocols.nanos` says of each, one by one."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.market.tables.decimals import MISSING, floats, integers, nanos, volumes
from actors.market.tables.faults import CLAMPED, CUT, DROPPED, TableError
from protocols.nanos import INT64_MAX, scaled

digits = st.one_of(
    st.from_regex(r"-?[0-9]{1,12}(\.[0-9]{1,20})?", fullmatch=True),
    st.from_regex(r"-?[0-9]{1,3}(\.[0-9]{1,4})?[eE]-?[0-4]?[0-9]", fullmatch=True),
    st.from_regex(r"[0-9]{9,30}", fullmatch=True),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | digits, max_size=20))
def test_a_column_of_digits_is_what_each_of_them_is(texts: list[str | None]) -> None:
    faults: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    found = nanos(pa.array(texts, pa.string()), "price", faults).tolist()
    clamped = nanos(pa.array(texts, pa.string()), "size", sizes, size=True).tolist()
    expected = [(MISSING, False) if text is None else scaled(text) for text in texts]
    outside = [abs(value) > INT64_MAX and value != MISSING for value, _ in expected]
    assert found == [MISSING if out else value for (value, _), out in zip(expected, outside, strict=True)]
    assert clamped == [
        (INT64_MAX if value > 0 else -INT64_MAX) if out else value
        for (value, _), out in zip(expected, outside, strict=True)
    ]
    assert faults[CUT] == sizes[CUT] == sum(cut for _, cut in expected)
    assert faults[DROPPED] == sizes[CLAMPED] == sum(outside)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=10))
def test_a_float_is_its_shortest_digits(values: list[float]) -> None:
    found = nanos(pa.array(values), "price", Counter()).tolist()
    assert found == [scaled(str(Decimal(repr(value))))[0] for value in values]


@pytest.mark.parametrize("text", ["x", "1,5", "1_0", "inf", "0x1", "--1", "1e99"])
def test_what_is_no_number_is_told_with_its_row(text: str) -> None:
    with pytest.raises(TableError, match=r"high: expected a number, got '.*', in row 12") as caught:
        nanos(pa.array(["1", None, text]), "high", Counter(), 10)
    assert (caught.value.field, caught.value.row) == ("high", 12)


def test_what_files_write_where_there_is_nothing_is_missing() -> None:
    texts = ["", " ", "nan", "NULL", "N/A", "-", None]
    assert nanos(pa.array(texts), "price", Counter()).tolist() == [MISSING] * len(texts)
    assert nanos(pa.array([float("nan"), None], pa.float64()), "price", Counter()).tolist() == [MISSING, MISSING]


def test_volumes_outgrow_nanos_and_stay_exact() -> None:
    faults: Counter[str] = Counter()
    found = volumes(pa.array(["12345678901234567890.123456789012", "1e3", None, "0.0000000000009"]), "volume", faults)
    assert [None if value is None else str(value) for value in found.to_pylist()] == [
        "12345678901234567890.123456789012", "1000.000000000000", None, "0E-12",
    ]  # fmt: skip
    assert faults[CUT] == 1
    assert floats(found)[1] == 1000.0
    with pytest.raises(TableError, match="below 10\\^26"):
        volumes(pa.array(["1e30"]), "volume", faults)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | st.decimals(-(10**20), 10**20, places=12, allow_nan=False), max_size=20))
def test_a_volume_as_a_float_is_the_nearest_one(values: list[Decimal | None]) -> None:
    found = floats(
        volumes(pa.array([None if each is None else str(each) for each in values], pa.string()), "v", Counter())
    )
    assert [None if each != each else each for each in found.tolist()] == [
        None if each is None else float(each) for each in values
    ]


def test_whole_numbers_may_have_a_point_and_nothing_behind_it() -> None:
    assert integers(pa.array(["1", "+2", "3.0", None]), "trades").tolist() == [1, 2, 3, MISSING]
    with pytest.raises(TableError, match=r"expected a whole number, got '1\.5', in row 2"):
        integers(pa.array(["1", "1.5"]), "trades")

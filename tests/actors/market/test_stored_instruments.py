"""Definitions in a real database: what was stored is what is read, exactly."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from actors.market.instrument_master import stored_instruments, stored_page
from actors.market.instruments import InstrumentVersions
from actors.market.rows import InstrumentRow
from protocols.instruments import Instrument, PriceRange
from tests.actors.databases import Databases
from tests.actors.market.stored import FOLDERS, ONE, Run, StoreDatabase

WHOLE = Instrument(
    market="BTCUSDT.BINANCE",
    symbol="BTCUSDT",
    venue="binance",
    kind="spot",
    currency="USDT",
    base="BTC",
    price_ranges=(PriceRange(0, 5 * ONE, 1), PriceRange(5 * ONE, 2**62, ONE)),
    lot=10_000,
    maximum_size=9_000 * ONE,
    minimum_notional=5 * ONE,
    maker_fee="0.00100000",
    taker_fee="0.001",
    order_types=("market", "limit"),
    calendar="XNYS",
    status="open",
    opens=1,
    closes=None,
    title="Bitcoin 'n' \"co\"",
    data_only=True,
    valid_from=1_700_000_000 * ONE,
    source="GET /api/v3/exchangeInfo",
    marks=("demo", "synthetic"),
)
BARE = Instrument(
    market="KX-A",
    symbol="KX-A",
    venue="kalshi",
    kind="prediction",
    currency="USD",
    price_ranges=(),
    lot=ONE,
    valid_from=5,
)


@pytest.fixture(scope="module")
def url(databases: Databases) -> str:
    return databases.new(FOLDERS)


def test_what_was_stored_is_read_by_pages_and_twice_the_same_is_one(url: str, tmp_path: Path) -> None:
    database = StoreDatabase(url, tmp_path)
    later = msgspec.structs.replace(WHOLE, lot=1, valid_from=WHOLE.valid_from + 1)
    for each in (later, WHOLE, BARE, BARE):
        database.log.append(InstrumentRow.of(each, "feed"))
    database.move()
    database.log.close()

    async def read(run: Run) -> tuple[Instrument, ...]:
        return stored_instruments(await run(stored_page("", -1)))

    async def behind(run: Run) -> tuple[Instrument, ...]:
        return stored_instruments(await run(stored_page(WHOLE.market, WHOLE.valid_from)))

    assert database.ask(read) == (WHOLE, later, BARE, BARE)
    assert database.ask(behind) == (later, BARE, BARE)
    versions = InstrumentVersions()
    versions.load(database.ask(read))
    assert versions.versions(WHOLE.market) == (WHOLE, later)
    assert versions.versions("KX-A") == (BARE,)
    assert versions.learn(later, 9) is None

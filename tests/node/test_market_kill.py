"""Market data is stored without a hole and without a double, whenever the node is killed."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import trio

from actors.market.book import Book
from actors.market.rebuild import book_at
from actors.market.simulated.face import Client
from actors.market.simulated.kalshi_face import KEY_ID
from actors.market.simulated.standin import StandIn, StandInSettings
from actors.market.simulated.venue import demo_key
from actors.storage.embedded import server_url
from actors.storage.queries import Database
from protocols.market import BookView
from protocols.venues import kalshi_signing
from tests.node.kit import NodeProcess, until

MARKETS = ("SIM-ALPHA", "SIM-BETA", "SIM-GAMMA")
RATE = 2_000.0
MOST_S = 1.2
"""A life with data lasts for so long at most."""
LOOKED_AT = 12
"""Books that are rebuilt and compared, of each look at the database."""

CONFIGURATION = """\
[node]
name = "killed"
data_dir = "data"

[edge]
port = 0

[store]
whole_after = 400

[[feeds]]
name = "sim"
venue = "simulated"
url = "{url}"
markets = [{markets}]
key_id = "{key_id}"
key_file = "{key_file}"
record = "recorded"
backoff_s = 0.02
backoff_most_s = 0.1
"""


class Venue:
    """A simulated venue that outlives the node: what it has told each connection, and what its books were."""

    def __init__(self, folder: Path) -> None:
        self.key_file = folder / "venue-key.pem"
        key = kalshi_signing.public_key_of(demo_key(self.key_file))
        settings = StandInSettings(markets=MARKETS, rate=RATE)
        self.standin = StandIn(settings, key, time.time_ns, time.monotonic_ns)
        self.face = self.standin.faces["kalshi"]
        self.lives: list[dict[int, Client]] = []
        """The connections of each life of the node, by their numbers."""
        self.first = 1
        """The life of the node's log that is the first of these."""
        self._known: set[int] = set()

    def configuration(self) -> str:
        return CONFIGURATION.format(
            url=self.face.url,
            markets=", ".join(f'"{market}"' for market in MARKETS),
            key_id=KEY_ID,
            key_file=self.key_file,
        )

    def begin(self) -> None:
        """The node starts another life."""
        self._known |= self.face.clients.keys() | self.face.gone.keys()
        self.lives.append({})

    def fed(self) -> bool:
        """Whether this life has been told all books."""
        self.notice()
        told = [client.told._told for client in self.lives[-1].values()]
        return any({market for market, _ in each.values()} == set(MARKETS) for each in told)

    def notice(self) -> None:
        """Remember connections before the face forgets them."""
        for number, client in [*self.face.clients.items(), *self.face.gone.items()]:
            if number not in self._known:
                self.lives[-1][number] = client

    def told(self, session: str) -> dict[int, tuple[str, int]]:
        """What the venue has told a session, as number -> (market, version)."""
        connection, _, scope = session.partition("/")
        _, incarnation, number = connection.rsplit("-", 2)
        client = sorted(self.lives[int(incarnation.partition(".")[0]) - self.first].items())[int(number) - 1][1]
        sid = scope.partition(".")[0]
        return {seq: told for (each, seq), told in client.told._told.items() if each == sid}

    def levels(self, market: str, version: int) -> tuple[Any, Any]:
        return self.face.markets[market].ledger.levels_at(version)


async def look(node: NodeProcess, venue: Venue, chance: random.Random, checked: set[tuple[str, str]]) -> int:
    """Compare what is stored with what the venue has told; returns how many messages were compared."""
    url = server_url(node.data / "postgres")
    stretches = await node.query(
        "SELECT session_id, market_ticker, first_sequence, last_sequence, reason FROM rl_orderbook_session_markets"
        " WHERE session_id LIKE 'sim-%' ORDER BY first_ts_recv"
    )
    compared = 0
    addresses = []
    for session, market, first, last, reason in stretches:
        if last is None or (session, market) in checked:
            continue
        checked.add((session, market))
        assert reason in ("killed", "disconnected", "stopped", "replaced"), (session, market, reason)
        source = session.partition("+")[0]
        told = venue.told(source)
        rows = await node.query(
            "SELECT sequence_number, side, price, old_size, new_size, remaining FROM rl_orderbook_deltas"
            " WHERE market_ticker = $1 AND session_id = $2 ORDER BY sequence_number, id",
            market,
            session,
        )
        wholes = await node.query(
            "SELECT sequence_number FROM rl_orderbook_snapshots WHERE market_ticker = $1 AND session_id = $2"
            " ORDER BY sequence_number",
            market,
            session,
        )
        assert wholes[0][0] == first, "a session begins with a whole book"
        stored = [row[0] for row in rows]
        sent = sorted(seq for seq, (name, _) in told.items() if name == market and first < seq <= last)
        assert stored == sent, f"{session} {market}: not what was sent"
        assert all(row[5] == 0 for row in rows)
        sizes: dict[tuple[str, int], int] = {}
        for _, side, price, old, new, _ in rows:
            assert sizes.setdefault((side, price), old) == old
            sizes[side, price] = new
        compared += len(stored)
        for seq in {last, *chance.sample(stored, min(2, len(stored)))}:
            addresses.append((market, source, seq, told[seq][1]))

    async def rebuild() -> list[Book]:
        database = Database(url, 2)
        try:
            return [await book_at(database.page, market, session, seq) for market, session, seq, _ in addresses]
        finally:
            database.close()

    addresses = chance.sample(addresses, min(LOOKED_AT, len(addresses)))
    books = await trio.to_thread.run_sync(lambda: asyncio.run(rebuild()))
    for (market, session, seq, version), book in zip(addresses, books, strict=True):
        view: BookView = book.view()
        assert (view.bids, view.asks) == venue.levels(market, version), (market, session, seq)
        assert view.seq == seq
    return compared


async def life(node: NodeProcess) -> int:
    """Which life of its log the node lives."""
    return int((await node.actor("/market/store"))["incarnation"].partition(".")[0])


async def moved(node: NodeProcess) -> None:
    """Wait until the database has marked what the last life left open."""

    async def marked() -> bool:
        try:
            [(count,)] = await node.query("SELECT count(*) FROM rl_orderbook_session_events WHERE event = 'started'")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False  # the server is being started
        return bool(count == lives)

    lives = await life(node)
    await until(marked, "the rows of earlier lives")


async def killed_again_and_again(folder: Path, chance: random.Random, rounds: int, between_looks: int) -> None:
    venue = Venue(folder)
    await venue.standin.open()
    checked: set[tuple[str, str]] = set()
    compared = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(venue.standin.run)
        nursery.start_soon(venue.standin.trade)
        venue.begin()
        with NodeProcess(folder, venue.configuration()) as node:
            await node.ready()
            venue.first = await life(node)
            for round_ in range(1, rounds + 1):
                await until(venue.fed, "the first books")
                await trio.sleep(chance.random() * MOST_S)
                venue.notice()
                node.kill()
                venue.begin()
                node.start()
                if round_ % between_looks == 0 or round_ == rounds:
                    await node.ready()
                    await moved(node)
                    compared += await look(node, venue, chance, checked)
            await until(venue.fed, "the first books")
            assert await node.stop() == 0
        nursery.cancel_scope.cancel()
    assert compared > 100 * rounds
    # A life may end before it has stored anything.
    assert len({session for session, _ in checked}) >= 0.9 * rounds - 1


@pytest.mark.long
async def test_what_is_stored_has_no_hole_and_no_double_when_the_node_is_killed(
    prepared: Path, chance: random.Random
) -> None:
    await killed_again_and_again(prepared, chance, 1, 1)


@pytest.mark.long
async def test_what_is_stored_has_no_hole_and_no_double_when_the_node_is_killed_200_times(
    prepared: Path, chance: random.Random
) -> None:
    await killed_again_and_again(prepared, chance, 200, 10)

"""Strategies in databases of other services: by id, as they are there, and what happens while one is away."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from actors.strategies.library_cache import PackageCache
from actors.strategies.library_requests import ArchiveStrategy, GetVersion, ListVersions, UpdateStrategy
from actors.strategies.library_settings import LibrarySettings, specs
from actors.strategies.package import (
    LIBRARY,
    LibraryStarted,
    ListPackages,
    Package,
    PackageChanged,
    PutPackage,
)
from protocols.control import Probe, Refused
from runtime.settings import load
from tests.actors.databases import Databases
from tests.actors.storage.kit import ServerThread, afetch
from tests.actors.strategies.library.stage import (
    AI_ML,
    CODE,
    LIMIT_S,
    NO_CODE,
    ONE,
    TWO,
    Desk,
    changes,
    desk,
    told,
)


def settings(ai_ml: str, no_code: str, **others: object) -> LibrarySettings:
    return LibrarySettings(ai_ml_url=ai_ml, no_code_url=no_code, **others)  # type: ignore[arg-type]


async def test_a_strategy_of_another_service_is_found_by_its_id(
    tmp_path: Path, database: str, ai_ml: str, no_code: str
) -> None:
    async with desk(tmp_path, database, settings(ai_ml, no_code)) as at:
        one = await at.package(ONE)
        assert (one.source, one.name, one.description, one.code, one.state) == (
            "ai_ml", "Momentum", "follows", "# one", "active"
        )  # fmt: skip
        assert (one.tags, bytes(one.parameters), one.main_file) == (("fast", "old"), b'{"period":5}', "strategy.py")
        assert one.ts_created == 1_767_323_045 * 10**9
        assert len(one.version) == 12
        assert (await at.package(ONE, version=one.version)) == one
        assert await at.refused_code(ONE, version="1") == "not_found"
        assert (await at.package(TWO, "ai_ml")).state == "archived"
        drawn = await at.package("1", "no_code")
        assert (drawn.name, drawn.code, drawn.state, drawn.author) == ("Cross", "# generated", "active", "7")
        uuid = "33333333-3333-4333-8333-333333333333"
        assert (await at.package(uuid, "no_code")).strategy_id == "1"
        assert await at.refused_code(uuid) == "not_found"
        for strategy_id in (
            "",
            "1\0",
            "\ud800",
            "1" * 256,
            "Momentum",
            "Momentum 2",
            "' OR true --",
            "9",
            "project-",
            "%",
        ):
            assert await at.refused_code(strategy_id, "ai_ml") == "not_found", strategy_id
        assert (await at.node.ref(LIBRARY).ask(Probe())).status == "ok"
        assert await at.refused_code(ONE, "no_code") == "not_found"
        assert await at.refused_code(ONE, "nothing") == "not_found"
        assert await at.refused_code("actors.strategies.book_imbalance:BookImbalance", "import") == "not_found"


async def test_a_project_is_its_main_file_and_no_other_projects(
    tmp_path: Path, database: str, ai_ml: str, no_code: str
) -> None:
    async with desk(tmp_path, database, settings(ai_ml, no_code)) as at:
        first = await at.package("project-1")
        assert (first.name, first.code, first.main_file) == ("Momentum", "# project 1", "main.py")
        second = await at.package("2", "ai_ml")
        assert (second.strategy_id, second.code, second.main_file) == ("project-2", "# project 2", "strategy.py")
        assert await at.refused_code("project-3") == "not_found"


async def test_an_id_that_several_sources_have_needs_its_source(
    tmp_path: Path, database: str, ai_ml: str, no_code: str
) -> None:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "book_imbalance.py").write_text(CODE)
    (folder / "1.py").write_text("# file")
    async with desk(tmp_path / "node", database, settings(ai_ml, no_code, folder=str(folder))) as at:
        with pytest.raises(Refused, match="folder, no_code") as caught:
            await at.package("1")
        assert (caught.value.code, caught.value.field) == ("ambiguous", "source")
        assert (await at.package("1", "folder")).code == "# file"
        assert (await at.package("1", "no_code")).code == "# generated"
        assert (await at.package("1", "ai_ml")).code == "# project 1"
        assert await at.refused_code("book_imbalance") == "ambiguous"
        assert (await at.package("book_imbalance", "catalogue")).trusted
        assert await at.refused(ArchiveStrategy("1", "no_code")) == "not_own"


async def test_a_list_goes_over_all_sources_in_order_with_true_totals(
    tmp_path: Path, database: str, ai_ml: str, no_code: str
) -> None:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "alpha.py").write_text(CODE)
    async with desk(tmp_path / "node", database, settings(ai_ml, no_code, folder=str(folder))) as at:
        own = (await at.create("Zeta", state="active")).strategy_id
        everything = [
            "1",
            "3",
            "2",
            "project-2",
            ONE,
            "project-1",
            "4",
            own,
            "alpha",
            "book_imbalance",
            "moving_average_cross",
        ]
        names = [
            "Cross",
            "Drawn",
            "Empty",
            "Half",
            "Momentum",
            "Momentum",
            "Odd",
            "Zeta",
            "alpha",
            "book_imbalance",
            "moving_average_cross",
        ]
        whole = await at.listed()
        assert [each.name for each in whole.packages] == names
        assert [each.strategy_id for each in whole.packages] == everything
        assert (whole.total, whole.away, whole.refused) == (11, (), ())
        pages = [await at.listed(limit=3, offset=offset) for offset in (0, 3, 6, 9, 12)]
        assert [each.strategy_id for page in pages for each in page.packages] == everything
        assert {page.total for page in pages} == {11}
        assert await at.ids(source="ai_ml", limit=2, offset=1) == [ONE, "project-1"]
        assert (await at.listed(source="ai_ml", limit=1)).total == 3
        assert await at.ids(source="ai_ml", state="archived") == [TWO]
        assert (await at.listed(state="all")).total == 12
        assert await at.ids(state="draft") == ["3", "2", "4"]
        assert await at.ids(search="MOMENT") == [ONE, "project-1"]
        assert await at.ids(search="follows") == [ONE]
        assert await at.ids(search="project-") == ["project-2", "project-1"]
        assert await at.ids(search="%") == []
        for wrong in (
            {"search": "\0"},
            {"search": "x" * 201},
            {"source": "import"},
            {"state": "odd"},
            {"limit": 0},
            {"limit": 501},
            {"offset": -1},
        ):
            assert await at.refused(ListPackages(**wrong)) == "invalid"  # type: ignore[arg-type]


async def test_many_strategies_of_another_service_are_paged(
    tmp_path: Path, database: str, changing: str, no_code: str
) -> None:
    await afetch(
        changing,
        "INSERT INTO strategies (id, name, code) SELECT gen_random_uuid(), 'S ' || lpad(n::text, 5, '0'), '#' "
        "FROM generate_series(1, 1200) n RETURNING 1",
    )
    async with desk(tmp_path, database, settings(changing, no_code)) as at:
        page = await at.listed(search="S 0", limit=100, offset=1150)
        assert page.total == 1200
        assert [each.name for each in page.packages] == [f"S {number:05}" for number in range(1151, 1201)]


async def test_what_cannot_run_is_refused_when_it_is_asked_for(
    tmp_path: Path, database: str, changing: str, no_code: str
) -> None:
    await afetch(changing, "UPDATE strategies SET code = repeat('#', 70000) WHERE id::text = $1 RETURNING 1", ONE)
    await afetch(changing, "UPDATE strategies SET code = ' ' WHERE id::text = $1 RETURNING 1", TWO)
    async with desk(tmp_path, database, settings(changing, no_code)) as at:
        assert await at.refused_code(ONE) == "invalid"
        assert await at.refused_code(TWO) == "invalid"
        with pytest.raises(Refused, match="workflow 2 does not compile"):
            await at.package("2", "no_code")
        with pytest.raises(Refused, match="workflow 4 does not compile"):
            await at.package("4", "no_code")


async def test_a_workflow_without_code_is_compiled(tmp_path: Path, database: str, no_code: str) -> None:
    async with desk(tmp_path, database, LibrarySettings(no_code_url=no_code), sandbox=True) as at:
        package = await at.package("3")
        assert (package.symbols, package.timeframes) == (("BTCUSDT",), ("1h",))
        assert (await at.answered("GET", "/strategies/3?source=no_code"))["contract"] == "sdk"
        assert (await at.package("3")).version == package.version


async def test_tables_with_other_ids_and_fewer_columns_are_read_as_far_as_they_go(
    tmp_path: Path, database: str, databases: Databases
) -> None:
    url = databases.new()
    for statement in (
        "CREATE TABLE strategies (id serial, name text, code text, parameters text, tags json, created_at int)",
        "INSERT INTO strategies (name, code, parameters, tags, created_at) VALUES ('A', '# a', 'odd', '[\"x\", 1]', 5)",
    ):
        await afetch(url, statement)
    async with desk(tmp_path, database, LibrarySettings(ai_ml_url=url)) as at:
        package = await at.package("1")
        assert (package.name, package.code, package.state, package.tags) == ("A", "# a", "active", ("x",))
        assert (bytes(package.parameters), package.ts_created, package.ts_updated) == (b"{}", 0, 0)
        assert await at.ids(source="ai_ml") == ["1"]
        assert await at.refused_code("1", "no_code") == "not_found"


async def test_a_database_without_the_tables_is_away_and_the_others_are_not(
    tmp_path: Path, database: str, ai_ml: str, databases: Databases
) -> None:
    async with desk(tmp_path, database, settings(ai_ml, databases.new())) as at:
        page = await at.listed()
        assert [source for source, _ in page.away] == ["no_code"]
        assert "nocode_workflows" in page.away[0][1]
        assert page.total == 5
        assert (await at.package(ONE, "ai_ml")).code == "# one"
        # It may be there, too.
        assert await at.refused_code(ONE) == "unavailable"
        assert (await at.package("book_imbalance")).trusted
        assert await at.refused_code("1", "no_code") == "unavailable"
        assert await at.refused_code("no such") == "unavailable"
        report = await at.node.ref(LIBRARY).ask(Probe())
        assert (report.status, report.ready) == ("degraded", True)
        assert report.detail.startswith("no_code: ")


async def test_a_wrong_address_is_told_without_its_password(tmp_path: Path, database: str, ai_ml: str) -> None:
    wrong = "postgresql://someone:hunter2@127.0.0.1:1/nothing"
    async with desk(tmp_path, database, settings(ai_ml, wrong)) as at:
        [(source, why)] = (await at.listed()).away
        assert source == "no_code"
        assert "hunter2" not in why


def test_the_addresses_are_shown_without_their_passwords(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text("""
        [library]
        folder = "strategies"
        ai_ml_url = "postgresql://reader:hunter2@db:5432/ai_ml"
        no_code_url = "postgresql://reader:hunter3@db:5432/no_code"
    """)
    configuration = load(file, {"library": LibrarySettings}, {}, [])
    assert configuration.section("library").folder == str(tmp_path / "strategies")
    shown = str(configuration.resolved())
    assert "db:5432" in shown
    assert "hunter" not in shown
    names = [spec.name for spec in specs(configuration.section("library"))]
    assert names == ["strategy_sources", "library"]
    assert [spec.name for spec in specs(LibrarySettings())] == ["library"]


async def test_answers_are_kept_for_a_while_and_counted(
    tmp_path: Path, database: str, changing: str, no_code: str
) -> None:
    async with desk(tmp_path, database, settings(changing, no_code)) as at:
        assert (await at.package(ONE, "ai_ml")).code == "# one"
        await afetch(changing, "UPDATE strategies SET code = '# new' WHERE id::text = $1 RETURNING 1", ONE)
        assert (await at.package(ONE, "ai_ml")).code == "# one"
        text = (await at.node.metrics.scrape()).decode()
        assert 'troupe_library_cache_hits_total{source="ai_ml"} 1.0' in text
        assert 'troupe_library_cache_misses_total{source="ai_ml"} 1.0' in text


async def test_a_change_and_an_end_are_told_when_they_are_read(
    tmp_path: Path, database: str, changing: str, no_code: str
) -> None:
    async with desk(tmp_path, database, settings(changing, no_code, cache_s=0.0)) as at:
        old = (await at.package(ONE, "ai_ml")).version
        await afetch(changing, "UPDATE strategies SET code = '# new' WHERE id::text = $1 RETURNING 1", ONE)
        with at.node.open_tap((PackageChanged, None)) as tap:
            new = (await at.package(ONE, "ai_ml")).version
            assert new != old
            [change] = await told(tap, PackageChanged, 1)
            assert (change.strategy_id, change.version, change.removed) == (ONE, new, False)
            await afetch(changing, "DELETE FROM strategies WHERE id::text = $1 RETURNING 1", ONE)
            assert await at.refused_code(ONE, "ai_ml") == "not_found"
            assert await changes(tap, 1) == [(ONE, "ai_ml", True)]


def test_the_cache_keeps_the_newest_answers() -> None:
    cache = PackageCache(1.0, 2)
    packages = {name: Package(strategy_id=name, source="ai_ml", name=name, version="1") for name in "abc"}
    for at, name in enumerate("abc"):
        assert cache.keep("ai_ml", name, packages[name], at) is None
    assert len(cache) == 2
    assert cache.get("ai_ml", "a", 3) == (False, None)
    assert cache.get("ai_ml", "b", 3) == (True, packages["b"])
    assert cache.get("ai_ml", "b", 10**9 + 1) == (False, packages["b"])
    assert cache.get("no_code", "b", 3) == (False, None)
    assert cache.keep("ai_ml", "b", None, 5) == packages["b"]
    assert cache.get("ai_ml", "b", 5) == (False, None)


async def test_workflows_are_put_and_taken_out_and_asked_for_again_after_a_crash(tmp_path: Path, database: str) -> None:
    package = Package(strategy_id="w1", source="workflow", name="Drawn", version="1", code=CODE)
    async with desk(tmp_path, database) as at:
        with at.node.open_tap((PackageChanged, None)) as tap:
            assert (await at.ask(PutPackage(package))).changed
            assert await changes(tap, 1) == [("w1", "workflow", False)]
            assert not (await at.ask(PutPackage(package))).changed
            assert await at.package("w1") == package
            assert (await at.ask(PutPackage(package, removed=True))).changed
            assert await changes(tap, 1) == [("w1", "workflow", True)]
        assert await at.refused_code("w1") == "not_found"
        trusted = Package(strategy_id="w1", source="workflow", name="x", version="1", path="os:system")
        assert await at.refused(PutPackage(trusted)) == "invalid"
        other = Package(strategy_id="w1", source="own", name="x", version="1", code=CODE)
        assert await at.refused(PutPackage(other)) == "invalid"
        with at.node.open_tap((LibraryStarted, None)) as started:
            await at.kill(LIBRARY)
            await told(started, LibraryStarted, 1)


async def create_databases(url: str) -> tuple[str, str]:
    found = []
    for name, text in (("ai_ml", AI_ML), ("no_code", NO_CODE)):
        await afetch(url, f"CREATE DATABASE {name}")
        found.append(url.replace("/postgres?", f"/{name}?"))
        for statement in text.split(";"):
            if statement.strip():
                await afetch(found[-1], statement)
    return found[0], found[1]


async def until_back(at: Desk) -> None:
    with trio.fail_after(LIMIT_S):
        while (await at.listed()).away:
            await trio.lowlevel.checkpoint()


class Mortal:
    """A server that can be killed, and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def start(self) -> str:
        self.server = await trio.to_thread.run_sync(ServerThread, self.folder)
        return self.server.url

    async def kill(self) -> None:
        os.kill(int((self.folder / "cluster" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        await self.stop()

    async def stop(self) -> None:
        await trio.to_thread.run_sync(self.server.stop)


@pytest.fixture
async def mortal(tmp_path: Path) -> AsyncIterator[Mortal]:
    server = Mortal(tmp_path / "server")
    yield server
    await server.stop()


@pytest.mark.long
async def test_when_the_server_is_killed_the_library_goes_on_with_what_it_has(
    tmp_path: Path, database: str, mortal: Mortal
) -> None:
    ai_ml, no_code = await create_databases(await mortal.start())
    async with desk(tmp_path / "node", database, settings(ai_ml, no_code, cache_s=0.0)) as at:
        kept = await at.package(ONE, "ai_ml")
        own = (await at.create()).strategy_id
        await mortal.kill()
        page = await at.listed()
        assert [source for source, _ in page.away] == ["ai_ml", "no_code"]
        assert [each.strategy_id for each in page.packages] == [own, "book_imbalance", "moving_average_cross"]
        assert await at.package(ONE, "ai_ml") == kept
        assert await at.refused_code(TWO, "ai_ml") == "unavailable"
        assert (await at.package(own)).version == "1"
        for _ in range(3):
            # The breaker has opened by now, and what opened it is still told.
            assert "breaker" not in dict((await at.listed()).away)["ai_ml"]
        assert (await at.node.ref(LIBRARY).ask(Probe())).status == "degraded"
        await mortal.start()
        await until_back(at)
        assert (await at.package(TWO, "ai_ml")).code == "# two"
        assert (await at.node.ref(LIBRARY).ask(Probe())).status == "ok"


async def test_when_our_own_server_is_killed_strategies_are_written_all_the_same(
    tmp_path: Path, mortal: Mortal
) -> None:
    async with desk(tmp_path / "node", await mortal.start(), migrate=True) as at:
        one = (await at.create()).strategy_id
        await at.rows(1)
        await mortal.kill()
        assert (await at.ask(UpdateStrategy(strategy_id=one, name="B"))).version == 2
        assert (await at.create("C")).strategy_id == "c-3"
        assert (await at.package(one)).name == "B"
        assert await at.refused(GetVersion(one, 1)) == "unavailable"
        assert await at.refused(ListVersions(one)) == "unavailable"
        await mortal.start()
        await at.rows(3)
        assert (await at.ask(GetVersion(one, 1))).name == "Mean reversion"
        assert (await at.ask(ListVersions(one))).total == 2

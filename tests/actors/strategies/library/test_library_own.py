"""Strategies that are written over HTTP: versions, checks, and what is there after an end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import trio

from actors.strategies.library_requests import (
    ArchiveStrategy,
    CreateStrategy,
    GetVersion,
    ListVersions,
    RestoreVersion,
    UpdateStrategy,
)
from actors.strategies.library_validation import checked_parameters
from actors.strategies.package import LIBRARY, MOST_CODE, LibraryStarted, PackageChanged
from protocols.control import Probe, Refused
from tests.actors.storage.kit import afetch
from tests.actors.strategies.library.stage import BROKEN, CODE, WITH_PERIOD, changes, desk, told


async def test_a_new_strategy_is_checked_stored_and_told(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database, sandbox=True) as at:
        with at.node.open_tap((PackageChanged, None)) as tap:
            made = await at.create(tags=("a", "b", "a"), parameters=msgspec.Raw(b'{"period": 3}'))
            assert await changes(tap, 1) == [(made.strategy_id, "own", False)]
        assert (made.strategy_id, made.version, made.state) == ("mean-reversion-1", 1, "active")
        assert (made.warnings, made.check_missing) == ((), "")
        package = await at.package(made.strategy_id)
        assert (package.source, package.name, package.version, package.code) == ("own", "Mean reversion", "1", CODE)
        assert (package.tags, bytes(package.parameters)) == (("a", "b"), b'{"period":3}')
        assert package.ts_created == package.ts_updated == made.ts
        assert await at.ids(source="own") == [made.strategy_id]


async def test_without_a_sandbox_a_strategy_is_a_draft_and_says_why(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        made = await at.create()
        assert made.state == "draft"
        assert made.check_missing == "the code was not checked: no sandbox runs on this node"


async def test_code_that_cannot_run_is_refused_with_every_problem(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database, sandbox=True) as at:
        with pytest.raises(Refused, match=r"line 1: .*\(syntax\)") as caught:
            await at.create(code=BROKEN)
        assert (caught.value.code, caught.value.field) == ("invalid", "code")
        made = await at.create(code=WITH_PERIOD, parameters=msgspec.Raw(b'{"perod": 3}'))
        assert [(each.rule, each.field) for each in made.warnings] == [("undeclared", "perod")]
        assert await at.ids(source="own") == [made.strategy_id]


WRONG: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    ({"name": " "}, "name"),
    ({"name": "x" * 256}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"description": "x" * 1001}, "description"),
    ({"code": "#" * (MOST_CODE + 1)}, "code"),
    ({"code": "x = '\0'"}, "code"),
    ({"code": "\ud800"}, "code"),
    ({"code": " \n"}, "code"),
    ({"tags": ("x",) * 21}, "tags"),
    ({"tags": ("a", "")}, "tags.1"),
    ({"symbols": ("x" * 201,)}, "symbols.0"),
    ({"parameters": msgspec.Raw(b"[1]")}, "parameters"),
    ({"parameters": msgspec.Raw(b'{"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}")}, "parameters"),
    ({"parameters": msgspec.Raw(b'{"a": [[[[[[[[[1]]]]]]]]]}')}, "parameters.a"),
    ({"state": "archived"}, "state"),
)


async def test_what_a_strategy_may_not_be_is_refused_with_its_field(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        for fields, field in WRONG:
            with pytest.raises(Refused) as caught:
                await at.ask(CreateStrategy(**({"name": "A", "code": CODE} | fields)))
            assert (caught.value.code, caught.value.field) == ("invalid", field), fields.keys()


async def test_a_version_that_does_not_fit_into_the_log_is_refused(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database, segment_bytes=64 << 10) as at:
        assert await at.refused(CreateStrategy(name="A", code="#" * MOST_CODE)) == "too_large"
        assert (await at.create()).strategy_id == "mean-reversion-1"


def test_parameters_are_kept_in_one_spelling() -> None:
    assert bytes(checked_parameters(msgspec.Raw(b' { "a" : 1, "a": 2.50 } '))) == b'{"a":2.5}'


async def test_every_change_is_a_version_that_can_be_read_and_restored(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database, sandbox=True) as at:
        one = (await at.create(description="first")).strategy_id
        two = await at.ask(UpdateStrategy(strategy_id=one, code=f"# 2\n{CODE}"))
        assert two.version == 2
        three = await at.ask(UpdateStrategy(strategy_id=one, description="third", tags=("x",), expected_version=2))
        assert three.version == 3
        assert (await at.package(one)).code == f"# 2\n{CODE}"
        assert (await at.package(one, version="1")).code == CODE
        assert (await at.ask(GetVersion(one, 2))).description == "first"
        four = await at.ask(RestoreVersion(one, 1))
        newest = await at.package(one)
        assert (four.version, newest.version, newest.code, newest.description) == (4, "4", CODE, "first")
        assert newest.tags == ()
        listed = await at.ask(ListVersions(one, 3, 0))
        assert listed.total == 4
        assert [(each.version, each.change, each.restored_from) for each in listed.versions] == [
            (4, "restored", 1),
            (3, "updated", 0),
            (2, "updated", 0),
        ]
        [first] = (await at.ask(ListVersions(one, 3, 3))).versions
        assert first.code_sha == listed.versions[0].code_sha != listed.versions[1].code_sha
        assert first.code_bytes == len(CODE)
        assert await at.refused(GetVersion(one, 5)) == "not_found"
        assert await at.refused(GetVersion(one, 0)) == "not_found"
        assert await at.refused(GetVersion("none", 1)) == "not_found"
        assert await at.refused(RestoreVersion(one, 9)) == "not_found"
        assert await at.refused(UpdateStrategy(strategy_id=one, name="B", expected_version=3)) == "conflict"
        assert await at.refused(UpdateStrategy(strategy_id=one, code=BROKEN)) == "invalid"


async def test_an_archived_strategy_is_hidden_until_a_version_is_restored(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        one = (await at.create()).strategy_id
        with at.node.open_tap((PackageChanged, None)) as tap:
            archived = await at.ask(ArchiveStrategy(one))
            assert await changes(tap, 1) == [(one, "own", True)]
        assert (archived.version, archived.state) == (2, "archived")
        assert (await at.ask(ArchiveStrategy(one))).version == 2
        assert await at.ids(source="own") == []
        assert await at.ids(source="own", state="archived") == await at.ids(source="own", state="all") == [one]
        assert (await at.package(one)).state == "archived"
        assert await at.refused(UpdateStrategy(strategy_id=one, name="B")) == "conflict"
        assert (await at.ask(RestoreVersion(one, 2))).state == "active"
        assert await at.ids(source="own", state="active") == [one]
        assert await at.refused(ArchiveStrategy("book_imbalance")) == "not_own"


async def test_after_a_crash_and_after_a_restart_of_the_node_all_versions_are_there(
    tmp_path: Path, database: str
) -> None:
    async with desk(tmp_path, database) as at:
        ids = [(await at.create(f"S {number}")).strategy_id for number in range(150)]
        await at.ask(UpdateStrategy(strategy_id=ids[7], code=f"# 2\n{CODE}"))
        with at.node.open_tap((LibraryStarted, None)) as tap:
            await at.kill(LIBRARY)
            await told(tap, LibraryStarted, 1)
        assert (await at.package(ids[7])).version == "2"
        assert (await at.listed(source="own", limit=1)).total == 150
    async with desk(tmp_path, database) as at:
        assert (await at.package(ids[7])).version == "2"
        assert (await at.package(ids[149], "own")).name == "S 149"
        assert (await at.ask(UpdateStrategy(strategy_id=ids[7], name="Other"))).version == 3
        assert (await at.create("S 0")).strategy_id == "s-0-153"


async def test_two_writers_who_start_from_one_version_do_not_overwrite_each_other(
    tmp_path: Path, database: str
) -> None:
    async with desk(tmp_path, database) as at:
        one = (await at.create()).strategy_id
        outcomes: list[str] = []

        async def write(name: str) -> None:
            try:
                await at.ask(UpdateStrategy(strategy_id=one, name=name, expected_version=1))
            except Refused as refused:
                outcomes.append(refused.code)
            else:
                outcomes.append("stored")

        async with trio.open_nursery() as nursery:
            for name in "ABC":
                nursery.start_soon(write, name)
        assert sorted(outcomes) == ["conflict", "conflict", "stored"]


@pytest.mark.long
async def test_what_the_database_has_lost_is_told_and_the_rest_is_there(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        await at.create("A")
        two = (await at.create("B")).strategy_id
        await at.rows(2)
    await afetch(database, "DELETE FROM strategy_versions WHERE seq = 2 RETURNING 1")
    async with desk(tmp_path, database, patience_s=0.1) as at:
        [(source, why)] = (await at.listed(source="own")).away
        assert (source, why) == ("own", "the database has strategy_versions up to 1, the log up to 2")
        assert await at.ids(source="own") == ["a-1"]
        assert (await at.create("C")).strategy_id == "c-3"
    await afetch(database, "DROP TABLE strategy_versions")
    async with desk(tmp_path, database, patience_s=0.1) as at:
        assert await at.refused(UpdateStrategy(strategy_id=two, name="C")) == "unavailable"
        [(source, why)] = (await at.listed(source="own")).away
        assert source == "own"
        assert "strategy_versions" in why
        assert (await at.node.ref(LIBRARY).ask(Probe())).status == "degraded"
        assert (await at.package("book_imbalance")).trusted

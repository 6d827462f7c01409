"""What was learned survives: in the tables as people read them, after kills, without the log, without a database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import msgspec
import pytest
import trio

from actors.execution import capability as execution
from actors.signals import capability as signals
from actors.storage import capability as storage
from actors.storage.embedded import server_url
from actors.thresholds import capability
from actors.thresholds.records import replay
from protocols.control import Refused
from protocols.paths import STORAGE_POSTGRES, STORAGE_WRITER
from protocols.thresholds import CHANGES, AdaptationRecord, GetRecords, ThresholdLessonRow
from runtime import ChildSpec, NodeSettings
from runtime.capability import Whole
from runtime.clock import SystemClock
from runtime.segments import list_segments
from runtime.settings import Configuration
from tests.actors.databases import Databases
from tests.actors.storage.kit import afetch, copy_cluster
from tests.actors.storage.test_storage import moved, pid_of
from tests.actors.thresholds.stage import LIMIT_S, QUIET, Stage, stage, until

ROOT = Path(__file__).parents[3]


async def test_the_tables_say_what_is_served_and_every_move_can_be_computed_again(
    tmp_path: Path, database: str
) -> None:
    async with stage(tmp_path, url=database) as at:
        first = 1
        for _ in range(8):
            first = await at.teach(30, first=first)
            await at.adapt(force=True)
        await at.teach(5, user="ben", symbol="")
        await moved(at.node)
        rows = await afetch(
            database,
            "SELECT parameter_name, current_value, initial_value, candidate_value, version FROM adaptive_thresholds "
            "WHERE user_id = 'anna' AND symbol = 'BTC'",
        )
        shown = {each.name: each for each in (await at.view()).thresholds}
        assert {name: value for name, value, *_ in rows} == {name: each.value for name, each in shown.items()}
        assert shown["confidence"].value > shown["confidence"].initial == 0.65
        found = await afetch(
            database, "SELECT record FROM adaptation_events WHERE parameter_name = 'confidence' ORDER BY seq, ts"
        )
        records = [msgspec.json.decode(record, type=AdaptationRecord) for (record,) in found]
        records.sort(key=lambda record: int(record.id.rpartition("#")[2]))
        again = replay(records, 0.65, 0.65)
        assert again == (shown["confidence"].value, shown["confidence"].candidate)
        own = (await at.records(user_id="anna", symbol="BTC", limit=500)).records
        assert {record.id: record for record in own if record.parameter == "confidence"} == {
            record.id: record for record in records
        }
        # One state of a user and symbol, and no lesson that is in it.
        assert await afetch(database, "SELECT count(*) FROM threshold_states WHERE user_id = 'anna'") == [(1,)]
        assert await afetch(database, "SELECT count(*) FROM rejected_rows") == [(0,)]


async def test_the_key_of_a_threshold_is_unique_without_a_symbol_too(database: str) -> None:
    insert = (
        "INSERT INTO adaptive_thresholds VALUES "
        "('u', '', 'volume', 1e10, 1e9, 1e9, 1.23456789012e10, 1, 1, NULL, 1, 1, false, 0, 0, 1, 1, 1)"
    )
    await afetch(database, insert)
    assert await afetch(database, "SELECT current_value, candidate_value FROM adaptive_thresholds") == [
        (1e10, 1.23456789012e10)
    ]
    with pytest.raises(asyncpg.UniqueViolationError):
        await afetch(database, insert)


async def forget_in_the_log(at: Stage) -> None:
    """Make the log roll on until nothing of anna's is left in it."""
    log = at.node.require_log()
    before = list_segments(log.directory)[-1]
    while list_segments(log.directory)[0] <= before:
        for _ in range(10):
            seq = log.last_seq(CHANGES) + 1
            log.append(
                ThresholdLessonRow(
                    stream=CHANGES, seq=seq, ts=1, user_id="filler", symbol="", outcome_seq=seq, signal_id="",
                    lesson=bytes(8_000),
                )
            )  # fmt: skip
        await moved(at.node)


async def test_what_the_log_has_no_more_is_read_from_the_database(
    tmp_path: Path, database: str, databases: Databases
) -> None:
    settings = msgspec.structs.replace(QUIET, retry_s=0.05)
    async with stage(tmp_path, settings, url=database, segment_bytes=64 << 10) as at:
        first = await at.teach(230)
        await at.adapt(force=True)
        await at.teach(7, first=first)
        shown = await at.view()
        records = (await at.records(user_id="anna", limit=500)).records
        await forget_in_the_log(at)
    # Without a database nothing is known of him: defaults, and nobody learns on top of them.
    name = database.rpartition("/")[2].partition("?")[0]
    later = database.replace(f"/{name}?", f"/{name}_later?")
    async with stage(tmp_path, settings, url=later, segment_bytes=64 << 10, clock=SystemClock()) as at:
        verdict = await at.evaluate()
        assert verdict.provisional
        assert dict(verdict.thresholds)["confidence"] == 0.65
        view = await at.view()
        assert view.provisional
        assert "cannot be read" in view.remark
        with pytest.raises(Refused) as refused:
            await at.learn(first + 7, 0.1, 0.9)
        assert refused.value.code == "unavailable"
        assert (await at.records(user_id="anna")).remark
        # The database comes, and has what it had: the next verdict but one is by what was stored.
        databases.copy(database, f"{name}_later")

        async def known() -> bool:
            return not (await at.evaluate()).provisional

        await until(known)
        assert dict((await at.evaluate()).thresholds) == shown.values
        assert (await at.view()) == shown
        found = await at.records(user_id="anna", limit=500)
        assert (found.records, found.remark) == (records, "")
        assert (await at.learn(first + 7, 0.1, 0.9)).new
        assert not (await at.learn(first + 6, 0.1, 0.9)).new


async def learn_through(at: Stage, kills: list[str]) -> int:
    """Learn while the processes behind these paths are killed; returns how many outcomes were taken."""
    taken = 0
    for path in kills:
        pid = await pid_of(at.node, path)
        taken = await at.teach(60, first=taken + 1) - 1
        os.kill(pid, signal.SIGKILL)
        taken = await at.teach(60, first=taken + 1) - 1
        await at.kill_user()
        taken = await at.teach(20, first=taken + 1) - 1
        await pid_of(at.node, path, but=pid)
    return taken


@pytest.fixture
def data(threshold_cluster: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    copy_cluster(threshold_cluster, folder / "postgres")
    return folder


def embedded(folder: Path) -> tuple[ChildSpec, ...]:
    """The whole storage branch, with its own server in this folder."""
    configuration = Configuration({"node": NodeSettings(data_dir=str(folder)), "database": storage.Settings()}, {})
    others = (signals, execution, capability)
    migrations = (str(storage.OWN_MIGRATIONS), *(str(each.migrations) for each in others))
    return tuple(storage.children(configuration, Whole(migrations=migrations)))


async def test_nothing_is_lost_or_learned_twice_through_kills_of_the_writer_and_the_database(data: Path) -> None:
    async with stage(data, others=embedded(data), clock=SystemClock()) as at:
        taken = await learn_through(at, [STORAGE_WRITER, STORAGE_POSTGRES])
        shown = await at.view()
        assert {each.name: each.received for each in shown.thresholds}["rsi"] <= taken
        await moved(at.node)
        url = storage_url(data)
        assert await afetch(url, "SELECT count(*) FROM rejected_rows") == [(0,)]
        stored = await afetch(url, "SELECT outcome_seq FROM threshold_states WHERE user_id = 'anna'")
        lessons = await afetch(url, "SELECT max(outcome_seq) FROM threshold_lessons WHERE user_id = 'anna'")
        assert max(stored[0][0], lessons[0][0] or 0) == taken
        assert len(stored) == 1
        await at.kill_user()
        assert (await at.view()) == shown
        reference = await undisturbed(data / "other", taken)
        assert [each.received for each in shown.thresholds] == reference


def storage_url(data: Path) -> str:
    return server_url(data / "postgres")


async def undisturbed(folder: Path, count: int) -> list[int]:
    """How many outcomes each threshold has received where nothing was killed."""
    async with stage(folder) as at:
        await at.teach(count)
        return [each.received for each in (await at.view()).thresholds]


NODE = """
import sys, trio
from pathlib import Path
from tests.actors.thresholds.stage import stage

async def main():
    async with stage(Path(sys.argv[1])) as at:
        seq = int(sys.argv[2])
        while True:
            await at.teach(1, first=seq)
            if seq % 40 == 0:
                await at.adapt(force=True)
            print('taken', seq, flush=True)
            seq += 1

trio.run(main)
"""


def learn_and_be_killed(folder: Path, first: int, lines: int) -> int:
    """Kill -9 a node that learns after so many outcomes; the last one that it has said it took."""
    said = first - 1
    command = [sys.executable, "-c", NODE, str(folder), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as node:
        assert node.stdout is not None
        for line in node.stdout:
            if line.startswith(b"taken "):
                said = int(line.split()[1])
                lines -= 1
                if not lines:
                    node.kill()  # what it has said until then is read on
    return said


async def test_what_was_answered_survives_kill_9_of_the_node(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    taken = await trio.to_thread.run_sync(learn_and_be_killed, folder, 1, 230)
    async with stage(folder) as at:
        # It may have taken one more than it could say.
        assert not (await at.learn(taken, 0.1, 0.9)).new
        assert (await at.learn(taken + 2, None, 0.9)).new
        view = {each.name: each for each in (await at.view()).thresholds}
        assert taken + 1 <= view["confidence"].received <= taken + 2
        assert view["confidence"].version >= 1
        records = (await at.roster.ask(GetRecords(user_id="anna", limit=1000), LIMIT_S)).records
        own = [record for record in reversed(records) if record.parameter == "confidence"]
        own.sort(key=lambda record: int(record.id.rpartition("#")[2]))
        assert replay(own, 0.65, 0.65) == (view["confidence"].value, view["confidence"].candidate)

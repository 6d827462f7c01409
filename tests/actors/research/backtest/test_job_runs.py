"""Backtests that run: children of the tree, in the node and in workers, cancelled, killed and lost."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors.research.backtest.job_lines import ORDERS, REPORT
from actors.research.backtest.job_queue import MOST_ATTEMPTS, JobQueue
from actors.research.backtest.job_run import PIECE_BYTES, StorePiece
from actors.research.backtest.report import decode, encode
from actors.research.backtest.settings import BacktestSettings
from protocols.backtests import BACKTESTS, RUNS, BacktestChanged, BacktestJob, GetBacktest, SubmitBacktest
from protocols.control import Refused, Unknown
from runtime import HostOptions, KillChild
from runtime.cluster.local_state import read_state
from runtime.cluster.settings import ClusterSettings
from runtime.orphans import processes, read_process
from runtime.tree import ActorView
from tests.actors.research.backtest.desk import Desk, desk
from tests.actors.research.backtest.test_jobs import csv_of_bars
from tests.actors.research.backtest.test_jobs import job as a_job
from tests.runtime.cluster.conftest import cluster as cluster

LIMIT_S = 60.0
SLOW: dict[str, Any] = {"method": {"grid": {"fast": list(range(2, 60)), "slow": list(range(60, 200))}}}
PROCESS = BacktestSettings(processes=1, placement="process")


def spec_of(folder: Path, bars: int = 3000, **changes: Any) -> msgspec.Raw:
    path = folder / "bars.csv"
    path.write_bytes(csv_of_bars(bars))
    strategy = {"name": "moving_average_cross", "family": "f", "parameters": {"interval": "1d", "fast": 3, "slow": 9}}
    data = [{"path": str(path), "market": "A"}]
    return msgspec.Raw(msgspec.json.encode({"strategy": strategy, "data": data, **changes}))


async def submitted(at: Desk, spec: msgspec.Raw) -> str:
    await at.answered("GET", "/backtests")
    return str((await at.node.ref(BACKTESTS).ask(SubmitBacktest(spec=spec), 5.0)).job.job_id)


async def state_of(at: Desk, job_id: str) -> BacktestJob:
    """A job as it stands, once it is read back."""
    with trio.fail_after(LIMIT_S):
        while True:
            try:
                return (await at.node.ref(BACKTESTS).ask(GetBacktest(job_id))).job
            except (Refused, Unknown):
                await trio.sleep(0.02)


async def ran(at: Desk, job_id: str, attempts: int = 1) -> ActorView:
    """The run of a job in the tree, once its process has said something."""
    with at.node.open_tap((BacktestChanged, job_id)) as tap, trio.fail_after(LIMIT_S):
        while True:
            job = await state_of(at, job_id)
            if (job.state, job.attempts) == ("running", attempts) and job.progress > 0:
                break
            await tap.receive()
    tree = at.node.tree(RUNS)
    assert tree is not None
    [run] = tree.children
    assert run.name.startswith(f"{job_id}.")
    return run


def process_of(run: ActorView) -> int:
    """The job's own process: a child of the process in which its run is."""
    found = re.search(r"process (\d+)", run.worker)
    parent = int(found[1]) if found else os.getpid()
    [process] = [
        entry.pid
        for entry in processes()
        if entry.parent == parent and b"backtest.job_main" in Path(f"/proc/{entry.pid}/cmdline").read_bytes()
    ]
    return process


def ended(pid: int) -> bool:
    """Whether a process is dead."""
    entry = read_process(pid)
    return entry is None or entry.dead


async def gone(at: Desk, pid: int) -> None:
    """Wait until a process and all runs have ended."""
    with trio.fail_after(LIMIT_S):
        while not ended(pid) or at.node.tree(RUNS).children:  # type: ignore[union-attr]  # noqa: ASYNC110
            await trio.sleep(0.02)


PLACES = [
    pytest.param(BacktestSettings(processes=1), id="local"),
    pytest.param(PROCESS, marks=pytest.mark.long, id="process"),
]


@pytest.mark.parametrize("settings", PLACES)
async def test_a_job_that_runs_is_a_child_of_the_tree_and_cancelling_it_ends_its_process(
    settings: BacktestSettings, tmp_path: Path, database: str
) -> None:
    async with desk(tmp_path, database, settings) as at:
        job_id = await submitted(at, spec_of(tmp_path, **SLOW))
        run = await ran(at, job_id)
        assert run.placement == settings.placement
        assert run.restart == "temporary"
        pid = process_of(run)
        assert (await at.answered("POST", f"/backtests/{job_id}/cancel"))["status"] == "cancelled"
        await gone(at, pid)
        # What was cancelled can be begun again.
        await at.answered("POST", f"/backtests/{job_id}/run", 202)
        assert (await ran(at, job_id)).name != run.name
        assert (await at.answered("POST", f"/backtests/{job_id}/cancel"))["status"] == "cancelled"


@pytest.mark.parametrize("settings", PLACES)
async def test_a_job_whose_process_is_killed_has_failed_and_the_next_one_runs(
    settings: BacktestSettings, tmp_path: Path, database: str
) -> None:
    async with desk(tmp_path, database, settings) as at:
        job_id = await submitted(at, spec_of(tmp_path, **SLOW))
        pid = process_of(await ran(at, job_id))
        os.kill(pid, signal.SIGKILL)
        done = await at.ended(job_id)
        assert (done["status"], done["error_message"]) == ("failed", "its process was ended by SIGKILL")
        following = await at.ended(await submitted(at, spec_of(tmp_path, bars=200)))
        assert following["status"] == "completed"
        await gone(at, pid)


@pytest.mark.long
async def test_a_job_whose_worker_is_killed_runs_again_until_it_has_had_its_turns(
    tmp_path: Path, database: str
) -> None:
    async with desk(tmp_path, database, PROCESS) as at:
        job_id = await submitted(at, spec_of(tmp_path, **SLOW))
        for attempt in range(1, MOST_ATTEMPTS + 1):
            run = await ran(at, job_id, attempt)
            pid = process_of(run)
            found = re.search(r"process (\d+)", run.worker)
            assert found is not None
            os.kill(int(found[1]), signal.SIGKILL)
            with trio.fail_after(LIMIT_S):
                while not ended(pid):  # noqa: ASYNC110 - a process ends without an event
                    await trio.sleep(0.02)
        done = await at.ended(job_id)
        assert done["status"] == "failed"
        assert done["error_message"].startswith(f"what it ran on was lost {MOST_ATTEMPTS} times: worker ")
        assert "SIGKILL" in done["error_message"]


async def results(at: Desk, job_id: str) -> tuple[bytes, bytes]:
    """The report and the orders of a job in the node's folder; of the report without what is of this one run."""
    done = await at.ended(job_id)
    assert (done["status"], done["error_message"]) == ("completed", None)
    folder = Path(at.node.settings.data_dir) / "backtests" / job_id
    assert sorted(file.name for file in folder.iterdir()) == sorted([ORDERS, REPORT])
    packed = (folder / REPORT).read_bytes()
    report = decode(packed)
    assert report.run.run_id == job_id
    assert encode(report) == packed
    run = msgspec.structs.replace(report.run, run_id="", elapsed_s=0.0)
    return encode(msgspec.structs.replace(report, run=run, elapsed_s=0.0)), (folder / ORDERS).read_bytes()


@pytest.mark.long
async def test_a_job_in_a_worker_comes_to_the_same_as_one_in_the_node_byte_for_byte(
    tmp_path: Path, database: str
) -> None:
    spec = spec_of(tmp_path, bars=6000, seed=5)
    found = []
    for name, settings in (("local", BacktestSettings()), ("process", PROCESS)):
        async with desk(tmp_path / "node", database, settings) as at:
            found.append(await results(at, await submitted(at, spec)))
        assert len(found[-1][0]) > PIECE_BYTES, f"{name}: more than one piece"
    assert found[0] == found[1]


async def test_a_job_in_a_worker_without_its_data_says_which_path_all_machines_have_to_share(
    tmp_path: Path, database: str
) -> None:
    spec = spec_of(tmp_path)
    (tmp_path / "bars.csv").unlink()
    async with desk(tmp_path / "node", database, PROCESS) as at:
        done = await at.ended(await submitted(at, spec))
        assert done["status"] == "failed"
        expected = f"unreadable: expected {tmp_path / 'bars.csv'} on every machine that backtests run on, got none on "
        assert done["error_message"].startswith(expected)


async def test_a_piece_that_nobody_waits_for_is_refused(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        await at.answered("GET", "/backtests")
        piece = StorePiece(job_id="bt_0", run=1, name="../../x", offset=0, content=b"x", last=True)
        with pytest.raises(Refused, match="nobody waits"):
            await at.node.ref(BACKTESTS).ask(piece)


def test_a_job_that_lost_its_place_waits_again_behind_the_others() -> None:
    queue = JobQueue(1)
    for name in "ab":
        queue.add(a_job(name))
    assert queue.next(1).job_id == "a"  # type: ignore[union-attr]
    again: BacktestJob = queue.again("a", "a power cut", 2)
    assert (again.state, again.place, again.attempts) == ("queued", 2, 1)


@pytest.mark.parametrize("placement", ["", "node", ["local", "ray"]])
def test_a_place_that_is_none_is_an_error_of_the_settings(placement: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"placement": placement}, BacktestSettings)


@pytest.mark.long
async def test_a_job_on_a_cluster_comes_to_the_same_and_runs_again_when_its_worker_is_killed(
    tmp_path: Path, database: str, cluster: Path
) -> None:
    spec = spec_of(tmp_path, seed=5)
    async with desk(tmp_path / "node", database) as at:
        local = await results(at, await submitted(at, spec))
    settings = BacktestSettings(processes=1, placement="ray", host=HostOptions(cpus=0.5, spread=True))
    state = read_state(cluster)
    assert state is not None
    where = ClusterSettings(address=state.address, token_file=state.token_file)
    async with desk(tmp_path / "node", database, settings, cluster=where) as at:
        assert await results(at, await submitted(at, spec)) == local
        job_id = await submitted(at, spec_of(tmp_path, **SLOW))
        run = await ran(at, job_id)
        found = re.search(r"process (\d+)", run.worker)
        assert found is not None
        assert run.placement == "ray"
        os.kill(int(found[1]), signal.SIGKILL)
        assert (await ran(at, job_id, 2)).worker != run.worker
        await at.answered("POST", f"/backtests/{job_id}/cancel")


@pytest.mark.long
async def test_when_the_keeper_of_the_jobs_crashes_what_ran_is_ended_and_begun_anew(
    tmp_path: Path, database: str
) -> None:
    async with desk(tmp_path, database, PROCESS) as at:
        job_id = await submitted(at, spec_of(tmp_path, **SLOW))
        run = await ran(at, job_id)
        pid = process_of(run)
        above, _, name = BACKTESTS.rpartition("/")
        await at.node.ref(above).ask(KillChild(name))
        again = await ran(at, job_id, 2)
        assert again.name != run.name
        assert ended(pid)
        assert (await at.answered("POST", f"/backtests/{job_id}/cancel"))["status"] == "cancelled"

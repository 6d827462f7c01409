"""The benchmark of actors in other processes at a tiny size, and the simulation that reads it. No speed is judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import cluster, cluster_troupe, link, machine, report, scale
from benchmarks.harness import QUICK, Findings, Row

COSTS = scale.Costs(turn=20.0, frame=10.0, message=0.7, rest=600.0, cold=10.0, way=100.0)


# What is measured.


@pytest.mark.long
def test_messages_and_asks_to_a_worker_are_timed() -> None:
    sample = cluster_troupe.calls("process", "", messages=2_000, asks=64)
    assert min(sample[name] for name in ("messages/s", "node µs/message", "p50", "p99", "node µs/ask", "asks/s")) > 0


@pytest.mark.long
def test_a_killed_worker_is_timed_until_another_answers() -> None:
    sample = cluster_troupe.kills("process", "", count=1)
    assert sample["worst"] == sample["median"] > 0


@pytest.mark.long
def test_what_is_published_reaches_every_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_troupe, "BURST", 64)
    sample = cluster_troupe.topic("process", "", published=128, rate=200.0, seconds=0.1)
    for case in cluster.CASES:
        assert sample[f"{case} published/s"] > 0
        assert 0 < sample[f"{case} p50"] <= sample[f"{case} p99"]


@pytest.mark.long
def test_a_publish_that_nobody_wants_is_timed_in_the_node_and_in_a_worker() -> None:
    sample = cluster_troupe.unwanted("process", "", count=100)
    assert min(sample["alone"], sample["beside"], sample["worker"]) > 0


@pytest.mark.long
def test_workers_are_weighed_and_share_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_troupe, "LOOK_S", 0.1)
    sample = cluster_troupe.workers("process", "", count=2, messages=400, busy_us=10, rates=[200.0])
    figures = ("start", "pss", "rss", "light/s", "heavy/s", "200 busy", "200 p50")
    assert min(sample[name] for name in figures) > 0
    assert sample["gateway"] == 0


@pytest.mark.long
def test_a_turn_of_every_side_has_all_that_the_rows_need(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = cluster.run(QUICK)
    assert len({row.figure for row in findings.rows}) > 90
    assert scale.measured_costs(findings.rows, "ray").message > 0


# The rows.


def found(own: float = 2.0, peer: float = 1.0) -> cluster.Found:
    parts = ["messages/s", "node µs/message", "p50", "p99", "node µs/ask", "asks/s"]
    names = [f"calls {part}" for part in parts] + ["kills median", "kills worst"]
    names += [f"unwanted {part}" for part in ("alone", "beside", "worker")] + ["topic 0 published/s"]
    names += [f"topic {case} {part}" for case in cluster.CASES for part in ("published/s", "node µs", "p50", "p99")]
    of_workers = ["start", "pss", "rss", "light/s", "heavy/s", "node µs/message", "idle ms/s", "gateway"]
    of_workers += [f"{rate:g} {part}" for rate in cluster.RATES for part in ("busy", "p50", "p99")]
    names += [f"{count} {part}" for count in cluster.COUNTS for part in of_workers]
    ways = ["all/s", "last/s", "window/s", "packed/s", "numbers/s", "p50", "p99", "waves/s", "askers/s"]
    theirs = [f"calls {way}" for way in ways] + ["kills median", "kills worst"]
    theirs += [f"{count} {part}" for count in cluster.COUNTS for part in of_workers[:5]]
    values = dict.fromkeys(names, (own, own))
    return {"process": values, "ray": values, cluster.RAY: dict.fromkeys(theirs, (peer, peer))}


def test_a_target_is_held_against_the_fastest_way_of_the_peer() -> None:
    measured = found(own=100.0, peer=1.0)
    measured[cluster.RAY]["calls window/s"] = (4.0, 4.0)
    rows = cluster.found_in(measured, QUICK).rows
    told = next(row for row in rows if row.figure == "ray: tell" and row.target is not None)
    assert told.ratio == 25
    assert report.verdict(told) == "missed by 50.0%"
    notes = cluster.found_in(measured, QUICK).notes
    assert any("ray.get of every thousandth" in note for note in notes)


def test_the_worst_of_all_kills_is_shown() -> None:
    measured = found()
    measured["process"]["kills worst"] = (3.0, 9.0, 4.0)
    (row,) = (
        row
        for row in cluster.found_in(measured, QUICK).rows
        if row.figure.startswith("process: kill") and "worst" in row.figure
    )
    assert row.median == 9.0
    assert row.figure.endswith(f"worst of {3 * cluster.KILLS['process']}")


# The simulation.


def test_the_same_seed_gives_the_same_outcome_and_another_one_another() -> None:
    once, again = (scale.simulate(COSTS, 4, 4_000, 2_000, seed=1) for _ in range(2))
    assert once == again
    assert once != scale.simulate(COSTS, 4, 4_000, 2_000, seed=2)


def test_a_lone_message_costs_its_turn_and_waits_for_nothing_else() -> None:
    costs = scale.Costs(turn=20.0, frame=10.0, message=1.0, rest=0.0, way=100.0, worker_turn=40.0, worker_message=5.0)
    outcome = scale.simulate(costs, 1, 10.0, 200)
    assert outcome.loop_p50 == pytest.approx(31.0)
    assert outcome.handler_p50 == pytest.approx(176.0)
    # Three turns: to send, to hear of the begin, and to hear of the end.
    assert outcome.busy == pytest.approx(10.0 * (31.0 + 30.0 + 30.0) / 1e6, rel=0.2)


def test_what_comes_fast_is_taken_in_larger_portions() -> None:
    slow, fast = (scale.steady(COSTS, 1, rate) for rate in (1_000.0, 200_000.0))
    assert fast.counts[0] / 200_000 < slow.counts[0] / 1_000 / 10
    assert not fast.used_up


@pytest.mark.long
def test_a_node_is_used_up_by_messages_by_receivers_and_by_workers_at_rest() -> None:
    few, many, most = (scale.capacity(COSTS, workers) for workers in (1, 128, 4_096))
    assert few > many > most
    assert 0.5e6 < few < 1e6 / COSTS.message
    assert scale.capacity(COSTS, 128, fanout=10) < many
    assert most == 0


def test_nodes_that_share_the_work_are_less_busy() -> None:
    one, four = (scale.partition(COSTS, nodes, 16, 10_000.0) for nodes in (1, 4))
    assert four.busy < one.busy
    assert four.loop_p99 <= one.loop_p99


@pytest.mark.parametrize("fanout", [0, 3])
def test_a_message_cannot_have_more_receivers_than_there_are_workers(fanout: int) -> None:
    with pytest.raises(ValueError, match=f"a message has 1 to 2 receivers, got {fanout}"):
        scale.simulate(COSTS, 2, 1_000.0, 100, fanout=fanout)


def test_factors_are_found_and_none_is_negative() -> None:
    rows = np.array([[3.0, 2.0, 1.0], [5.0, 7.0, 0.5], [9.0, 11.0, 0.1], [2.0, 8.0, 0.3]])
    assert scale.not_negative(rows, rows @ np.array([2.0, 0.5, 4.0])) == pytest.approx((2.0, 0.5, 4.0))
    turn, frame, cold = scale.not_negative(rows, rows @ np.array([2.0, -0.1, 4.0]))
    assert min(turn, frame, cold) >= 0


def rows_of(costs: scale.Costs) -> tuple[Row, ...]:
    """What the benchmark would have found of a node with these costs."""
    rows = []
    for count in cluster.COUNTS:
        about = cluster.of_workers("ray", count)
        rows += [
            Row(f"{about}: the node's part of a message", "µs/message", (costs.message,)),
            Row(f"{about}: the node's part at rest", "ms/s", (0.5 + costs.rest * count / 1e3,)),
            Row(f"{about}: messages of no work", "messages/s", (1e6 / costs.worker_message,)),
        ]
        for rate in cluster.RATES:
            outcome, figure = scale.steady(costs, count, rate), cluster.at_rate("ray", count, rate)
            rows += [
                Row(f"{figure}, the node's share of a core", "%", (outcome.busy * 100,)),
                Row(f"{figure}, tell to handler, p50", "µs", (outcome.handler_p50,)),
                Row(f"{figure}, tell to handler, p99", "µs", (outcome.handler_p99,)),
            ]
    return tuple(rows)


@pytest.mark.long
def test_the_costs_behind_what_was_measured_are_found_again() -> None:
    costs = scale.fitted(scale.measured_costs(rows_of(COSTS), "ray"))
    for workers in cluster.COUNTS:
        for rate in cluster.RATES:
            computed, true = scale.steady(costs, workers, rate), scale.steady(COSTS, workers, rate)
            assert computed.busy == pytest.approx(true.busy, rel=0.1)
    assert (costs.message, costs.rest) == pytest.approx((COSTS.message, COSTS.rest))


@pytest.mark.long
def test_the_command_prints_its_tables_from_the_kept_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "TOTAL_RATES", (10_000.0,))
    monkeypatch.setattr(scale, "capacity", lambda *arguments: 1_000.0)
    kept = report.Kept()
    kept.put(
        report.Section(
            "cluster", "t", "c", machine.now(), False, 1, 1.0, 0.5, (0.1,), machine.describe(), Findings(rows_of(COSTS))
        )
    )
    report.save(kept, ["cluster"], tmp_path)
    assert scale.main(["--folder", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "fitted" in printed
    assert "checked" in printed
    assert "64 nodes" in printed


def test_without_results_the_command_says_what_to_measure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scale.main(["--folder", str(tmp_path)]) == 1
    assert "bin/troupe bench cluster" in capsys.readouterr().err


def test_pieces_of_any_size_arrive() -> None:
    for size in (10, 100_000):
        sample = link.pieces(size, 40)
        assert min(sample["messages/s"], sample["MB/s"], sample["node µs"]) > 0

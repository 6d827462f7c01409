"""Every benchmark's own side at a tiny size: that it still runs, and what its result looks like. No speed is judged."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import msgspec
import pytest
import trio

from actors.market.capability import branch
from actors.market.feed_settings import FeedSettings, VenueSettings
from benchmarks import __main__ as command
from benchmarks import (
    ask,
    fanout,
    lag,
    log,
    machine,
    path,
    population,
    quiet,
    report,
    restart,
    route,
    strategies,
    tell,
    wake,
)
from benchmarks.harness import (
    Child,
    Findings,
    Row,
    Scale,
    at_least,
    at_most,
    in_turns,
    quantiles,
    times_at_least,
    times_at_most,
)
from protocols.market import Quote
from runtime import NodeSettings, open_node
from runtime.log import open_log

pytestmark = pytest.mark.long

with_peers = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("uvicorn", "fastapi", "pykka", "websockets", "uvloop"))),
    reason="the extra `bench` is not installed",
)


def positive(sample: dict[str, float], *figures: str) -> bool:
    return set(figures) <= set(sample) and all(sample[figure] > 0 for figure in figures)


# What is measured in this process.


def test_strategies_in_the_sandbox_give_times_of_signals_and_of_batches() -> None:
    figures = ("p50", "p99", "start", "memory", "node")
    assert positive(strategies.signals(lambda announced: None, seconds=0.2, strategies=1, rate=20.0), *figures)
    assert positive(strategies.batches(lambda announced: None, seconds=0.2, size=16), "nothing", "mean", "mean p50")
    assert positive(strategies.pool(lambda announced: None, seconds=0.2, rate=0.0), "p50", "p99")


def test_telling_gives_messages_a_second() -> None:
    assert positive(tell.troupe(2_000), "messages/s")
    assert positive(tell.channel(1_000, waits=True), "messages/s")
    assert positive(tell.channel(1_000, waits=False), "messages/s")


@with_peers
def test_telling_pykka_gives_messages_a_second() -> None:
    assert positive(tell.pykka_actor(1_000), "messages/s")


def test_asking_gives_quantiles_of_all_three_ways() -> None:
    sample = ask.round_trips(blocks=1, block=20)
    assert positive(sample, *(f"{way} {share}" for way in ("task", "actor", "switches") for share in ("p50", "p99")))


@pytest.mark.parametrize("owned", [True, False])
def test_a_crowd_of_actors_gives_starts_memory_and_pauses(owned: bool) -> None:
    sample = population.actors(300, owned)
    assert positive(sample, "starts/s", "stops/s", "messages/s", "full collection")
    assert {"bytes each", "bytes each, used", "pause while starting", "pause in traffic"} <= set(sample)


def test_every_crash_is_timed_to_the_next_message() -> None:
    assert positive(restart.restarts(5, others=3), "p50", "p99", "p99.9")
    assert len(restart.Stopwatch.taken) == 5


def test_busy_actors_and_tasks_give_the_lag_of_their_loop() -> None:
    assert positive(lag.actors(0.05, count=3), "longest", "busy")
    assert positive(lag.tasks(0.05, pieces=1, count=3), "longest", "busy")


def test_appending_gives_microseconds() -> None:
    assert positive(log.append(500), "with making µs")


# What needs processes of its own.


def test_the_load_generator_counts_what_the_edge_answers() -> None:
    with Child("benchmarks.route:serve_troupe") as serving:
        about = {"port": serving.announced()["port"], "path": route.PATH, "body": route.BODY, "connections": 2}
        with Child("benchmarks.load:both_loops", server_pid=serving.pid, seconds=0.05, **about) as client:
            closed, opened = client.result()
    assert positive(closed, "requests/s", "p50", "p99")
    assert positive(opened, "p50", "p99", "p99.9")


def test_every_frame_of_the_fan_out_arrives() -> None:
    assert positive(fanout.fanned("serve_troupe", 20, 10, connections=3), "frames/s")
    assert positive(fanout.fanned_signals(20, connections=3), "frames/s")


async def test_every_frame_of_the_stand_in_venue_is_seen_as_a_quote(tmp_path: Path) -> None:
    with Child("benchmarks.venue:feed", markets=("A",), rate=500.0, seconds=60.0) as serving:
        feed = FeedSettings(name="bench", url=serving.announced()["url"], markets=("A",), channels=("book",))
        with open_log(tmp_path / "log") as log_of_the_node:
            children = (branch([feed], VenueSettings(), tmp_path),)
            async with open_node(NodeSettings(), children, log=log_of_the_node) as node:
                seen: list[int] = []
                with node.open_tap((Quote, None)) as tap, trio.fail_after(20):
                    while len(seen) < 20:
                        seen += [each.seq for each in await tap.receive() if isinstance(each, Quote)]
    assert seen == list(range(seen[0], seen[0] + len(seen)))


@pytest.mark.long
def test_a_whole_node_passes_every_signal_on() -> None:
    sample = path.passed(5, 0.5)
    assert sample["arrived"] == 1
    assert positive(sample, "signals", "whole p50", "to_session p50", "to_strategy p50", "to_subscriber p50", "busy")


@pytest.mark.long
def test_the_loop_is_pinged_beside_storage_and_a_feed() -> None:
    assert positive(wake.waking(0.5, True), "p50", "p99", "p99.9", "longest", "rows/s")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["bare", "keyed"])
def test_every_row_is_in_the_database_once(kind: str) -> None:
    assert positive(log.sustained(1.0, kind), "rows/s", "rows", "node MB", "writer MB", "log MB")


# The harness.


def test_sides_are_measured_in_turns_and_every_other_turn_backwards() -> None:
    order: list[str] = []

    def side(name: str) -> dict[str, float]:
        order.append(name)
        return {"count": float(len(order))}

    found = in_turns({"a": lambda: side("a"), "b": lambda: side("b")}, Scale(repeats=3, attempts=1, progress=False))
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": {"count": (1.0, 4.0, 5.0)}, "b": {"count": (2.0, 3.0, 6.0)}}


class Told:
    """A meter that shows what it is told."""

    def __init__(self, share: float) -> None:
        self._share = share

    def share(self) -> float:
        return self._share


@pytest.mark.parametrize(
    ("shares", "attempt"), [((0.5, 0.3, 0.4), 1), ((0.5, 0.05, 0.0), 1), ((0.0, 0.0, 0.0), 0), ((0.3, 0.3, 0.3), 0)]
)
def test_the_least_disturbed_attempt_counts_and_a_good_one_is_the_last(shares: tuple[float, ...], attempt: int) -> None:
    meters = (Told(share) for share in shares)
    attempts = iter(range(3))
    measured = quiet.undisturbed(lambda: next(attempts), 3, meter=lambda: next(meters), patience_s=0.0)
    assert measured == (attempt, shares[attempt])


def test_the_share_of_others_is_a_share() -> None:
    assert 0 <= quiet.Others().share() <= 1


def test_quantiles_are_samples() -> None:
    assert quantiles(range(100), 0.5, 0.99, 1.0) == (50, 99, 99)
    with pytest.raises(ValueError, match="no samples"):
        quantiles((), 0.5)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (Row("a", "/s", (10.0,), target=at_least(10)), "met"),
        (Row("a", "/s", (9.0,), target=at_least(10)), "missed by 10.0%"),
        (Row("a", "ms", (30.0,), target=at_most(10)), "missed 3.0-fold"),
        (Row("a", "/s", (20.0, 40.0, 30.0), "b", (10.0,), times_at_least(3)), "met"),
        (Row("a", "ms", (3.0,), "b", (2.0,), times_at_most(1)), "missed by 50.0%"),
        (Row("a", "ms", (3.0,)), ""),
    ],
)
def test_a_verdict_says_by_how_much_a_target_is_missed(row: Row, words: str) -> None:
    assert report.verdict(row) == words


def section(name: str, *, quick: bool, value: float) -> report.Section:
    findings = Findings((Row("speed", "/s", (value,), "peer", (1.0,), times_at_least(2)),), ("a note",))
    return report.Section(
        name, f"About {name}", f"bench {name}", machine.now(), quick, 1, 2.0, 0.5, (0.1,), machine.describe(), findings
    )


def test_a_partial_run_leaves_the_other_sections_as_they_were(tmp_path: Path) -> None:
    kept = report.load(tmp_path)
    kept.put(section("a", quick=False, value=11))
    kept.put(section("b", quick=False, value=22))
    report.save(kept, ["a", "b"], tmp_path)
    again = report.load(tmp_path)
    again.put(section("b", quick=False, value=33))
    report.save(again, ["a", "b"], tmp_path)
    page = (tmp_path / report.PAGE).read_text(encoding="utf-8")
    assert "| 11 /s |" in page
    assert "| 33 /s |" in page
    assert "| 22 /s |" not in page
    assert page.index("## About a") < page.index("## About b")


def test_a_quick_run_stands_beside_a_full_one_until_the_next_full_one() -> None:
    kept = report.Kept()
    kept.put(section("a", quick=False, value=11))
    kept.put(section("a", quick=True, value=5))
    assert "| 11 /s |" in report.page(kept, ["a"])
    assert "| 5 /s |" in report.page(kept, ["a"])
    kept.put(section("a", quick=False, value=12))
    assert "| 5 /s |" not in report.page(kept, ["a"])


def test_results_of_another_version_are_left_behind(tmp_path: Path) -> None:
    (tmp_path / report.DATA).write_bytes(b'{"full": {"a": {"name": 1}}}')
    assert msgspec.structs.asdict(report.load(tmp_path)) == {"full": {}, "quick": {}}


def test_a_benchmark_that_does_not_exist_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_the_list_names_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(command.BENCHMARKS)

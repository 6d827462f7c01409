"""A user's own training: simulated tracks, or bars out of a file, whose last part is held out for the figures."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from actors.agents.environment.account import BARRED, TradingSettings
from actors.agents.environment.actions import ActionSet
from actors.agents.environment.bar_files import BarFileError, tracks_in
from actors.agents.environment.market import Scenario, SimulatedBars
from actors.agents.environment.observation import Prepared, prepared
from actors.agents.environment.rewards import RewardName
from actors.agents.training.contenders import HOLD, RULE, Contender, hold, of_policy, rule
from actors.agents.training.demo import EVALUATED, MASKING, evaluation_tracks
from actors.agents.training.evaluation import Played, play
from actors.agents.training.figures import Summary, Versus, stands_out, summaries, table, verdict
from actors.agents.training.gate import Gate, Standing, gate
from actors.agents.training.job import Made, Part, Word, tracks_of, train
from actors.agents.training.learning import Cancelled
from actors.agents.training.plan import Algorithm, TrainingPlan
from actors.decisions.bundles.loading import load_policy
from actors.execution.matching.settings import SlippageSettings
from protocols.market import SYNTHETIC

STEPS: Final = 90_000
TRACKS: Final = 64
WARM_UP: Final = 64
LEAST: Final = WARM_UP + 17
"""Bars that a piece must have to be trained on."""
WINDOWS: Final = 10
"""The held-out span is cut in about so many windows, each of which begins without a position; none spans a gap."""
SHORTEST_WINDOW: Final = 32
BASELINES: Final = (HOLD, RULE)


class OwnRun(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted. `data` empty: simulated tracks of `scenario`. `held_out`: the last share of the data."""

    out: str
    algorithm: Algorithm = "ppo"
    steps: int = STEPS
    seed: int = 0
    data: str = ""
    market: str = ""
    interval: str = ""
    held_out: float = 0.3
    fee: str = "0.001"
    slippage: str = "0.0005"
    scenario: Scenario = "mixed"
    actions: ActionSet = "simple"
    reward: RewardName = "simple_return"
    checkpoints: str = ""


class Stretch(msgspec.Struct, frozen=True, eq=False):
    """A part of a track that is played for the figures: [start, stop)."""

    prepared: Prepared
    start: int
    stop: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `gates`: by baseline. `deployable`: all of them are passed, by one that trades at all, and its
    return is the higher one by more than the noise: next to a baseline that lost a little, doing nothing is an
    improvement of 100 %, and so is luck."""

    bundle: str
    made: Made
    marks: tuple[str, ...]
    held_out: str
    figures: dict[str, Summary]
    gates: dict[str, Gate]
    deployable: bool
    verdicts: tuple[str, ...]


def run(wanted: OwnRun, tell: Callable[[Word], None]) -> Report:
    """Train, export, compare. Raises BarFileError, BundleError, ValueError, KeyboardInterrupt."""
    trading = TradingSettings()
    if wanted.data:
        fills = msgspec.structs.replace(BARRED, slippage=SlippageSettings(model="share", share=wanted.slippage))
        fills = msgspec.structs.replace(fills, fees=msgspec.structs.replace(fills.fees, taker=wanted.fee))
        trading = TradingSettings(fills=fills)
    plan = TrainingPlan(
        algorithm=wanted.algorithm,
        timesteps=wanted.steps,
        seed=wanted.seed,
        actions=wanted.actions,
        reward=wanted.reward,
        masking=MASKING,
        trading=trading,
    )
    path = Path(wanted.out)
    with _interruptible() as stopped:
        try:
            tracks, stretches, trained, marks = _of_file(wanted) if wanted.data else _simulated(wanted)
            made = train(path.stem, plan, tracks, path, trained, marks, tell, stopped, wanted.checkpoints)
        except Cancelled:
            raise KeyboardInterrupt from None
    contenders = {path.stem: of_policy(load_policy(path)), HOLD: hold, RULE: rule}
    played = compare(contenders, stretches, trading)
    found = summaries(played, BASELINES)
    gates = {name: gate(_standing(found[path.stem]), _standing(found[name])) for name in BASELINES}
    first, last = stretches[0], stretches[-1]
    return Report(
        bundle=str(path),
        made=made,
        marks=marks,
        held_out=f"{len(stretches)} windows, {_day(first, first.start)} to {_day(last, last.stop - 1)}"
        if wanted.data
        else f"{len(stretches)} simulated tracks, seeds {EVALUATED.start} to {EVALUATED.stop - 1}",
        figures=found,
        gates=gates,
        deployable=found[path.stem].orders > 0 and all(map(_proven, gates.values(), found[path.stem].versus.values())),
        verdicts=tuple(verdict(path.stem, found[path.stem].versus[name], name) for name in BASELINES),
    )


def compare(
    contenders: dict[str, Contender], stretches: Sequence[Stretch], trading: TradingSettings
) -> dict[str, list[Played]]:
    """Everybody over the same stretches, with costs."""
    found: dict[str, list[Played]] = {name: [] for name in contenders}
    said = {(name, id(each.prepared)): ask(each.prepared) for each in stretches for name, ask in contenders.items()}
    for each in stretches:
        for name in contenders:
            actions = said[name, id(each.prepared)]
            found[name].append(play(each.prepared, actions, trading, start=each.start, stop=each.stop))
    return found


def told(report: Report) -> list[str]:
    """For people."""
    lines = [
        f"{report.bundle}: {report.made.bytes / 1000:.0f} kB, sha256 {report.made.sha256[:12]}, {report.made.trained}",
        f"after costs, on what was held out ({report.held_out}):",
        table("", report.figures, BASELINES),
        *report.verdicts,
        *(f"against {name}: {each.text()}" for name, each in report.gates.items()),
        f"fit for deployment by these figures: {'yes' if report.deployable else 'no'}",
    ]
    if not report.figures[report.made.name].orders:
        lines.append("it never trades there")
    if SYNTHETIC in report.marks:
        lines.append("the data is synthetic: none of this says anything about a real market")
    return lines


def _simulated(wanted: OwnRun) -> tuple[list[Prepared], list[Stretch], str, tuple[str, ...]]:
    SimulatedBars(scenario=wanted.scenario)
    tracks = tracks_of((Part(wanted.scenario, TRACKS),), wanted.seed)
    held = [Stretch(each, WARM_UP, len(each.track)) for each in evaluation_tracks(wanted.scenario)]
    return tracks, held, f"simulated venue, {TRACKS} tracks, {wanted.scenario}", (SYNTHETIC,)


def _of_file(wanted: OwnRun) -> tuple[list[Prepared], list[Stretch], str, tuple[str, ...]]:
    path = Path(wanted.data)
    pieces = [
        prepared(each) for each in tracks_in(path, market=wanted.market, interval=wanted.interval, fee=wanted.fee)
    ]
    cut = round(sum(len(each.track) for each in pieces) * (1 - wanted.held_out))
    tracks: list[Prepared] = []
    held: list[tuple[Prepared, int]] = []
    for each in pieces:
        count = len(each.track)
        before = min(max(cut, 0), count)
        if before >= LEAST:
            tracks.append(until(each, before))
        if count - max(before, WARM_UP) > SHORTEST_WINDOW:
            held.append((each, max(before, WARM_UP)))
        cut -= count
    if not tracks:
        longest = max(len(each.track) for each in pieces)
        raise BarFileError(
            f"{path.name}: expected an unbroken piece of {LEAST} bars or more to train on, got {longest} of which "
            f"{wanted.held_out:.0%} are held out"
        )
    if not held:
        raise BarFileError(f"{path.name}: expected more than {SHORTEST_WINDOW} bars in what is held out")
    bars = sum(len(each.track) for each in tracks)
    return tracks, list(windows(held)), f"{path.name}, {bars} bars", pieces[0].track.marks


def until(whole: Prepared, stop: int) -> Prepared:
    """The first `stop` bars, and nothing of what comes behind."""
    return Prepared(whole.track.until(stop), whole.features[:stop], whole.raw[:stop])


def windows(held: Sequence[tuple[Prepared, int]]) -> Iterator[Stretch]:
    """The held-out parts, cut in `WINDOWS` of about the same length."""
    total = sum(len(each.track) - start for each, start in held)
    length = max(SHORTEST_WINDOW, -(-total // WINDOWS))
    for each, start in held:
        count = max(1, round((len(each.track) - start) / length))
        edges = np.linspace(start, len(each.track), count + 1).round().astype(int).tolist()
        for first, last in pairwise(edges):
            # The last bar of a window is the first of the next: its close is where both are marked.
            yield Stretch(each, first, min(last + 1, len(each.track)))


def _proven(found: Gate, against: Versus) -> bool:
    return found.passed and against.difference.mean > 0 and stands_out(against.difference)


def _standing(found: Summary) -> Standing:
    return Standing(found.return_.mean, found.sharpe.mean, found.drawdown.mean)


def _day(stretch: Stretch, place: int) -> str:
    return str(np.datetime64(stretch.prepared.track.bars[place].start, "ns").astype("datetime64[m]"))


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C asks the training to stop at its next step, so that its checkpoint is whole; a second one stops it."""
    stopped = False

    def handle(number: int, frame: object) -> None:
        nonlocal stopped
        if stopped:
            raise KeyboardInterrupt
        stopped = True

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: stopped
    finally:
        signal.signal(signal.SIGINT, before)

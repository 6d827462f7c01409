"""The demonstration: a generalist and four specialists of a regime, trained on planted regimes in under two minutes.

Everything is made up and marked so. The figures are those of the bundles as they stand on disk, served by numpy, on
tracks that no training sees: seeds 2000 to 2019 of every scenario, whatever comes out.
"""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.agents.environment.account import TradingSettings
from actors.agents.environment.market import SCENARIOS, Scenario, SimulatedBars, simulated_track
from actors.agents.environment.observation import ALWAYS_ASKED, OFTEN_ASKED, Masking, Prepared, prepared
from actors.agents.training.contenders import HOLD, RULE, Contender, hold, of_policy, rule
from actors.agents.training.ensembles import write_ensemble
from actors.agents.training.evaluation import Played, play
from actors.agents.training.figures import Summary, summaries, table, verdict
from actors.agents.training.job import Job, Made, Part, Word, work
from actors.agents.training.plan import TrainingPlan
from actors.agents.training.regimes import filtered, regime_found
from actors.decisions.features.names import REGIMES
from protocols.market import SYNTHETIC

GENERALIST: Final = "generalist"
ENSEMBLE: Final = "rl_ensemble"
SIX_FIELDS: Final = "ensemble, six fields"
TWO_FIELDS: Final = "ensemble, two fields"
"""The ensemble as a request over HTTP asks it, that says nothing but rsi and change_percent, or these and macd,
sma_ratio, bollinger_position and atr: the regime is not known then, so the generalist answers."""
SUFFIX: Final = ".bundle"
SEED: Final = 7
EVALUATED: Final = range(2000, 2020)
"""Seeds of the tracks that figures are made on. Nothing was chosen by them (the masks, steps and tracks of training
were, by 1000 to 1019), and they are not exchanged for better ones."""
GENERALIST_STEPS: Final = 120_000
SPECIALIST_STEPS: Final = 60_000
BASELINES: Final = (HOLD, RULE)
MASKING: Final = Masking(groups=0.2, singles=0.1, few=0.1, requests=0.3)
EVALUATION: Final = TradingSettings()
FIGURES: Final = "figures.json"
COSTS: Final = "the spread, 0.1 % fee, 10 to 200 ms late"
POLL_S: Final = 0.2
START: Final = 64
"""The bar at which evaluation begins; those before it warm the features."""


def jobs(folder: Path, seed: int, steps: int | None = None) -> list[Job]:
    """The five trainings, the longest first. `steps`: of the generalist; a specialist gets half of them."""
    steps = GENERALIST_STEPS if steps is None else steps
    single = SPECIALIST_STEPS if steps == GENERALIST_STEPS else max(1, steps // 2)
    every = (Part("mixed", 48), *(Part(name, 8) for name in SCENARIOS if name != "mixed"))
    found = [_job(folder, GENERALIST, seed, steps, every)]
    for name in SCENARIOS:
        if name != "mixed":
            found.append(_job(folder, name, seed, single, (Part(name, 24), Part("mixed", 24))))
    return found


def _job(folder: Path, name: str, seed: int, steps: int, parts: tuple[Part, ...]) -> Job:
    plan = TrainingPlan(timesteps=steps, seed=seed, masking=MASKING)
    return Job(name, plan, parts, str(folder / f"{name}{SUFFIX}"))


def train_all(
    found: Iterable[Job],
    tell: Callable[[Word], None],
    *,
    processes: int,
    finished: Callable[[Made], None] | None = None,
) -> list[Made]:
    """Train in child processes, so many at once. On Ctrl-C they stop at their next step, and KeyboardInterrupt goes on.

    Raises what a training raised.
    """
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        words, stopping = manager.Queue(), manager.Event()
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            waiting: list[Future[Made | None]] = [pool.submit(work, job, words, stopping) for job in found]
            made: list[Made] = []
            try:
                left = set(waiting)
                while left:
                    done, left = wait(left, timeout=POLL_S, return_when=FIRST_COMPLETED)
                    _hear(words, tell)
                    for each in done:
                        if (result := each.result()) is not None:
                            made.append(result)
                            if finished is not None:
                                finished(result)
            except BaseException:
                stopping.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    return [each for future in waiting for each in [future.result()] if each is not None]


def _hear(words: Any, tell: Callable[[Word], None]) -> None:
    while True:
        try:
            tell(words.get_nowait())
        except queue.Empty:
            return


def evaluation_tracks(scenario: Scenario, seeds: Iterable[int] = EVALUATED) -> list[Prepared]:
    """The tracks of the figures."""
    return [prepared(simulated_track(SimulatedBars(scenario=scenario), seed)) for seed in seeds]


def compare(contenders: Mapping[str, Contender], tracks: Iterable[Prepared]) -> dict[str, list[Played]]:
    """Everybody over the same tracks, with costs."""
    found: dict[str, list[Played]] = {name: [] for name in contenders}
    for each in tracks:
        for name, contender in contenders.items():
            found[name].append(play(each, contender(each), EVALUATION, start=START))
    return found


def contenders_of(folder: Path, names: Iterable[str]) -> dict[str, Contender]:
    """Those bundles of a folder, and the baselines. Raises BundleError."""
    from actors.decisions.bundles.loading import load_policy

    policies = {name: load_policy(folder / f"{name}{SUFFIX}") for name in names}
    found = {name: of_policy(policy, filtered) for name, policy in policies.items()}
    if ENSEMBLE in policies:
        found[SIX_FIELDS] = of_policy(policies[ENSEMBLE], shown=(*ALWAYS_ASKED, *OFTEN_ASKED))
        found[TWO_FIELDS] = of_policy(policies[ENSEMBLE], shown=ALWAYS_ASKED)
    return {**found, HOLD: hold, RULE: rule}


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario: by contender what it made, and in what share of the bars that were played the regime filter's most
    probable regime was the planted one (by guessing: 0.25)."""

    contenders: dict[str, Summary]
    regime_found: float


def evaluate(folder: Path, tell: Callable[[Scenario], None]) -> dict[Scenario, Compared]:
    """Figures by scenario: the generalist and the ensemble everywhere, each specialist in its own regime."""
    found: dict[Scenario, Compared] = {}
    whole = contenders_of(folder, (GENERALIST, *REGIMES, ENSEMBLE))
    for scenario in SCENARIOS:
        own = (scenario,) if scenario in REGIMES else ()
        names = (ENSEMBLE, GENERALIST, *own, SIX_FIELDS, TWO_FIELDS, HOLD, RULE)
        tracks = evaluation_tracks(scenario)
        played = compare({name: whole[name] for name in names}, tracks)
        found[scenario] = Compared(contenders=summaries(played, BASELINES), regime_found=regime_found(tracks, START))
        tell(scenario)
    return found


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside the bundles as `figures.json`. Returns are shares after costs."""

    marks: tuple[str, ...]
    seed: int
    evaluation_seeds: tuple[int, ...]
    costs: str
    bundles: tuple[Made, ...]
    ensemble: str
    scenarios: dict[str, Compared]
    verdicts: tuple[str, ...]


def run(
    folder: Path,
    seed: int,
    steps: int | None,
    tell: Callable[[Word], None],
    finished: Callable[[Made], None],
    say: Callable[[str], None],
    *,
    processes: int,
) -> Figures:
    """Train, export, compare; the figures are written beside the bundles. Raises BundleError, KeyboardInterrupt."""
    folder.mkdir(parents=True, exist_ok=True)
    made = train_all(jobs(folder, seed, steps), tell, processes=processes, finished=finished)
    ensemble = write_ensemble(
        folder / f"{ENSEMBLE}{SUFFIX}", [folder / f"{name}{SUFFIX}" for name in (*REGIMES, GENERALIST)]
    )

    scenarios = evaluate(folder, lambda scenario: say(f"{scenario}: compared on {len(EVALUATED)} tracks"))
    figures = Figures(
        marks=(SYNTHETIC,),
        seed=seed,
        evaluation_seeds=tuple(EVALUATED),
        costs=COSTS,
        bundles=tuple(made),
        ensemble=ensemble,
        scenarios={str(name): each for name, each in scenarios.items()},
        verdicts=tuple(verdicts(scenarios)),
    )
    text = msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n"
    (folder / FIGURES).write_bytes(text)
    return figures


def verdicts(scenarios: Mapping[Scenario, Compared]) -> list[str]:
    """In words, everybody who was trained against both baselines in every scenario, whichever way it went."""
    return [
        f"{scenario}: {verdict(name, each.versus[baseline], baseline)}"
        for scenario, found in scenarios.items()
        for name, each in found.contenders.items()
        if name not in BASELINES
        for baseline in BASELINES
    ]


def told(figures: Figures) -> list[str]:
    """For people."""
    lines = [
        f"after costs ({figures.costs}), on seeds {EVALUATED.start} to {EVALUATED.stop - 1}, which no training saw:"
    ]
    for scenario, found in figures.scenarios.items():
        lines.append(table(f"{scenario}, {len(figures.evaluation_seeds)} tracks", found.contenders, BASELINES))
    shares = ", ".join(f"{name} {found.regime_found:.0%}" for name, found in figures.scenarios.items())
    lines.append(f"bars whose planted regime the filter called the most probable one (by guessing: 25%): {shares}")
    return [*lines, *figures.verdicts, "the market is simulated: none of this says anything about a real one"]

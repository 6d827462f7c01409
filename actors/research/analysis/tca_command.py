"""`bin/troupe tca`: what trading cost, and how far the simulated venue is from a real one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from actors.execution.matching.settings import Constant, LatencySettings, QueueName
from actors.research.analysis.analysed_data import data_spec, sources_of, spec_of_report
from actors.research.analysis.costs import HORIZONS, REALISED, groups, order_costs
from actors.research.analysis.costs_shown import as_data, calibration_text, groups_text, order_data
from actors.research.analysis.fill_model import (
    QUEUES,
    Calibration,
    RealOrder,
    RealOrdersError,
    calibrate,
    of_stories,
    read_real_orders,
)
from actors.research.analysis.journal_file import is_journal, open_lines
from actors.research.analysis.market_track import Prices, from_sources
from actors.research.analysis.order_log import OrderStory, stories
from actors.research.analysis.reading import Named, named
from actors.research.backtest.merging import merged
from actors.research.backtest.sources import Source, SourceError
from protocols.control import Refused
from protocols.nanos import NANO
from runtime.settings import Configuration

KINDS: Final = ("spot", "perpetual", "future", "equity", "prediction")
Answer = tuple[str, dict[str, Any]]


def tca(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Analyse what trading cost: slippage, spreads, markouts; with --real the error of the fill model.

    Raises Refused.
    """
    given = _parser().parse_args(arguments)
    assert configuration is not None
    if not given.run and not given.real:
        raise Refused("invalid", "expected a RUN, --real ORDERS, or both", "run")
    data_dir = Path(configuration.section("node").data_dir)
    texts: list[str] = []
    data: dict[str, Any] = {}
    try:
        if given.run:
            text, found = _costs(given, named(given.run, configuration, field="run", url=given.url), data_dir)
            texts.append(text)
            data |= found
        if given.real:
            calibration = _calibrated(given, _real_orders(given, configuration), data_dir)
            texts.append(calibration_text(calibration))
            data["fill_model"] = {**msgspec.to_builtins(calibration), "best": calibration.best}
    except SourceError as error:
        raise Refused("unreadable", str(error), "data") from None
    return "\n\n".join(texts), data


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="troupe tca",
        description=(tca.__doc__ or "").partition("\n")[0],
        epilog="Costs are positive, markouts positive where the price went our way; what is not known says unknown.",
    )
    add = made.add_argument
    add("run", nargs="?", metavar="RUN", help="a backtest's id or folder, an order log, an account, or its journal")
    add(
        "--data",
        action="append",
        default=[],
        metavar="PATH",
        help="prices: a recording, a table, a data set (the backtest's own, or what the account was given)",
    )
    add("--market", action="append", default=[], metavar="M", help="of each --data: which one, or what it is called")
    add("--horizon", action="append", default=[], type=float, metavar="S", help="of markouts (1, 10, 60, 300)")
    add("--realised", type=float, default=REALISED / NANO, metavar="S", help="horizon of the realised spread (300)")
    add("--real", metavar="ORDERS", help="real orders (lines of JSON, or an order log) to play again over --data")
    add("--queue", action="append", default=[], choices=get_args(QueueName), help="only this queue model (all)")
    add("--exponent", type=float, default=3.0, metavar="N", help="of the power functions (3)")
    add("--latency", type=float, default=0.0, metavar="MS", help="of orders on their way, milliseconds (0)")
    add("--kind", default="equity", choices=KINDS, help="of the markets of --real (equity)")
    add("--tick", default="0.000000001", metavar="N", help="the step of prices (none)")
    add("--lot", default="0.000000001", metavar="N", help="the step of quantities (none)")
    add("--seed", type=int, default=0, metavar="N", help="of everything that is drawn by chance (0)")
    add("--url", default="", metavar="URL", help="of a node (that of the data folder)")
    return made


# -- costs -----------------------------------------------------------------------------------------------------------


def _costs(given: argparse.Namespace, found: Named, data_dir: Path) -> tuple[str, dict[str, Any]]:
    for name, values in (("horizon", given.horizon), ("realised", [given.realised])):
        if any(value <= 0 for value in values):
            raise Refused("invalid", f"expected seconds above 0, got {min(values):g}", name)
    horizons = tuple(sorted({round(value * NANO) for value in given.horizon})) or HORIZONS
    realised = round(given.realised * NANO)
    own = list(stories(found.by_data() if given.data else found.events).values())
    if not own:
        raise Refused("invalid", f"{found.title} has no orders", "run")
    end = max(story.events[-1].ts for story in own) + max(*horizons, realised) + 1
    prices, where = _prices(given, found, data_dir, end)
    costs = order_costs(own, prices, horizons=horizons, realised_ns=realised)
    made = groups(costs, horizons)
    unpriced = sorted({cost.market for cost in costs} - set(prices.tracks))
    marks = _marks(own)
    head = [f"{found.title}: {len(own)} orders, prices of {where}"]
    head += [f"! data are {mark}" for mark in marks]
    head += [f"! no prices of {market}" for market in unpriced]
    text = "\n".join([*head, "", groups_text(made, horizons)])
    return text, {
        "run": found.name,
        "prices": where,
        "marks": marks,
        "unpriced": unpriced,
        "realised_s": realised / NANO,
        "groups": [as_data(group) for group in made],
        "orders": [order_data(cost) for cost in costs],
    }


def _marks(own: Sequence[OrderStory]) -> list[str]:
    return sorted({mark for story in own for mark in story.asked.marks})


def _prices(given: argparse.Namespace, found: Named, data_dir: Path, end: int) -> tuple[Prices, str]:
    """Prices, and in words where they are from."""
    if given.data:
        spec = data_spec(given.data, given.market)
        return from_sources(sources_of(spec, data_dir, until=end)), ", ".join(given.data)
    if (replayed := found.replayed()) is not None:
        return replayed[1], "what the account was given"
    if found.report is not None:
        spec_of_run = spec_of_report(found.report, data_dir)
        if spec_of_run is not None:
            return from_sources(sources_of(spec_of_run, data_dir, until=end)), ", ".join(found.report.run.data)
    return Prices(), "nowhere: name them with --data"


# -- the fill model --------------------------------------------------------------------------------------------------


def _real_orders(given: argparse.Namespace, configuration: Configuration) -> list[RealOrder]:
    path = Path(given.real)
    if not path.is_file() or is_journal(path) or _is_log(path):
        found = named(given.real, configuration, field="real", url=given.url)
        return of_stories(stories(found.by_data()).values())
    try:
        with open_lines(path) as file:
            return read_real_orders(file)
    except (OSError, RealOrdersError) as error:
        raise Refused("unreadable", f"{path}: {error}", "real") from None


def _is_log(path: Path) -> bool:
    with open_lines(path) as file:
        try:
            first = msgspec.json.decode(file.readline())
        except msgspec.DecodeError:
            return False
    return isinstance(first, dict) and first.get("type") == "order_event"


def _calibrated(given: argparse.Namespace, orders: Sequence[RealOrder], data_dir: Path) -> Calibration:
    if not given.data:
        raise Refused("invalid", "expected the recording that the real orders met", "data")
    if not orders:
        raise Refused("invalid", f"{given.real} holds no orders that came to a venue", "real")
    spec = data_spec(given.data, given.market, market={"kind": given.kind, "tick": given.tick, "lot": given.lot})
    sources: list[Source] = sources_of(spec, data_dir)
    names = sorted({each.order.market for each in orders})
    return calibrate(
        orders,
        merged(sources),
        {name: spec.instrument(name) for name in names},
        queues=tuple(given.queue) or QUEUES,
        latency=LatencySettings(entry=Constant(ns=round(given.latency * 1e6))),
        seed=given.seed,
        exponent=given.exponent,
    )

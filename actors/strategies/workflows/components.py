"""What a workflow may be drawn of: the types of nodes with their ports and parameters.

A port carries `ohlcv` (the bars of a data source), `numeric` (a number a bar), `signal` (yes, no or nothing yet) or
`risk` (what a risk node adds to an action). Handles are found by name whatever an editor puts around it: `data`,
`data-output` and `input-0` are `data` and `input`.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import msgspec

from actors.strategies.workflows.fields import Field, choice, number
from actors.strategies.workflows.indicators import KINDS, SOURCE, SOURCES, IndicatorKind
from actors.strategies.workflows.operators import FAMILIES, OPERATORS, definition
from actors.strategies.workflows.operators.base import CONFIRMATION, Operator

DataType = Literal["ohlcv", "numeric", "signal", "risk"]

TIMEFRAMES: Final = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w")
"""The usual ones; a data source may say any."""


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """One handle of a node. Inputs: `many` edges, or one; `accepts` other types than its own (bars: their source)."""

    name: str
    type: DataType
    aliases: tuple[str, ...] = ()
    required: bool = True
    many: bool = False
    accepts: tuple[DataType, ...] = ()
    description: str = ""

    @property
    def types(self) -> tuple[DataType, ...]:
        """All types that may come in."""
        return (self.type, *self.accepts)


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """A node as it can be drawn: its ports and parameters, once its indicator or condition is known."""

    type: str
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    fields: tuple[Field, ...] = ()
    ignored: tuple[str, ...] = ()
    """Parameters that editors write and that change nothing here."""


def text(name: str, description: str, *aliases: str, required: bool = False) -> Field:
    """A parameter that is text."""
    return Field(name=name, kind="text", description=description, aliases=aliases, required=required)


COLUMNS: Final = ("open", "high", "low", "close", "volume", "hl2", "hlc3", "ohlc4")
BARS: Final = (
    Port(name="data", type="ohlcv", aliases=("output", "ohlcv", "bars", "market", "value")),
    *(Port(name=each, type="numeric", required=False) for each in COLUMNS),
)
SYMBOL: Final = text("symbol", "the market; empty: those of the run", "ticker", "market", "instrument")
TIMEFRAME: Final = Field(
    name="timeframe", kind="timeframe", default="1h", description="how long a bar is", aliases=("interval", "frequency")
)  # fmt: skip

DATA_SOURCE: Final = Component(
    type="dataSource",
    outputs=BARS,
    fields=(SYMBOL, TIMEFRAME),
    ignored=(
        "bars",
        "assetClass",
        "dataSource",
        "exchange",
        "provider",
        "startDate",
        "endDate",
        "start_date",
        "end_date",
    ),
)
CUSTOM_DATASET: Final = Component(
    type="customDataset",
    outputs=BARS,
    fields=(text("fileName", "the file that a backtest reads", "file_name", "file", "filename"), SYMBOL, TIMEFRAME),
    ignored=(
        "columnMap", "columnMapping", "columns", "dateColumn", "openColumn", "highColumn", "lowColumn", "closeColumn",
        "volumeColumn", "missingValue", "missingValues", "missingValueHandling", "normalization", "normalize",
        "fileSize", "fileType", "rows", "assetClass", "dataSource", "bars",
    ),
)  # fmt: skip

OPERATIONS: Final = ("and", "or", "not", "xor", "nand", "nor", "xnor")
LOGIC: Final = Component(
    type="logic",
    inputs=(Port(name="input", type="signal", many=True, aliases=("signal", "in", "data", "a", "b", "condition")),),
    outputs=(Port(name="signal", type="signal", aliases=("output", "result", "logic", "value")),),
    fields=(
        choice("operation", None, OPERATIONS, "how the inputs are joined", "operator", "logic", "gate"),
        Field(
            name="inputs", kind="int", least=1, most=50, description="how many inputs there have to be",
            aliases=("inputCount",),
        ),
    ),
)  # fmt: skip

SIGNAL_OUT: Final = Port(name="signal", type="signal", aliases=("output", "result", "condition", "trigger", "value"))
RISK_TYPES: Final = ("stop_loss", "take_profit", "atr_stop", "atr_target", "position_size", "max_drawdown", "slippage")
RISK: Final = Component(
    type="riskManagement",
    inputs=(
        Port(name="signal", type="signal", required=False, aliases=("input", "data", "trigger", "condition")),
        Port(
            name="value", type="numeric", required=False, aliases=("atr", "reference", "distance", "volatility"),
            description="atr_stop, atr_target: the distance that is multiplied",
        ),
    ),
    outputs=(Port(name="risk", type="risk", aliases=("output", "signal", "risk_signal", "result", "value")),),
    fields=(
        choice("riskType", None, RISK_TYPES, "what it sets", "risk_type", "type"),
        number(
            "maxLoss", None, 0, 100, "stop_loss, max_drawdown: percent", "max_loss", "stopLoss", "stop_loss",
            "percent", "value",
        ),
        number("target", None, 0, 1e6, "take_profit: percent", "takeProfit", "take_profit", "profitTarget"),
        number(
            "multiple", 2.0, 0.01, 1000, "atr_stop, atr_target: how many times the distance", "multiplier",
            "atrMultiplier",
        ),
        number(
            "portfolioHeat", None, 0, 100, "position_size: percent of the portfolio", "portfolio_heat",
            "positionSize", "size",
        ),
        number("slippage", None, 0, 100, "slippage: percent of the price", "maxSlippage", "max_slippage"),
    ),
    ignored=("riskCategory", "category", "riskLevel"),
)  # fmt: skip
RISK_NEEDS: Final = {
    "stop_loss": "maxLoss",
    "take_profit": "target",
    "position_size": "portfolioHeat",
    "max_drawdown": "maxLoss",
    "slippage": "slippage",
}
"""Which parameter each type of risk has to have."""

ACTIONS: Final = {
    ("entry", "buy"): "BUY", ("entry", "long"): "BUY", ("entry", "enter_long"): "BUY",
    ("entry", "sell"): "SELL", ("entry", "short"): "SELL", ("entry", "enter_short"): "SELL",
    ("entry", "hold"): "HOLD",
    ("exit", "sell"): "CLOSE_LONG", ("exit", "close_long"): "CLOSE_LONG", ("exit", "exit_long"): "CLOSE_LONG",
    ("exit", "buy"): "CLOSE_SHORT", ("exit", "close_short"): "CLOSE_SHORT", ("exit", "exit_short"): "CLOSE_SHORT",
    ("exit", "close"): "CLOSE_ALL", ("exit", "close_all"): "CLOSE_ALL", ("exit", "exit"): "CLOSE_ALL",
    ("exit", "hold"): "HOLD",
}  # fmt: skip
"""The action of the signal, by category and action; an action with only one meaning needs no category."""
CATEGORIES: Final = ("entry", "exit", "management", "portfolio")
WORDS: Final = tuple(dict.fromkeys(word for _, word in ACTIONS))
NOT_DEPLOYED: Final = {
    "management": "managing a position (trailing stops, scaling in and out) needs the fills of an account",
    "portfolio": "rebalancing a portfolio needs the positions of an account",
}
ORDER_TYPES: Final = ("market", "limit", "stop")
ACTION: Final = Component(
    type="action",
    inputs=(
        Port(name="signal", type="signal", accepts=("risk",), aliases=("trigger", "input", "data", "condition")),
        Port(name="risk", type="risk", required=False, many=True, aliases=("risk_signal", "riskmanagement")),
    ),
    fields=(
        Field(
            name="actionCategory", kind="choice", choices=CATEGORIES, aliases=("action_category", "category"),
            description="what it is for; without it the action says",
        ),
        choice("action", None, WORDS, "what the signal says", "type", "side"),
        text("symbol", "the market that the signal is for, where the workflow has several", "ticker", "market"),
        choice(
            "repeat", "on_change", ("on_change", "every_bar"), "when it becomes true, or as long as it is",
            "trigger",
        ),
        number("confidence", None, 0, 1, "of its signals; without it the signal says that it was left out"),
        number("quantity", None, 1e-12, 1e12, "units of the instrument", "amount"),
        number(
            "positionSizing", None, 0, 100, "percent of the portfolio", "position_size", "positionSize",
            "position_sizing",
        ),
        choice("order_type", "market", ORDER_TYPES, "of an order that follows", "orderType"),
        choice("time_in_force", "gtc", ("gtc", "ioc", "fok", "day"), "of an order that follows", "timeInForce", "tif"),
        number("price_offset", 0.0, 0, 100, "of a limit or stop order: percent from the close", "limitOffset"),
        number("stop_loss", None, 0, 100, "percent of the close", "stopLoss", "stop_loss_percent"),
        number("take_profit", None, 0, 1e6, "percent of the close", "takeProfit", "take_profit_percent"),
        number("max_slippage", None, 0, 100, "percent of the price", "maxSlippage", "slippage"),
        number("validity", None, 0.001, 31_536_000, "seconds in which somebody may act on it", "validity_s", "expiry"),
    ),
    ignored=("description", "notes", "positionSizingMethod", "sizingMethod"),
)  # fmt: skip
OUTPUT: Final = Component(
    type="output",
    inputs=(Port(name="value", type="numeric", accepts=("signal",), aliases=("input", "data", "signal", "output")),),
    fields=(text("name", "the figure's name; empty: the node's label", "label", "metric"),),
    ignored=("format", "outputType", "destination", "description", "type"),
)

TYPES: Final = (
    "dataSource", "customDataset", "technicalIndicator", "condition", "logic", "riskManagement", "action", "output",
)  # fmt: skip
TYPE_ALIASES: Final = {
    "risk": "riskManagement", "indicator": "technicalIndicator", "dataset": "customDataset", "data": "dataSource",
    "logicgate": "logic", "riskmanager": "riskManagement",
} | {each.lower(): each for each in TYPES}  # fmt: skip
REFUSED: Final = {
    "sentiment": "no source of news or posts is connected to the runtime",
    "sentimentanalysis": "no source of news or posts is connected to the runtime",
    "economiccalendar": "no calendar of economic events is connected to the runtime",
    "fundamental": "no source of fundamental figures is connected to the runtime",
    "fundamentalanalysis": "no source of fundamental figures is connected to the runtime",
    "correlation": "correlations of several markets are not a node; draw a condition on two data sources",
    "correlationanalysis": "correlations of several markets are not a node; draw a condition on two data sources",
    "marketregime": "regimes are judged by agents; use the conditions strong_trend, weak_trend or volatility_above",
    "marketregimedetection": "regimes are judged by agents; use strong_trend, weak_trend or volatility_above",
    "regime": "regimes are judged by agents; use the conditions strong_trend, weak_trend or volatility_above",
    "multitimeframe": "draw a data source for each timeframe, and conditions of the kind multi_timeframe",
    "multitimeframeanalysis": "draw a data source for each timeframe, and conditions of the kind multi_timeframe",
    "model": "a workflow is rules alone; models are served by the decision server",
    "mlmodel": "a workflow is rules alone; models are served by the decision server",
    "prediction": "a workflow is rules alone; models are served by the decision server",
}
"""Nodes that editors offer and the runtime does not compile, and why."""

INDICATOR_IGNORED: Final = ("indicatorCategory", "category", "description", "timeframe", "output", "outputs")
CONDITION_IGNORED: Final = ("conditionType", "category", "description", "timeframe", "operator_type")


def canonical_type(name: str) -> str | None:
    """The type that an editor's name means; None: none that is known, or one that is refused."""
    return TYPE_ALIASES.get(_squeezed(name))


def refusal(name: str) -> str | None:
    """Why a type of node that is known is not compiled."""
    return REFUSED.get(_squeezed(name))


def indicator_component(kind: IndicatorKind) -> Component:
    """The node of an indicator: its own parameters, a handle for each of its outputs."""
    first, *others = kind.outputs
    aliases = ("value", "output", "result", "default") if first != "value" else ("output", "result", "default")
    if "signal" not in kind.outputs:
        aliases = (*aliases, "signal")
    outputs = (Port(name=first, type="numeric", aliases=aliases), *(Port(name=each, type="numeric") for each in others))
    accepts: tuple[DataType, ...] = ("numeric",) if kind.series else ()
    inputs = (Port(name="data", type="ohlcv", aliases=("input", "value", "ohlcv", "source", "bars"), accepts=accepts),)
    return Component(
        type="technicalIndicator",
        inputs=inputs,
        outputs=outputs,
        fields=(Field(name="indicator", kind="choice", required=True, choices=(kind.code,)), *kind.all_fields()),
        ignored=(*INDICATOR_IGNORED, "source", "multiplier"),
    )


def condition_component(operator: type[Operator]) -> Component:
    """The node of a condition: its operator's ports and parameters."""
    inputs: list[Port] = []
    fields: list[Field] = []
    pair = len(operator.PORTS) > 1
    for port in operator.PORTS:
        if port == "bars":
            aliases: tuple[str, ...] = ("input", "bars", "ohlcv", "source", *(() if pair else ("value",)))
            inputs.append(Port(name="data", type="ohlcv", aliases=aliases))
        elif port in ("value", "values"):
            # Where there are two inputs, an editor calls the first one `data` and the second one `value`.
            aliases = ("input", "a", "left", "first", "indicator", *(() if pair else ("value", "values")))
            many = port == "values"
            inputs.append(Port(name="data", type="numeric", many=many, accepts=("ohlcv",), aliases=aliases))
            fields.append(SOURCE)
        else:
            required = operator.FAMILY == "multi_timeframe"
            aliases = ("value", "value2", "b", "right", "second", "threshold", "compare", "level")
            inputs.append(
                Port(name="reference", type="numeric", accepts=("ohlcv",), aliases=aliases, required=required)
            )
            if not required:
                description = "the reference, where none is connected"
                fields.append(number("value", None, None, None, description, "threshold", live=True))
    return Component(
        type="condition",
        inputs=tuple(inputs),
        outputs=(SIGNAL_OUT,),
        fields=(
            Field(name="condition", kind="choice", required=True, choices=(operator.CODE,)), CONFIRMATION,
            *fields, *operator.FIELDS,
        ),
        ignored=(*CONDITION_IGNORED, "value", "period", "value2", "threshold"),
    )  # fmt: skip


FIXED: Final = {each.type: each for each in (DATA_SOURCE, CUSTOM_DATASET, LOGIC, RISK, ACTION, OUTPUT)}
"""The types whose ports do not depend on a parameter."""


def find_port(ports: tuple[Port, ...], handle: str) -> Port | None:
    """The port that a handle names; an empty handle means the first."""
    if not handle:
        return ports[0] if ports else None
    name = _handle(handle)
    return (
        next((each for each in ports if each.name == name), None)
        or next((each for each in ports if name in each.aliases), None)
        or next((each for each in ports if handle.lower() == each.name), None)
    )


def _handle(handle: str) -> str:
    """A handle without what editors put around a name: `signal-output`, `input-0`, `out-macd`."""
    name = re.sub(r"[^a-z0-9]+", "_", handle.lower()).strip("_")
    name = re.sub(r"_(\d+|output|input|out|in|handle|source|target)$", "", name)
    name = re.sub(r"^(output|input|out|in|source|target)_(?=[a-z])", "", name)
    return re.sub(r"(?<=[a-z])\d$", "", name) if name not in ("hl2", "hlc3", "ohlc4", "value2") else name


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def catalogue() -> dict[str, Any]:
    """Everything above as plain data, for an editor's palette."""
    nodes = [_shown(FIXED[name]) for name in TYPES if name in FIXED]
    return {
        "node_types": list(TYPES),
        "components": nodes,
        "indicators": [
            {
                "code": kind.code,
                "name": kind.title,
                "category": kind.category,
                "aliases": list(kind.aliases),
                "engine": kind.engine,
                "columns": list(kind.inputs),
                **_ports_and_fields(indicator_component(kind), "indicator"),
            }
            for kind in KINDS.values()
        ],
        "conditions": [
            {
                "code": operator.CODE,
                "category": operator.FAMILY,
                "definition": definition(operator),
                "aliases": list(operator.ALIASES),
                **_ports_and_fields(condition_component(operator), "condition"),
            }
            for operator in OPERATORS.values()
        ],
        "condition_categories": list(FAMILIES),
        "timeframes": list(TIMEFRAMES),
        "sources": list(SOURCES),
        "refused": dict(sorted(REFUSED.items())),
    }


def _shown(component: Component) -> dict[str, Any]:
    return {"type": component.type, **_ports_and_fields(component, "")}


def _ports_and_fields(component: Component, without: str) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": each.name, "types": list(each.types), "required": each.required, "many": each.many}
            for each in component.inputs
        ],
        "outputs": [{"name": each.name, "type": each.type} for each in component.outputs],
        "parameters": [
            {
                "name": each.name,
                "type": each.kind,
                "default": each.default,
                "minimum": each.least,
                "maximum": each.most,
                "choices": list(each.choices),
                "required": each.required,
                "description": each.description,
            }
            for each in component.fields
            if each.name != without
        ],
    }

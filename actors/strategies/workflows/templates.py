"""Ready workflows: what many begin with, and examples of how one is drawn."""

from __future__ import annotations

from typing import Any, Final

import msgspec

Drawn = dict[str, Any]


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow that is ready to be used. `idea`: when it acts, in words."""

    id: str
    name: str
    category: str
    difficulty: str
    idea: str
    tags: tuple[str, ...]
    workflow: Drawn


def _node(id: str, kind: str, label: str, x: int, y: int, **parameters: Any) -> Drawn:
    position = {"x": x, "y": y}
    return {"id": id, "type": kind, "position": position, "data": {"label": label, "parameters": parameters}}


def _prices(timeframe: str, id: str = "prices", label: str = "Prices", y: int = 200) -> Drawn:
    return _node(id, "dataSource", label, 0, y, symbol="", timeframe=timeframe)


def _indicator(id: str, label: str, x: int, y: int, indicator: str, **parameters: Any) -> Drawn:
    return _node(id, "technicalIndicator", label, x, y, indicator=indicator, **parameters)


def _condition(id: str, label: str, x: int, y: int, condition: str, **parameters: Any) -> Drawn:
    return _node(id, "condition", label, x, y, condition=condition, **parameters)


def _action(id: str, label: str, x: int, y: int, action: str, category: str = "entry", **parameters: Any) -> Drawn:
    return _node(id, "action", label, x, y, actionCategory=category, action=action, **parameters)


def _edges(*ends: tuple[str, str, str, str]) -> list[Drawn]:
    return [
        {"id": f"e{place}", "source": source, "target": target, "sourceHandle": output, "targetHandle": port}
        for place, (source, output, target, port) in enumerate(ends, 1)
    ]


def _drawn(nodes: list[Drawn], edges: list[Drawn]) -> Drawn:
    return {"nodes": nodes, "edges": edges, "config": {}}


OUT: Final = "data-output"
IN: Final = "data-input"
VALUE: Final = "value-output"
SECOND: Final = "value-input"
SIGNAL: Final = "signal-output"
TRIGGER: Final = "signal-input"

CROSSING: Final = Template(
    id="moving-average-cross",
    name="Moving average cross",
    category="trend",
    difficulty="beginner",
    idea="Long when the fast average crosses above the slow one; out of it when it crosses back below.",
    tags=("ema", "crossover"),
    workflow=_drawn(
        [
            _prices("1h"),
            _indicator("fast", "Fast average", 250, 100, "EMA", period=20),
            _indicator("slow", "Slow average", 250, 300, "EMA", period=50),
            _condition("above", "Crosses above", 500, 100, "cross_above"),
            _condition("below", "Crosses below", 500, 300, "cross_below"),
            _action("buy", "Go long", 750, 100, "buy", stop_loss=2.0, take_profit=4.0),
            _action("leave", "Close the long", 750, 300, "close_long", "exit"),
        ],
        _edges(
            ("prices", OUT, "fast", IN), ("prices", OUT, "slow", IN),
            ("fast", VALUE, "above", IN), ("slow", VALUE, "above", SECOND),
            ("fast", VALUE, "below", IN), ("slow", VALUE, "below", SECOND),
            ("above", SIGNAL, "buy", TRIGGER), ("below", SIGNAL, "leave", TRIGGER),
        ),
    ),
)  # fmt: skip

REVERSION: Final = Template(
    id="rsi-reversion",
    name="RSI reversion",
    category="mean_reversion",
    difficulty="beginner",
    idea="Long when the RSI comes back above 30, closed when it is above 55; stop three percent below.",
    tags=("rsi", "oversold"),
    workflow=_drawn(
        [
            _prices("1h"),
            _indicator("rsi", "RSI", 250, 200, "RSI", period=14),
            _condition("recovers", "Leaves oversold", 500, 100, "cross_above", value=30),
            _condition("recovered", "Recovered", 500, 300, "greater_than", value=55),
            _action("buy", "Buy the dip", 750, 100, "buy", stop_loss=3.0),
            _action("leave", "Take the profit", 750, 300, "close_long", "exit"),
        ],
        _edges(
            ("prices", OUT, "rsi", IN), ("rsi", VALUE, "recovers", IN), ("rsi", VALUE, "recovered", IN),
            ("recovers", SIGNAL, "buy", TRIGGER), ("recovered", SIGNAL, "leave", TRIGGER),
        ),
    ),
)  # fmt: skip

BREAKOUT: Final = Template(
    id="bollinger-breakout",
    name="Bollinger breakout",
    category="breakout",
    difficulty="intermediate",
    idea="Long when the close crosses the upper band while the bands are narrow; a stop of two average true ranges.",
    tags=("bollinger", "squeeze", "atr"),
    workflow=_drawn(
        [
            _prices("1h"),
            _indicator("bands", "Bollinger bands", 250, 100, "BB", period=20, multiplier=2.0),
            _indicator("range", "Average true range", 250, 400, "ATR", period=14),
            _condition("out", "Close above the band", 500, 100, "cross_above"),
            _condition("quiet", "Bands were narrow", 500, 250, "bandwidth_below", percent=4.0),
            _node("both", "logic", "Breakout from quiet", 700, 150, operation="AND", inputs=2),
            _node("stop", "riskManagement", "Stop", 700, 400, riskType="atr_stop", multiple=2.0),
            _action("buy", "Go with it", 900, 200, "buy"),
        ],
        _edges(
            ("prices", OUT, "bands", IN), ("prices", OUT, "range", IN),
            ("prices", "close", "out", IN), ("bands", "upper-output", "out", SECOND), ("prices", OUT, "quiet", IN),
            ("out", SIGNAL, "both", "input-0"), ("quiet", SIGNAL, "both", "input-1"),
            ("range", VALUE, "stop", "value"), ("both", "output", "buy", TRIGGER), ("stop", "risk", "buy", "risk"),
        ),
    ),
)  # fmt: skip

MACD: Final = Template(
    id="macd-with-trend",
    name="MACD with a trend filter",
    category="momentum",
    difficulty="intermediate",
    idea="Long when the MACD crosses its signal line while the close is above the average of 200 bars; short below it.",
    tags=("macd", "ema", "filter"),
    workflow=_drawn(
        [
            _prices("4h"),
            _indicator("macd", "MACD", 250, 100, "MACD", fastPeriod=12, slowPeriod=26, signalPeriod=9),
            _indicator("trend", "Long average", 250, 350, "EMA", period=200),
            _condition("up", "MACD turns up", 500, 50, "cross_above"),
            _condition("down", "MACD turns down", 500, 180, "cross_below"),
            _condition("above", "Above the average", 500, 300, "greater_than"),
            _condition("below", "Below the average", 500, 430, "less_than"),
            _node("long", "logic", "Up in an uptrend", 700, 120, operation="AND", inputs=2),
            _node("short", "logic", "Down in a downtrend", 700, 350, operation="AND", inputs=2),
            _action("buy", "Long", 900, 120, "buy", stop_loss=2.5, take_profit=5.0),
            _action("sell", "Short", 900, 350, "sell", stop_loss=2.5, take_profit=5.0),
        ],
        _edges(
            ("prices", OUT, "macd", IN), ("prices", OUT, "trend", IN),
            ("macd", "macd-output", "up", IN), ("macd", "signal-output", "up", SECOND),
            ("macd", "macd-output", "down", IN), ("macd", "signal-output", "down", SECOND),
            ("prices", OUT, "above", IN), ("trend", VALUE, "above", SECOND),
            ("prices", OUT, "below", IN), ("trend", VALUE, "below", SECOND),
            ("up", SIGNAL, "long", "input-0"), ("above", SIGNAL, "long", "input-1"),
            ("down", SIGNAL, "short", "input-0"), ("below", SIGNAL, "short", "input-1"),
            ("long", "output", "buy", TRIGGER), ("short", "output", "sell", TRIGGER),
        ),
    ),
)  # fmt: skip

VOLUME: Final = Template(
    id="volume-breakout",
    name="Volume breakout",
    category="breakout",
    difficulty="beginner",
    idea="Long when the close breaks the highs of 20 bars on more than twice their mean volume.",
    tags=("volume", "donchian"),
    workflow=_drawn(
        [
            _prices("15m"),
            _condition("high", "Breaks the highs", 250, 100, "breakout_up", bars=20),
            _condition("volume", "Heavy volume", 250, 300, "volume_spike", period=20, factor=2.0),
            _node("both", "logic", "With volume", 500, 200, operation="AND", inputs=2),
            _action("buy", "Buy the breakout", 750, 200, "buy", stop_loss=1.5, take_profit=3.0),
        ],
        _edges(
            ("prices", OUT, "high", IN), ("prices", OUT, "volume", IN),
            ("high", SIGNAL, "both", "input-0"), ("volume", SIGNAL, "both", "input-1"),
            ("both", "output", "buy", TRIGGER),
        ),
    ),
)  # fmt: skip

TIMEFRAMES: Final = Template(
    id="multi-timeframe-pullback",
    name="Pullback in a higher timeframe's trend",
    category="multi_timeframe",
    difficulty="advanced",
    idea="In an uptrend of the 4-hour bars, long when the 15-minute RSI comes back above 35.",
    tags=("rsi", "4h", "15m"),
    workflow=_drawn(
        [
            _prices("15m", "fast", "15-minute prices", 100),
            _prices("4h", "slow", "4-hour prices", 350),
            _indicator("rsi", "RSI", 250, 100, "RSI", period=14),
            _condition("recovers", "Pullback is over", 500, 100, "cross_above", value=35),
            _condition("trend", "Uptrend of 4 hours", 500, 350, "uptrend", period=50),
            _node("both", "logic", "With the trend", 700, 200, operation="AND", inputs=2),
            _action("buy", "Join the trend", 900, 200, "buy", stop_loss=1.0, take_profit=2.5),
        ],
        _edges(
            ("fast", OUT, "rsi", IN), ("rsi", VALUE, "recovers", IN), ("slow", OUT, "trend", IN),
            ("recovers", SIGNAL, "both", "input-0"), ("trend", SIGNAL, "both", "input-1"),
            ("both", "output", "buy", TRIGGER),
        ),
    ),
)  # fmt: skip

CANDLES: Final = Template(
    id="engulfing-at-the-band",
    name="Engulfing pattern at the lower band",
    category="pattern",
    difficulty="intermediate",
    idea="Long at a bullish engulfing pattern whose bar touches the lower Bollinger band.",
    tags=("candles", "bollinger"),
    workflow=_drawn(
        [
            _prices("1h"),
            _indicator("bands", "Bollinger bands", 250, 100, "BB", period=20, multiplier=2.0),
            _condition("touch", "Touches the lower band", 500, 100, "touches"),
            _condition("pattern", "Bullish engulfing", 500, 300, "engulfing", direction="bullish"),
            _node("both", "logic", "Turn at the band", 700, 200, operation="AND", inputs=2),
            _action("buy", "Buy the turn", 900, 200, "buy", stop_loss=2.0),
        ],
        _edges(
            ("prices", OUT, "bands", IN), ("prices", OUT, "touch", IN), ("bands", "lower-output", "touch", SECOND),
            ("prices", OUT, "pattern", IN), ("touch", SIGNAL, "both", "input-0"),
            ("pattern", SIGNAL, "both", "input-1"), ("both", "output", "buy", TRIGGER),
        ),
    ),
)  # fmt: skip

TEMPLATES: Final = {
    each.id: each for each in (CROSSING, REVERSION, BREAKOUT, MACD, VOLUME, TIMEFRAMES, CANDLES)
}  # fmt: skip
"""The templates by id."""

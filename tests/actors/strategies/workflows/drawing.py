"""Short words for drawing workflows in tests."""

from __future__ import annotations

from typing import Any

Drawn = dict[str, Any]


def node(id: str, kind: str, label: str = "", **parameters: Any) -> Drawn:
    return {
        "id": id,
        "type": kind,
        "position": {"x": 0, "y": 0},
        "data": {"label": label or id.title(), "parameters": parameters},
    }


def source(id: str = "prices", symbol: str = "", timeframe: str = "1h") -> Drawn:
    return node(id, "dataSource", symbol=symbol, timeframe=timeframe)


def indicator(id: str, code: str, **parameters: Any) -> Drawn:
    return node(id, "technicalIndicator", indicator=code, **parameters)


def condition(id: str, code: str, **parameters: Any) -> Drawn:
    return node(id, "condition", condition=code, **parameters)


def logic(id: str, operation: str) -> Drawn:
    return node(id, "logic", operation=operation)


def action(id: str = "buy", word: str = "buy", **parameters: Any) -> Drawn:
    return node(id, "action", action=word, **parameters)


def drawn(nodes: list[Drawn], *ends: str) -> Drawn:
    """Edges are `source.output > target.input`; both handles may be left out."""
    edges = []
    for place, text in enumerate(ends):
        (start, output), (target, port) = (_end(each) for each in text.split(">"))
        edges.append(
            {"id": f"e{place}", "source": start, "target": target, "sourceHandle": output, "targetHandle": port}
        )
    return {"nodes": nodes, "edges": edges, "config": {}}


def _end(text: str) -> tuple[str, str]:
    name, _, handle = text.strip().partition(".")
    return name, handle


SIMPLE = drawn(
    [source(), indicator("rsi", "RSI", period=14), condition("low", "less_than", value=30), action()],
    "prices>rsi",
    "rsi>low",
    "low>buy",
)

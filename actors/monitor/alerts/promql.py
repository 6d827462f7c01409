"""A rule in the language of Prometheus, so that a node's own rules and those that Prometheus is given are the same.

The two differ where Prometheus cannot know what a node knows: `mean_of_last` becomes a window of as many intervals, and
where a rule here is unknown, the expression there has no result, which does not fire either.
"""

from __future__ import annotations

from actors.monitor.alerts.expression import (
    Aggregate,
    Arithmetic,
    AverageOver,
    Both,
    Comparison,
    Either,
    Latest,
    MeanOfLast,
    Node,
    Number,
    Quantile,
    Rate,
    Ratio,
    Selector,
)

_AGGREGATES = {"sum": "sum", "min": "min", "max": "max", "mean": "avg"}


def promql(node: Node, by: tuple[str, ...], interval_s: float, histograms: frozenset[str]) -> str:
    """The expression. `histograms`: the names of metrics that are such, whose means are of what they observed."""
    return _Writer(by, interval_s, histograms).text(node)


def duration(seconds: float) -> str:
    """Seconds as Prometheus writes them: `5m`, `90s`, `1h`."""
    whole = round(seconds)
    for unit, size in (("h", 3600), ("m", 60)):
        if whole % size == 0 and whole:
            return f"{whole // size}{unit}"
    return f"{max(1, whole)}s"


def number(value: float) -> str:
    """A number without a needless fraction."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def selected(selector: Selector, suffix: str = "") -> str:
    """A selector."""
    parts = []
    for matcher in selector.matchers:
        operator = ("=~" if matcher.choice else "=") if matcher.equal else ("!~" if matcher.choice else "!=")
        parts.append(f'{matcher.label}{operator}"{"|".join(matcher.values)}"')
    return f"{selector.name}{suffix}" + ("{" + ", ".join(parts) + "}" if parts else "")


class _Writer:
    def __init__(self, by: tuple[str, ...], interval_s: float, histograms: frozenset[str]) -> None:
        self.by = by
        self.interval_s = interval_s
        self.histograms = histograms

    def text(self, node: Node) -> str:
        match node:
            case Number(value=value):
                return number(value)
            case Latest(of=selector, aggregate=aggregate):
                return self.latest(selector, aggregate)
            case AverageOver(of=latest, window_s=window):
                return self.mean(latest, duration(window))
            case MeanOfLast(of=latest, count=count):
                return self.mean(latest, duration(count * self.interval_s))
            case Rate(of=selector, window_s=window):
                return self.sum(f"rate({selected(selector)}[{duration(window)}])")
            case Ratio(part=part, whole=whole, window_s=window):
                over = duration(window)
                above = self.sum(f"increase({selected(part)}[{over}])")
                return f"({above} / {self.sum(f'increase({selected(whole)}[{over}])')})"
            case Quantile(q=q, of=selector, window_s=window):
                labels = ", ".join(("le", *self.by))
                rate = f"rate({selected(selector, '_bucket')}[{duration(window)}])"
                return f"histogram_quantile({number(q)}, sum by ({labels}) ({rate}))"
            case Arithmetic(operator=operator, left=left, right=right):
                return f"({self.text(left)} {operator} {self.text(right)})"
            case Comparison(operator=operator, left=left, right=right):
                return f"{self.text(left)} {operator} {self.text(right)}"
            case Both(parts=parts):
                return " and ".join(f"({self.text(part)})" for part in parts)
            case Either(parts=parts):
                return " or ".join(f"({self.text(part)})" for part in parts)

    def sum(self, inner: str) -> str:
        return f"sum by ({', '.join(self.by)}) ({inner})" if self.by else f"sum({inner})"

    def latest(self, selector: Selector, aggregate: Aggregate | None) -> str:
        if aggregate is None:
            return selected(selector)
        of = f" by ({', '.join(self.by)}) " if self.by else ""
        return f"{_AGGREGATES[aggregate]}{of}({selected(selector)})"

    def mean(self, latest: Latest, over: str) -> str:
        selector = latest.of
        if selector.name in self.histograms:
            total = self.sum(f"rate({selected(selector, '_sum')}[{over}])")
            count = selected(selector, "_count")
            return f"({total} / {self.sum(f'rate({count}[{over}])')})"
        if latest.aggregate is None:
            return f"avg_over_time({selected(selector)}[{over}])"
        inner = self.latest(selector, latest.aggregate)
        return f"avg_over_time(({inner})[{over}:{duration(self.interval_s)}])"

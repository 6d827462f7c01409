"""What a rule says: a small language over the node's own metrics, read into a tree and never executed as code.

    mean_of_last(rl_predict_duration_seconds, 10) > 1
    ratio(rl_predictions_total{served_by="fallback"}, rl_predictions_total{served_by!="rule"}, 10m) > 0.05
    quantile(0.99, rl_predict_duration_seconds{model="bull"}, 5m) > 0.1 and max(rl_queue_depth) >= 10

    rule       = conjunction { "or" conjunction }
    conjunction= comparison { "and" comparison }
    comparison = sum [ ( "<" | "<=" | ">" | ">=" | "==" | "!=" ) sum ]
    sum        = product { ( "+" | "-" ) product }
    product    = factor { ( "*" | "/" ) factor }
    factor     = "-" factor | number | "(" rule ")" | selector
               | ( "sum" | "min" | "max" | "mean" ) "(" selector ")"
               | "avg_over" "(" series "," duration ")"
               | "rate" "(" selector "," duration ")"
               | "mean_of_last" "(" series "," count ")"
               | "ratio" "(" selector "," selector "," duration ")"
               | "quantile" "(" number "," selector "," duration ")"
    series     = selector | ( "sum" | "min" | "max" | "mean" ) "(" selector ")"
    selector   = name [ "{" label ( "=" | "!=" | "=~" | "!~" ) "text" { "," … } "}" ]
    duration   = number ( "s" | "m" | "h" )

The text after `=~` and `!~` is a choice of whole texts, `"A|B"`: what Prometheus reads alike, without the expressions
that can hang. Names of histograms stand without `_bucket`, `_sum`, `_count`. No trio, no clock: this is a core.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NoReturn

import msgspec

MOST_CHARACTERS: Final = 2_000
MOST_NESTED: Final = 30
"""A rule is read by functions that call one another: without a bound a text of parentheses would end the process."""

Comparator = Literal["<", "<=", ">", ">=", "==", "!="]
Aggregate = Literal["sum", "min", "max", "mean"]
AGGREGATES: Final = ("sum", "min", "max", "mean")
FUNCTIONS: Final = ("avg_over", "mean_of_last", "quantile", "rate", "ratio")
UNITS: Final = {"s": 1, "m": 60, "h": 3600}


class ExpressionError(ValueError):
    """The text is no rule. `column` is counted from 1; `expected` and `got` are parts of a sentence."""

    def __init__(self, column: int, expected: str, got: str) -> None:
        super().__init__(f"column {column}: expected {expected}, got {got}")
        self.column = column
        self.expected = expected
        self.got = got


class Matcher(msgspec.Struct, frozen=True):
    """One condition on a label. `values` has one text, or several for a choice; `equal` False: none of them.

    A label that a series does not have is the empty text.
    """

    label: str
    values: tuple[str, ...]
    equal: bool
    choice: bool = False

    def holds(self, text: str) -> bool:
        """Whether a label with this text satisfies it."""
        return (text in self.values) == self.equal


class Selector(msgspec.Struct, frozen=True):
    """The series of one metric that satisfy all matchers."""

    name: str
    matchers: tuple[Matcher, ...] = ()

    def selects(self, labels: dict[str, str]) -> bool:
        """Whether a series with these labels is one of them."""
        return all(matcher.holds(labels.get(matcher.label, "")) for matcher in self.matchers)


class Number(msgspec.Struct, frozen=True):
    """A constant."""

    value: float


class Latest(msgspec.Struct, frozen=True):
    """The value at the last sampling. `aggregate` None: there has to be exactly one series."""

    of: Selector
    aggregate: Aggregate | None = None


class AverageOver(msgspec.Struct, frozen=True):
    """The mean over a window: of a gauge's samples, or of what a histogram observed."""

    of: Latest
    window_s: float


class MeanOfLast(msgspec.Struct, frozen=True):
    """The mean of the last samples of a gauge, or of what a histogram observed between so many samplings."""

    of: Latest
    count: int


class Rate(msgspec.Struct, frozen=True):
    """How much a counter grows in a second, all its series together."""

    of: Selector
    window_s: float


class Ratio(msgspec.Struct, frozen=True):
    """The growth of one counter as a share of the growth of another."""

    part: Selector
    whole: Selector
    window_s: float


class Quantile(msgspec.Struct, frozen=True):
    """A quantile of what a histogram observed within a window, interpolated in its bucket."""

    q: float
    of: Selector
    window_s: float


class Arithmetic(msgspec.Struct, frozen=True):
    """Two numbers and what is done with them."""

    operator: Literal["+", "-", "*", "/"]
    left: Value
    right: Value


class Comparison(msgspec.Struct, frozen=True):
    """Two numbers compared: a condition."""

    operator: Comparator
    left: Value
    right: Value


class Both(msgspec.Struct, frozen=True):
    """All of these conditions."""

    parts: tuple[Condition, ...]


class Either(msgspec.Struct, frozen=True):
    """One of these conditions."""

    parts: tuple[Condition, ...]


Value = Number | Latest | AverageOver | MeanOfLast | Rate | Ratio | Quantile | Arithmetic
Condition = Comparison | Both | Either
Node = Value | Condition

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<duration>\d+(?:\.\d+)?[smh](?![A-Za-z0-9_]))
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![A-Za-z0-9_]))
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<text>"[^"\\\n]*")
      | (?P<sign><=|>=|==|!=|=~|!~|[<>=+\-*/(){},])""",
    re.VERBOSE,
)
_PLAIN = re.compile(r"[^.*+?^$()\[\]{}\\]*")
"""In a choice nothing may mean more to Prometheus than to us."""


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    column: int

    @property
    def shown(self) -> str:
        return "the end" if self.kind == "end" else repr(self.text)


def parse(text: str) -> Condition:
    """Read a rule. Raises ExpressionError, which names the place, what was expected there and what came."""
    return _Reader(_tokens(text)).whole()


def selectors(node: Node) -> tuple[Selector, ...]:
    """The selectors of a rule, from left to right."""
    match node:
        case Latest(of=selector) | Rate(of=selector) | Quantile(of=selector):
            return (selector,)
        case AverageOver(of=latest) | MeanOfLast(of=latest):
            return (latest.of,)
        case Ratio(part=part, whole=whole):
            return (part, whole)
        case Arithmetic(left=left, right=right) | Comparison(left=left, right=right):
            return (*selectors(left), *selectors(right))
        case Both(parts=parts) | Either(parts=parts):
            return tuple(found for part in parts for found in selectors(part))
        case Number():
            return ()


def longest_window(node: Node, interval_s: float) -> float:
    """How many seconds of samples a rule looks back, when there is one every `interval_s`."""
    match node:
        case AverageOver(window_s=window) | Rate(window_s=window) | Ratio(window_s=window) | Quantile(window_s=window):
            return window
        case MeanOfLast(count=count):
            return count * interval_s
        case Arithmetic(left=left, right=right) | Comparison(left=left, right=right):
            return max(longest_window(left, interval_s), longest_window(right, interval_s))
        case Both(parts=parts) | Either(parts=parts):
            return max(longest_window(part, interval_s) for part in parts)
        case Number() | Latest():
            return 0.0


def _tokens(text: str) -> list[_Token]:
    if len(text) > MOST_CHARACTERS:
        raise ExpressionError(MOST_CHARACTERS + 1, f"at most {MOST_CHARACTERS} characters", f"{len(text)}")
    found = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(at + 1, "a name, a number, a text in double quotes or an operator", repr(text[at]))
        if match.lastgroup != "space":
            found.append(_Token(str(match.lastgroup), match.group(), at + 1))
        at = match.end()
    found.append(_Token("end", "", len(text) + 1))
    return found


class _Reader:
    """One pass from left to right; a method for each line of the grammar."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0

    def whole(self) -> Condition:
        node = self.rule()
        if self.next.kind != "end":
            self.fail("an operator or the end")
        return self.condition(node, self.tokens[0])

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def fail(self, expected: str) -> NoReturn:
        raise ExpressionError(self.next.column, expected, self.next.shown)

    def take(self, *texts: str) -> str | None:
        """The next token, if it is one of these."""
        token = self.next
        if token.kind in ("sign", "name") and token.text in texts:
            self.at += 1
            return token.text
        return None

    def want(self, text: str) -> None:
        if self.take(text) is None:
            self.fail(repr(text))

    def of_kind(self, kind: str, expected: str) -> str:
        token = self.next
        if token.kind != kind:
            self.fail(expected)
        self.at += 1
        return token.text

    def condition(self, node: Node, begin: _Token) -> Condition:
        if isinstance(node, Comparison | Both | Either):
            return node
        raise ExpressionError(begin.column, "a comparison such as 'x > 1'", "a number without one")

    def value(self, node: Node, begin: _Token) -> Value:
        if isinstance(node, Comparison | Both | Either):
            raise ExpressionError(begin.column, "a number", "a condition")
        return node

    def rule(self) -> Node:
        return self.joined("or")

    def conjunction(self) -> Node:
        return self.joined("and")

    def joined(self, word: Literal["and", "or"]) -> Node:
        read = self.conjunction if word == "or" else self.comparison
        begin = self.next
        first = read()
        parts = [first]
        begins = [begin]
        while self.take(word):
            begins.append(self.next)
            parts.append(read())
        if len(parts) == 1:
            return first
        conditions = tuple(self.condition(node, start) for node, start in zip(parts, begins, strict=True))
        return Either(conditions) if word == "or" else Both(conditions)

    def comparison(self) -> Node:
        begin = self.next
        left = self.sum()
        operator = self.take("<", "<=", ">", ">=", "==", "!=")
        if operator is None:
            return left
        after = self.next
        right = self.value(self.sum(), after)
        return Comparison(msgspec.convert(operator, Comparator), self.value(left, begin), right)

    def sum(self) -> Node:
        begin = self.next
        left = self.product()
        while (sign := self.take("+", "-")) is not None:
            after = self.next
            right = self.value(self.product(), after)
            left = Arithmetic("+" if sign == "+" else "-", self.value(left, begin), right)
        return left

    def product(self) -> Node:
        begin = self.next
        left = self.factor()
        while (sign := self.take("*", "/")) is not None:
            after = self.next
            right = self.value(self.factor(), after)
            left = Arithmetic("*" if sign == "*" else "/", self.value(left, begin), right)
        return left

    def factor(self) -> Node:
        self.depth += 1
        if self.depth > MOST_NESTED:
            raise ExpressionError(self.next.column, f"at most {MOST_NESTED} levels", "one more")
        try:
            return self._factor()
        finally:
            self.depth -= 1

    def _factor(self) -> Node:
        token = self.next
        if self.take("-"):
            return Arithmetic("-", Number(0.0), self.value(self.factor(), token))
        if token.kind == "number":
            self.at += 1
            return Number(float(token.text))
        if self.take("("):
            inner = self.rule()
            self.want(")")
            return inner
        if token.kind == "name" and token.text not in ("and", "or"):
            if self.tokens[self.at + 1].text == "(":
                return self.call()
            return Latest(self.selector())
        raise ExpressionError(token.column, "a number, a metric, a function or '('", token.shown)

    def call(self) -> Value:
        name = self.next.text
        if name not in FUNCTIONS and name not in AGGREGATES:
            self.fail(f"one of {', '.join((*FUNCTIONS, *AGGREGATES))}")
        if name in AGGREGATES:
            return self.series()
        self.at += 2
        match name:
            case "avg_over":
                made: Value = AverageOver(self.series(), self.window())
            case "mean_of_last":
                series = self.series()
                self.want(",")
                made = MeanOfLast(series, self.count())
            case "rate":
                made = Rate(self.selector(), self.window())
            case "ratio":
                part = self.selector()
                self.want(",")
                made = Ratio(part, self.selector(), self.window())
            case _:
                q = self.share()
                self.want(",")
                made = Quantile(q, self.selector(), self.window())
        self.want(")")
        return made

    def series(self) -> Latest:
        if self.next.text in AGGREGATES and self.tokens[self.at + 1].text == "(":
            aggregate = msgspec.convert(self.next.text, Aggregate)
            self.at += 2
            selector = self.selector()
            self.want(")")
            return Latest(selector, aggregate)
        return Latest(self.selector())

    def share(self) -> float:
        begin = self.next
        q = float(self.of_kind("number", "a number from 0 to 1"))
        if not 0 <= q <= 1:
            raise ExpressionError(begin.column, "a number from 0 to 1", begin.shown)
        return q

    def count(self) -> int:
        begin = self.next
        text = self.of_kind("number", "how many samples, such as 10")
        if not text.isdecimal() or not 1 <= int(text) <= 10_000:
            raise ExpressionError(begin.column, "a whole number from 1 to 10000", begin.shown)
        return int(text)

    def window(self) -> float:
        self.want(",")
        begin = self.next
        text = self.of_kind("duration", "a duration such as 30s, 5m or 1h")
        seconds = float(text[:-1]) * UNITS[text[-1]]
        if not 0 < seconds <= 86_400:
            raise ExpressionError(begin.column, "a duration above 0 and up to 24h", begin.shown)
        return seconds

    def selector(self) -> Selector:
        token = self.next
        name = self.of_kind("name", "the name of a metric")
        if name in ("and", "or"):
            raise ExpressionError(token.column, "the name of a metric", token.shown)
        matchers: list[Matcher] = []
        if self.take("{"):
            while not self.take("}"):
                if matchers:
                    self.want(",")
                matchers.append(self.matcher())
        return Selector(name, tuple(matchers))

    def matcher(self) -> Matcher:
        label = self.of_kind("name", "the name of a label")
        operator = self.take("=", "!=", "=~", "!~")
        if operator is None:
            self.fail("'=', '!=', '=~' or '!~'")
        begin = self.next
        text = self.of_kind("text", "a text in double quotes")[1:-1]
        if operator in ("=", "!="):
            return Matcher(label, (text,), operator == "=")
        if not _PLAIN.fullmatch(text):
            raise ExpressionError(
                begin.column, "whole texts divided by '|', without . and other signs of expressions", begin.shown
            )
        return Matcher(label, tuple(text.split("|")), operator == "=~", choice=True)

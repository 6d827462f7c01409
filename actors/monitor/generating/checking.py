"""Whether expressions of Prometheus name only metrics that there are, and labels that those have.

No parser of the whole language: names of metrics, their matchers, and labels after `by` and its like are all that is
looked for. What else is wrong with an expression, `promtool check rules` tells.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from actors.monitor.alerts.rules import Rule
from actors.monitor.generating.dashboard import ANNOTATIONS, ROWS, VARIABLES
from actors.monitor.generating.rules_file import all_rules
from actors.monitor.registry import REGISTRY

_TOKEN: Final = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*")
      | (?P<window>\[[^\]]*\])
      | (?P<duration>\d+[smhdwy]\b)
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
      | (?P<sign>=~|!~|==|!=|<=|>=|[-+*/%^<>=(){},])
      | (?P<space>\s+)""",
    re.VERBOSE,
)
_MATCHES: Final = frozenset({"=", "!=", "=~", "!~"})
_LISTS: Final = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS: Final = frozenset({"and", "or", "unless", "offset", "bool", *_LISTS})
SCRAPED: Final = frozenset({"instance", "job"})
"""Labels that Prometheus adds to every series."""


class Named(msgspec.Struct, frozen=True):
    """What an expression names: samples, each with the labels of its matchers, and labels that it groups by."""

    samples: tuple[tuple[str, tuple[str, ...]], ...]
    groups: tuple[str, ...]


class Place(msgspec.Struct, frozen=True):
    """An expression, where it stands, and labels that a text beside it shows."""

    where: str
    expression: str
    shown: tuple[str, ...] = ()


def samples_of_registry() -> dict[str, frozenset[str]]:
    """The labels of every sample that a node shows."""
    return {
        name: frozenset(each.labels) | ({"le"} if name.endswith("_bucket") else frozenset())
        for each in REGISTRY
        for name in each.samples
    }


def named(expression: str) -> Named:
    """What an expression names. Raises ValueError for a sign that no expression has."""
    tokens = _tokens(expression)
    samples: list[tuple[str, tuple[str, ...]]] = []
    groups: list[str] = []
    at = 0
    while at < len(tokens):
        token, after = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        at += 1
        if token in _LISTS and after == "(":
            end = tokens.index(")", at)
            groups += [each for each in tokens[at + 1 : end] if each != ","]
            at = end + 1
        elif re.match(r"[A-Za-z_:]", token) and token not in _WORDS and after not in ("(", "by", "without"):
            labels: list[str] = []
            if after == "{":
                end = tokens.index("}", at)
                labels = [a for a, b in itertools.pairwise(tokens[at:end]) if b in _MATCHES]
                at = end + 1
            samples.append((token, tuple(labels)))
    return Named(tuple(samples), tuple(groups))


def _tokens(expression: str) -> list[str]:
    found = []
    at = 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise ValueError(f"column {at + 1}: {expression[at]!r} is no part of an expression")
        if match.lastgroup in ("name", "sign", "text"):
            found.append(match.group())
        at = match.end()
    return found


def places(rules: Sequence[Rule], interval_s: float) -> Iterator[Place]:
    """Every expression that is written."""
    for group, members in all_rules(rules, interval_s).items():
        for rule in members:
            texts = rule.summary + rule.description
            yield Place(f"{group}: {rule.name}", rule.expression, tuple(re.findall(r"\$labels\.(\w+)", texts)))
    for title, panels in ROWS:
        for panel in panels:
            for target in panel.targets:
                yield Place(f"{title}: {panel.title}", target.expression, _legend(target.legend))
    for title, expression, text, _ in ANNOTATIONS:
        yield Place(f"annotation {title}", expression, _legend(text))
    for label, sample in VARIABLES:
        yield Place(f"variable {label}", sample, (label,))


def _legend(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\{\{\s*(\w+)\s*\}\}", text))


def problems(found: Iterable[Place], known: Mapping[str, frozenset[str]]) -> list[str]:
    """What is wrong with them, each with its place. `known`: the labels of every sample that there is."""
    wrong = []
    for place in found:
        try:
            names = named(place.expression)
        except ValueError as error:
            wrong.append(f"{place.where}: {error}")
            continue
        labels = set(SCRAPED)
        for sample, asked in names.samples:
            if sample not in known:
                wrong.append(f"{place.where}: there is no metric {sample}")
                continue
            labels |= known[sample]
            wrong += [f"{place.where}: {sample} has no label {each}" for each in asked if each not in known[sample]]
        if all(sample in known for sample, _ in names.samples):
            more = (*names.groups, *place.shown)
            wrong += [f"{place.where}: nothing in it has a label {each}" for each in more if each not in labels]
        if not names.samples:
            wrong.append(f"{place.where}: it names no metric")
    return wrong


def unknown_in(rules: Sequence[Rule], interval_s: float) -> list[str]:
    """What is wrong with everything that is generated for these rules, by the registry."""
    return problems(places(rules, interval_s), samples_of_registry())

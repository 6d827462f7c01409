"""The registry names every metric that the code makes, and no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

import actors
from actors.monitor.registry import REGISTRY, RUNTIME, MetricEntry
from docs.generating.metrics import OneOfEach
from runtime.metrics import Metrics

KINDS = ("counter", "gauge", "histogram")


def text_of(node: ast.expr) -> str:
    assert isinstance(node, ast.Constant), f"line {node.lineno}: expected a literal, so that it can be read here"
    return str(node.value)


def made_in(file: Path) -> Iterator[tuple[str, str, frozenset[str]]]:
    """(name as a scrape shows it, kind, labels) of what is made in a module by `metrics.counter(…)` and its like."""
    text = file.read_text(encoding="utf-8")
    if not any(f"metrics.{kind}(" in text for kind in KINDS):
        return
    for node in ast.walk(ast.parse(text)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in KINDS):
            continue
        if not ast.unparse(node.func.value).endswith("metrics"):
            continue
        named = {each.arg: each.value for each in node.keywords}
        labels = named.get("labels", node.args[2] if len(node.args) > 2 else None)
        assert labels is None or isinstance(labels, ast.Tuple), ast.unparse(node)
        name = text_of(node.args[0]).removesuffix("_total") + ("_total" if node.func.attr == "counter" else "")
        yield name, node.func.attr, frozenset(map(text_of, labels.elts)) if labels is not None else frozenset()


def of(entries: tuple[MetricEntry, ...]) -> set[tuple[str, str, frozenset[str]]]:
    return {(each.name, each.kind, frozenset(each.labels)) for each in entries}


def test_every_metric_that_an_actor_makes_is_in_the_registry_with_its_labels_and_no_other() -> None:
    folder = Path(actors.__path__[0])
    made = {each for file in folder.rglob("*.py") for each in made_in(file)}
    assert len(made) > 40  # they are found
    assert of(tuple(each for each in REGISTRY if each not in RUNTIME)) == made


def test_every_metric_that_the_runtime_shows_is_in_the_registry_with_its_labels_and_no_other() -> None:
    gathered = Metrics(OneOfEach())
    gathered.hold("/a", 1.0)
    shown = set()
    for family in text_string_to_metric_families(gathered.render().decode()):
        labels = frozenset(label for sample in family.samples for label in sample.labels) - {"le"}
        name = family.name.removesuffix("_total") + ("_total" if family.type == "counter" else "")
        shown.add((name, family.type, labels))
    assert of(RUNTIME) == shown


def test_names_stand_once_and_follow_the_practice() -> None:
    names = [each.name for each in REGISTRY]
    assert len(names) == len(set(names))
    for each in REGISTRY:
        assert each.name.endswith("_total") is (each.kind == "counter"), each.name
        assert not {"user", "user_id"} & set(each.labels), "a label for each user would be a series for each"
        for unit in ("seconds", "bytes"):
            assert (f"_{unit}" in each.name) is (each.unit == unit), each.name

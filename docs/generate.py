"""Write the generated pages of docs/reference from the code: `python docs/generate.py`.

    command-line.md     the parser of actors/cli
    configuration.md    the settings structs of every capability
    http.md             the OpenAPI document
    metrics.md          what a scrape of a node holds, and the registry of the capabilities' metrics
    messages.md         protocols/control.py and runtime/administration.py
    runtime.md          what `runtime` exports
    strategy-sdk.md     what `actors.strategies.sdk` offers the authors of strategies
    features.md         the table of features, actors/decisions/features/table.py

A test compares the committed pages with what this writes.
"""

from __future__ import annotations

import argparse
import enum
import inspect
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from prometheus_client.parser import text_string_to_metric_families

import runtime
from actors import node
from actors.cli import installation, parser
from actors.cli.config import docstrings_of, structs_in
from actors.decisions.features import names
from actors.decisions.features.aggregate import KEYS
from actors.decisions.features.table import AGES, FEATURES, HOUR
from actors.monitor.registry import CAPABILITIES, DECISIONS, MONITOR
from actors.strategies import sdk
from actors.strategies.library_sdk import SdkItem, SdkMember, sdk_documentation
from protocols import control
from runtime import administration
from runtime.breaker import BreakerSettings, CircuitBreaker
from runtime.metrics import ActorFigures, ClassFigures, Metrics, WorkerFigures
from runtime.replicas import ReplicaFigures, ReplicasSnapshot
from runtime.router import Router, RouterSettings, VariantSettings

REFERENCE = Path(__file__).resolve().parent / "reference"
NOTE = "<!-- Written by docs/generate.py; change the code, then run it again. -->"


def main() -> int:
    """Write every page; say which have changed."""
    for name, text in pages().items():
        path = REFERENCE / name
        changed = not path.exists() or path.read_text(encoding="utf-8") != text
        path.write_text(text, encoding="utf-8")
        print(f"{'written' if changed else 'same'}  docs/reference/{name}")
    return 0


def pages() -> dict[str, str]:
    """File name to text of every generated page."""
    makers: dict[str, Callable[[], Iterable[str]]] = {
        "command-line.md": command_line,
        "configuration.md": configuration,
        "http.md": http,
        "metrics.md": metrics,
        "messages.md": messages,
        "runtime.md": python_interface,
        "strategy-sdk.md": strategy_sdk,
        "features.md": features,
    }
    return {name: _page(maker()) for name, maker in makers.items()}


def _page(parts: Iterable[str]) -> str:
    title, *rest = parts
    return "\n\n".join([title, NOTE, *rest]) + "\n"


# --- the command line -------------------------------------------------------------------------------------


def command_line() -> Iterator[str]:
    """All verbs with their options, as the parser knows them."""
    yield "# Command line"
    yield (
        "`bin/troupe COMMAND [ARGUMENTS]`. The command comes first. Every command takes `--help`, and `--json` for one "
        "JSON envelope on standard output: `schema`, `command`, `outcome`, `data`, `issues`. Answers go to standard "
        "output, talk and errors to standard error."
    )
    yield _table(
        ("Exit status", "Meaning"),
        [
            ("0", "ok"),
            ("1", "failed"),
            ("2", "bad usage or configuration"),
            ("3", "not reachable"),
            ("4", "not found"),
            ("5", "timed out"),
            ("6", "refused"),
        ],
    )
    yield _table(
        ("Variable", "Meaning"),
        [
            ("`TROUPE__SECTION__KEY`", "overrides `section.key` of the configuration; `--set` wins over it"),
            ("`TROUPE_TOKEN`", "the bearer token that commands send; without it, that of the data folder"),
            ("`TROUPE_PYTHON`", "the Python to build `.venv` with"),
            ("`NO_COLOR`", "no colours"),
        ],
    )
    for name, verb in parser.VERBS.items():
        options = parser.Parser(prog=name, add_help=False, allow_abbrev=False)
        verb.options(options)
        arguments = [action.metavar or action.dest for action in options._actions if not action.option_strings]
        brackets = [f"[{word}]" if _optional(options, word) else word for word in arguments]
        yield f"## {name}"
        yield f"`bin/troupe {' '.join([name, *brackets])}`: {verb.summary}."
        yield _table(("Argument", "Meaning"), [_argument(action) for action in options._actions])
    for name, (_, summary) in parser.PASSED_ON.items():
        yield f"## {name}"
        yield f"`bin/troupe {name}`: {summary}."
    yield "## install"
    yield f"`bin/troupe install`: {parser.INSTALL}."
    for name, target in sorted(installation.registered_commands().items()):
        yield f"## {name}"
        what = "arguments" if " " in name else "verbs"
        yield f"`bin/troupe {name} --help` lists its {what}: {_lower(installation.summary_of(target))}."
        common = parser.Parser(prog=name, add_help=False)
        parser.common_options(common)
        yield _table(("Argument", "Meaning"), [_argument(action) for action in common._actions])


def _optional(options: argparse.ArgumentParser, word: Any) -> bool:
    return any(not a.option_strings and a.nargs == "?" and word in (a.metavar, a.dest) for a in options._actions)


def _argument(action: argparse.Action) -> tuple[str, str]:
    name = action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)
    takes_value = action.option_strings and action.nargs != 0
    return f"`{name}{f' {action.metavar}' if takes_value else ''}`", action.help or ""


# --- the configuration ------------------------------------------------------------------------------------


def configuration() -> Iterator[str]:
    """Every section with its keys, from the structs that check them."""
    yield "# Configuration"
    yield (
        "A node reads one TOML file, then variables of the environment (`TROUPE__EDGE__PORT=0`), then `--set "
        "edge.port=0`; the later wins. A key that nobody knows, or of the wrong type, is an error that names the key, "
        "where it was written, and the nearest right name. Elements of an array of tables are named by their index or "
        "by their `name`: `feeds.0.url`, `feeds.demo.url`."
    )
    yield (
        "A path in a file is relative to the folder of that file; one from the environment, from `--set` or from a "
        "default is relative to the working directory. `bin/troupe config` prints what is in force, and from where."
    )
    for name, kind in node.sections().items():
        several = not isinstance(kind, type)
        for struct in structs_in(kind):
            yield f"## `{f'[[{name}]]' if several else f'[{name}]'}`"
            yield from _settings(name, struct)


def _settings(key: str, struct: type[msgspec.Struct]) -> Iterator[str]:
    inside = []
    rows = []
    told = docstrings_of(struct)
    for field in msgspec.structs.fields(struct):
        structs = structs_in(field.type)
        if structs:
            inside += [(f"{key}.{field.encode_name}", each) for each in structs]
            continue
        default = "required" if field.required else f"`{_toml(_default(field))}`"
        rows.append((f"`{field.encode_name}`", _type(field.type), default, told.get(field.name, "")))
    # The heading has said which section it is.
    if said := re.sub(r"^`\[+[\w.]+\]+`[:.]?\s*|\s*\(`\[[\w.]+\]`\)", "", _prose(struct)):
        yield said[:1].upper() + said[1:]
    yield _table(("Key", "Type", "Default", "Meaning"), rows)
    for inner, each in inside:
        yield f"### `[{inner}]`"
        yield from _settings(inner, each)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _toml(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    return "{}" if value == {} else str(value)


def _type(kind: Any) -> str:
    schema = msgspec.json.schema(kind)
    return _schema_type(schema.get("$defs", {}).get(schema.get("$ref", "").rpartition("/")[2], schema))


def _schema_type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_schema_type(each) for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"] if each is not None)
    if "prefixItems" in schema:
        return f"array of {len(schema['prefixItems'])}: " + ", ".join(
            _schema_type(each) for each in schema["prefixItems"]
        )
    if schema.get("type") == "array":
        return f"array of {_schema_type(schema.get('items', {})) or 'anything'}"
    words = {"object": "table", "": "anything"}
    text = words.get(schema.get("type", ""), schema.get("type", ""))
    return text + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return "".join(f" {sign} {schema[name]}" for name, sign in signs.items() if name in schema)


# --- HTTP -------------------------------------------------------------------------------------------------


def http() -> Iterator[str]:
    """All routes, from the OpenAPI document."""
    document = node.openapi()
    yield "# HTTP interface"
    yield (
        "Every route of a node, by what it belongs to. A running node serves the whole of it, with every schema, as "
        "OpenAPI 3.1 at `/openapi.json` and as a page at `/docs`. WS marks a WebSocket."
    )
    yield (
        "A route marked with a token asks for `Authorization: Bearer TOKEN`, the content of the file `token` in the "
        "node's data folder. What has a body, and every POST, needs `Content-Type: application/json`. An error is "
        '`{"error": {"code": "...", "message": "...", "field": "..."}}` with a status that fits.'
    )
    found: dict[str, list[tuple[str, ...]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            socket = "101" in operation["responses"]
            needs = "token" if operation.get("security") else ""
            row = (f"`{'WS' if socket else method.upper()} {path}`", operation.get("summary", ""), needs)
            row += (_parameters(operation), _answer(operation))
            for tag in operation.get("tags", ["other"]):
                found.setdefault(tag, []).append(row)
    for tag in sorted(found):
        yield f"## {tag.capitalize()}"
        yield _table(("Route", "What", "Needs", "Parameters", "Answer"), found[tag])


def _parameters(operation: dict[str, Any]) -> str:
    shown = []
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        default = schema.get("default")
        text = f"`{parameter['name']}`: {_schema_type(schema)}"
        shown.append(text if default in (None, "") else f"{text}, default {json.dumps(default)}")
    return "<br>".join(shown)


def _answer(operation: dict[str, Any]) -> str:
    for status, answer in operation["responses"].items():
        for content in answer.get("content", {}).values():
            schema = content["schema"]
            if status != "default" and "$ref" in schema:
                return f"`{schema['$ref'].rpartition('/')[2]}`"
    return ""


# --- metrics ----------------------------------------------------------------------------------------------


class OneOfEach:
    """A source of metrics with one class, one path, one breaker and one router: every family has a sample."""

    def classes(self) -> Iterable[ClassFigures]:
        """One class."""
        return [
            ClassFigures(cls="C", handled=1, errors=1, restarts=1, dropped=1, busy_ns=1, starts=1, depth=1),
        ]

    def actors(self) -> Iterable[ActorFigures]:
        """One path."""
        figures = {"handled": 1, "errors": 1, "restarts": 1, "depth": 1, "dropped": 1, "busy_ns": 1}
        return [ActorFigures(path="/a", cls="C", up=True, **figures)]

    def breakers(self) -> Iterable[Any]:
        """One breaker."""
        snapshot = CircuitBreaker("/a", BreakerSettings(), 0).snapshot(0)
        return [msgspec.structs.replace(snapshot, failure_rate=0.0)]

    def routers(self) -> Iterable[tuple[str, Any]]:
        """One router."""
        variants = (VariantSettings(name="a", path="/a"), VariantSettings(name="b", path="/b"))
        return [("/a", Router(RouterSettings(salt="s", variants=variants)).snapshot())]

    def replicas(self) -> Iterable[tuple[str, Any]]:
        """One set of replicas."""
        one = ReplicaFigures().snapshot("0", 0)
        found = ReplicasSnapshot(routing="least_loaded", key="", count=1, most=1, replicas=(one,))
        return [("/a", found)]

    def workers(self) -> Iterable[WorkerFigures]:
        """One worker."""
        return [WorkerFigures(worker="1-1", node="n", kind="process", rss=1, actors=1, families=())]


def metrics() -> Iterator[str]:
    """Every family that a scrape shows."""
    yield "# Metrics"
    yield (
        "What `GET /metrics` answers, in the text format of Prometheus. Everything is gathered when somebody asks, so "
        "that between two scrapes it costs nothing. Actors are shown by class and by path of the static tree; dynamic "
        "children are in the sums of their class only, so that a hundred thousand of them are a few lines."
    )
    gathered = Metrics(OneOfEach())
    gathered.hold("/a", 1.0)
    rows = []
    for family in text_string_to_metric_families(gathered.render().decode()):
        labels = dict.fromkeys(itertools.chain.from_iterable(sample.labels for sample in family.samples))
        suffix = "_total" if family.type == "counter" else ""
        name = f"`{family.name.removesuffix('_total')}{suffix}`"
        rows.append(
            (name, family.type, ", ".join(f"`{each}`" for each in labels if each != "le"), family.documentation)
        )
    yield _table(("Metric", "Kind", "Labels", "Meaning"), rows)
    yield "Capabilities add theirs. A line of one appears once there is something to count."
    for title, entries in (("Decisions", DECISIONS), ("Monitor", MONITOR), ("Others", CAPABILITIES)):
        yield f"## {title}"
        yield _table(
            ("Metric", "Kind", "Labels", "Meaning"),
            [
                (f"`{each.name}`", each.kind, ", ".join(f"`{label}`" for label in each.labels), each.help)
                for each in entries
            ],
        )
    yield "An actor can add its own: `self.node.metrics.counter(name, documentation, labels)`, `gauge`, `histogram`."


# --- messages and the Python interface --------------------------------------------------------------------


def messages() -> Iterator[str]:
    """What the runtime itself says."""
    yield "# Messages of the runtime"
    yield (
        "What every actor can meet, whatever the troupe is about. `protocols.control` holds the messages, outcomes and "
        "exit reasons; `runtime` exports the requests that supervisors answer."
    )
    yield "## `protocols.control`"
    yield _prose_text(inspect.getdoc(control) or "")
    for each in _structs(control):
        yield from _struct(each)
    for outcome in (control.Refused, control.Unknown):
        yield f"### `{outcome.__name__}`"
        yield _prose(outcome)
    yield "## Requests to a supervisor"
    yield _prose_text(inspect.getdoc(administration) or "")
    for each in _structs(administration):
        yield from _struct(each)


def _structs(module: ModuleType) -> list[type[msgspec.Struct]]:
    found = vars(module).values()
    return [
        each
        for each in found
        if isinstance(each, type) and issubclass(each, msgspec.Struct) and each.__module__ == module.__name__
    ]


def _struct(struct: type[msgspec.Struct]) -> Iterator[str]:
    bases = [_base(base) for base in getattr(struct, "__orig_bases__", struct.__bases__)]
    of = ", ".join(base for base in bases if base not in ("Struct", ""))
    yield f"### `{struct.__name__}`" + (f" ({of})" if of else "")
    yield _prose(struct)
    told = docstrings_of(struct)
    annotations = {
        name: text for each in reversed(struct.__mro__) for name, text in inspect.get_annotations(each).items()
    }
    rows = []
    for field in msgspec.structs.fields(struct):
        default = "" if field.required else f"`{_code(_default(field))}`"
        rows.append((f"`{field.name}`", f"`{annotations[field.name]}`", default, told.get(field.name, "")))
    if rows:
        yield _table(("Field", "Type", "Default", "Meaning"), rows)


def _code(value: Any) -> str:
    return f"{type(value).__name__}.{value.name}" if isinstance(value, enum.Enum) else repr(value)


def _base(base: Any) -> str:
    return re.sub(r"[\w.]+\.(?=\w)|~", "", base.__name__ if isinstance(base, type) else str(base))


def python_interface() -> Iterator[str]:
    """What `runtime` exports, with its docstrings."""
    yield "# Python interface"
    yield "Everything that `runtime` exports: `from runtime import Actor, ChildSpec, open_node, receive, supervisor`."
    exported = [(name, getattr(runtime, name)) for name in runtime.__all__]
    elsewhere = set(_structs(administration))
    classes = [(name, each) for name, each in exported if isinstance(each, type) and each not in elsewhere]
    functions = [(name, each) for name, each in exported if not isinstance(each, type)]
    yield "Requests to a supervisor (`StartChild` and the others) are in [messages of the runtime](messages.md)."
    yield "## Functions"
    for name, function in functions:
        yield f"### `{name}`"
        yield f"`{name}{_signature(function)}`"
        yield _prose(function)
    yield "## Classes"
    for name, each in classes:
        if issubclass(each, msgspec.Struct):
            yield from _struct(each)
            continue
        yield f"### `{name}`"
        yield _prose(each)
        if issubclass(each, enum.Enum):
            told = docstrings_of_members(each)
            rows = [(f"`{member.name}`", f"`{member.value}`", told.get(member.name, "")) for member in each]
            yield _table(("Member", "Value", "Meaning"), rows)
        elif rows := list(_members(each)):
            yield _table(("Member", "Meaning"), rows)


def docstrings_of_members(kind: type) -> dict[str, str]:
    """Member name to the string literal that follows the member in the source of an enumeration."""
    found = re.findall(r'^    (\w+) = [^\n]+\n    """(.*?)"""', inspect.getsource(kind), re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()) for name, text in found}


def _members(kind: type) -> Iterator[tuple[str, str]]:
    """The public methods and properties that a class defines itself and documents."""
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else member
        if name.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
            continue
        prefix = "await " if inspect.iscoroutinefunction(function) else ""
        shown = name if isinstance(member, property) else f"{prefix}{name}{_signature(function, method=True)}"
        yield f"`{shown}`", " ".join((inspect.getdoc(function) or "").split())


def _signature(function: Callable[..., Any], *, method: bool = False) -> str:
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[1 if method else 0 :]
    plain = [each.replace(default=_shown_default(each)) for each in parameters]
    text = str(signature.replace(parameters=plain))
    return re.sub(r"'([^']*)'", r"\1", text)


class _Shown:
    """A default value that is shown as code, not as its `repr`."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _shown_default(parameter: inspect.Parameter) -> Any:
    default = parameter.default
    if default is inspect.Parameter.empty:
        return default
    if isinstance(default, enum.Enum):
        return _Shown(f"{type(default).__name__}.{default.name}")
    if isinstance(default, msgspec.Struct):
        return _Shown(f"{type(default).__name__}()")
    return _Shown("SystemClock()") if type(default).__name__ == "SystemClock" else default


# --- the SDK of strategies --------------------------------------------------------------------------------


def strategy_sdk() -> Iterator[str]:
    """What `actors.strategies.sdk` offers: the classes, then the functions of `indicators`."""
    documentation = sdk_documentation()
    yield "# Strategy SDK"
    yield (
        "What the author of a strategy imports: `from actors.strategies.sdk import Bar, BaseStrategy, Parameter`. "
        "[Write a strategy](../how-to/write-a-strategy.md) shows it in use; a node answers the same as JSON at "
        "`/api/sdk/documentation`."
    )
    first = ("BaseStrategy", "Context", "Data", "Parameter", "Signal", "Bar", "Bars", "Frames", "Quote", "Trade")
    items = {item.name: item for item in documentation.items}
    for name in [*first, *(name for name in items if name not in first and items[name].kind != "module")]:
        yield from _sdk_item(items[name])
    for item in documentation.items:
        if item.kind == "module":
            yield f"## `{item.name}`"
            yield _prose_text(item.description)
            yield _table(("Function", "Meaning"), [_sdk_member(each) for each in item.members])


def _sdk_item(item: SdkItem) -> Iterator[str]:
    yield f"## `{item.name}`"
    yield _prose_text(item.description)
    told = docstrings_of(getattr(sdk, item.name))
    fields = [each for each in item.members if each.kind == "field"]
    if fields:
        rows = [(f"`{each.name}`", f"`{each.signature}`", told.get(each.name, "")) for each in fields]
        yield _table(("Field", "Type", "Meaning"), rows)
    if others := [each for each in item.members if each.kind != "field"]:
        yield _table(("Member", "Meaning"), [_sdk_member(each) for each in others])


def _sdk_member(member: SdkMember) -> tuple[str, str]:
    shown = member.name if member.kind == "property" else f"{member.name}{member.signature}"
    # Inside of `Parameter` these names are its own methods, so it knows the types by others.
    shown = re.sub(r"\b_(Int|Float|Bool|Str)\b", lambda found: found[1].lower(), shown)
    return f"`{shown}`", _literal(" ".join(member.description.split()))


# --- Features ---------------------------------------------------------------------------------------------

_GROUPS: dict[str, tuple[str, ...]] = {
    "Price": names.PRICE,
    "Indicators": names.INDICATORS,
    "Momentum": names.MOMENTUM,
    "Chain": names.ON_CHAIN,
    "Whales": names.WHALES,
    "Funding": names.FUNDING,
    "Smart money": names.SMART_MONEY,
    "Liquidations": names.LIQUIDATIONS,
}


def features() -> Iterator[str]:
    """What policies see."""
    yield "# Features"
    yield (
        "What a policy sees of a market, by name. One builder makes them of bars and of figures from elsewhere, in "
        "training, over tables of past bars and on a node, so the same bars give the same numbers everywhere.\n\n"
        "A **raw field** has the unit that is given here. A request for a decision (`POST /api/v1/predict`) says raw "
        "fields in `signal_data`, under these names: `macd` and `atr` there in units of the price, with `price` beside "
        "them; a `market_data.candles` says all that come of bars. The **feature** is the raw field scaled into its "
        "range. A field that is not known is missing: never 0, never a default, and a policy is told that it is "
        "missing. [Train a policy](../how-to/train-a-policy.md) shows them in use."
    )
    yield f"## `{names.MARKET_29}`"
    yield f"The {len(names.FEATURE_SETS[names.MARKET_29])} features of one market, in the order of an observation."
    first = 1
    for group, members in _GROUPS.items():
        yield f"### {group}"
        if members[0] in AGES:
            block = KEYS[members[0]][0]
            yield (
                f"From elsewhere: the block `{block}` of a data aggregator's answer, or the request itself. A value is "
                f"missing again after {AGES[members[0]] // HOUR} h."
            )
        yield _features(members, first)
        first += len(members)
    yield f"## `{names.BOOK}`"
    yield f"The {len(names.FEATURE_SETS[names.BOOK])} features of one order book, in the order of an observation."
    yield _features(names.FEATURE_SETS[names.BOOK], 1)


def _features(members: Sequence[str], first: int) -> str:
    rows = []
    for number, feature in enumerate((FEATURES[name] for name in members), first):
        source = "" if feature.source == "external" else feature.source
        span = f"{feature.low:g} to {feature.high:g}"
        rows.append((str(number), f"`{feature.name}`", feature.meaning, feature.unit, source, feature.transform, span))
    return _table(("", "Name", "Meaning of the raw field", "Its unit", "Made of", "Scaled", "Range"), rows)


# --- Markdown ---------------------------------------------------------------------------------------------


def _prose(thing: Any) -> str:
    return _prose_text(inspect.getdoc(thing) or "")


def _prose_text(text: str) -> str:
    """A docstring as Markdown: paragraphs joined to lines, indented examples left to the source."""
    paragraphs = re.split(r"\n\s*\n", text)
    kept = [" ".join(part.split()) for part in paragraphs if not part.startswith("    ")]
    return _literal("\n\n".join(kept).replace(":\n\n", ".\n\n") or "")


def _literal(text: str) -> str:
    return text.replace("<", "&lt;")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    kept = [[" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in rows]
    # A column that says nothing in any row is left out.
    used = [number for number in range(len(head)) if number == 0 or any(row[number] for row in kept)]
    lines = [[head[number] for number in used], ["---"] * len(used)]
    lines += [[row[number] for number in used] for row in kept]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


if __name__ == "__main__":
    sys.exit(main())

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.breaker import BreakerSettings, Seconds
from runtime.redaction import Secret, without_passwords
from runtime.settings import Configuration, ConfigurationError, LocalPath, load
from runtime.toml_places import places


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Limits(Struct):
    body_bytes: int = 1_048_576
    request_s: float = 30.0

    def __post_init__(self) -> None:
        if self.request_s <= 0:
            raise ValueError(f"request_s must be above 0, not {self.request_s}")


class Node(Struct):
    name: str = "troupe"
    data_dir: LocalPath = "data"


class Edge(Struct):
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8001
    docs: bool = True
    origins: tuple[str, ...] = ()
    limits: Limits = Limits()
    breaker: BreakerSettings | None = None


class Database(Struct):
    url: str | None = None
    password: str = ""
    key: Secret = ""


class Feed(Struct):
    name: str
    venue: Literal["kalshi", "binance"] = "kalshi"
    url: str = ""
    markets: tuple[str, ...] = ()
    recording: LocalPath | None = None
    parameters: dict[str, Any] = {}


SECTIONS: dict[str, object] = {
    "node": Node,
    "edge": Edge,
    "database": Database,
    "feeds": tuple[Feed, ...],
}

FILE = """\
# A comment with a [table] in it
[node]
name = "main"
data_dir = "../data"

[edge]
port = 9000
[edge.limits]
request_s = 5

[[feeds]]
name = "demo"
markets = [
    "KXBTC",   # an array over several lines
    "KXETH",
]

[[feeds]]
name = "Other"
parameters = { depth = 5, token = "abc" }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "main.toml"
    path.parent.mkdir()
    path.write_text(FILE)
    return path


def read(path: Path | None = None, *sets: str, **environ: str) -> Configuration:
    return load(path, SECTIONS, environ, sets, directory="/somewhere/here")


def issues(path: Path | None = None, *sets: str, **environ: str) -> list[tuple[str, str | None, str]]:
    with pytest.raises(ConfigurationError) as info:
        read(path, *sets, **environ)
    assert str(info.value) == "\n".join(issue.message for issue in info.value.issues)
    return [(issue.code, issue.field, issue.message) for issue in info.value.issues]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "t.toml"
    path.write_text(text)
    return path


# What is loaded


def test_without_anything_every_section_has_its_defaults() -> None:
    configuration = read()
    assert configuration.section("edge") == Edge()
    assert configuration.section("feeds") == ()
    assert configuration.source("edge.port") == "default"


def test_a_file_fills_the_structs(file: Path) -> None:
    configuration = read(file)
    assert configuration.section("node").name == "main"
    assert configuration.section("edge") == Edge(port=9000, limits=Limits(request_s=5.0))
    demo, other = configuration.section("feeds")
    assert demo == Feed(name="demo", markets=("KXBTC", "KXETH"))
    assert other.parameters == {"depth": 5, "token": "abc"}


def test_the_environment_wins_over_the_file_and_set_over_both(file: Path) -> None:
    assert read(file, TROUPE__EDGE__PORT="1").section("edge").port == 1
    both = read(file, "edge.port=2", TROUPE__EDGE__PORT="1")
    assert both.section("edge").port == 2
    assert both.source("edge.port") == "--set edge.port"
    assert read(file, "edge.port=2", "edge.port=3").section("edge").port == 3


def test_every_value_knows_where_it_came_from(file: Path) -> None:
    configuration = read(file, "edge.limits.body_bytes=7", TROUPE__NODE__NAME="x")
    assert configuration.source("edge.port") == f"{file}:7"
    assert configuration.source("edge.limits.request_s") == f"{file}:9"
    assert configuration.source("edge.limits.body_bytes") == "--set edge.limits.body_bytes"
    assert configuration.source("node.name") == "TROUPE__NODE__NAME"
    assert configuration.source("edge.host") == "default"  # its table is in the file, the key is not
    assert configuration.source("feeds.0.markets.1") == f"{file}:15"
    assert configuration.source("feeds.1.parameters.depth") == f"{file}:20"
    assert configuration.source("database.url") == "default"


def test_an_override_of_a_whole_value_is_the_source_of_all_that_is_in_it(file: Path) -> None:
    configuration = read(file, 'feeds.0.markets=["A", "B"]')
    assert configuration.source("feeds.0.markets.1") == "--set feeds.0.markets"
    assert configuration.source("feeds.0.name") == f"{file}:12"


def test_an_override_is_read_as_its_type_wants_it() -> None:
    configuration = read(
        None,
        "node.name=007",
        "edge.docs=false",
        'edge.origins=["a", "b"]',
        "edge.limits.request_s=2",
        "database.url=postgresql://h/db?x=1",
        'feeds=[{name = "n"}]',
        "edge.breaker={open_s = 1.5, window = {type = 'seconds', seconds = 10}}",
    )
    edge = configuration.section("edge")
    assert configuration.section("node").name == "007"
    assert (edge.docs, edge.origins, edge.limits.request_s) == (False, ("a", "b"), 2.0)
    assert configuration.section("database").url == "postgresql://h/db?x=1"
    assert configuration.section("feeds") == (Feed(name="n"),)
    assert edge.breaker == BreakerSettings(open_s=1.5, window=Seconds(10.0))


def test_an_element_is_found_by_index_or_by_name_and_the_next_index_appends(file: Path) -> None:
    configuration = read(
        file,
        "feeds.0.url=ws://one",
        "feeds.Other.url=ws://two",
        "feeds.2.name=new",
        "feeds.other.parameters.depth=6",
        "feeds.other.parameters.mode=fast",
        TROUPE__FEEDS__DEMO__VENUE="binance",
    )
    first, second, third = configuration.section("feeds")
    assert (first.url, first.venue, second.url, third.name) == ("ws://one", "binance", "ws://two", "new")
    assert second.parameters == {"depth": 6, "token": "abc", "mode": "fast"}


def test_an_override_can_enter_a_table_that_the_file_does_not_have() -> None:
    assert read(None, "edge.breaker.open_s=2").section("edge").breaker == BreakerSettings(open_s=2.0)


def test_other_variables_of_the_environment_are_nobodys_business() -> None:
    read(None, PATH="/bin", TROUPE_HOME="/x")


# Paths


def test_a_relative_path_is_relative_to_who_wrote_it(file: Path) -> None:
    assert read(file).section("node").data_dir == str(file.parent.parent / "data")
    assert read().section("node").data_dir == "/somewhere/here/data"
    assert read(file, "node.data_dir=d").section("node").data_dir == "/somewhere/here/d"
    assert read(file, TROUPE__NODE__DATA_DIR="/abs").section("node").data_dir == "/abs"
    assert read(file, "feeds.demo.recording=r.zst").section("feeds")[0].recording == "/somewhere/here/r.zst"
    assert read(file, "node.data_dir=~/t").section("node").data_dir == str(Path("~/t").expanduser())


# What is wrong


@pytest.mark.parametrize(
    ("text", "code", "field", "message"),
    [
        ("[edge]\nprot = 1", "unknown_key", "edge.prot", "t.toml:2): unknown key; did you mean edge.port?"),
        ("[egde]\nport = 1", "unknown_key", "egde", "t.toml:1): unknown key; did you mean edge?"),
        ("port = 1", "unknown_key", "port", "t.toml:1): unknown key; did you mean edge.port?"),
        (
            "[node]\nzzz = 1",
            "unknown_key",
            "node.zzz",
            "t.toml:2): unknown key; expected one of data_dir, name",
        ),
        (
            "[edge.limits]\nbody = 1",
            "unknown_key",
            "edge.limits.body",
            "t.toml:2): unknown key; did you mean edge.limits.body_bytes?",
        ),
        ("[edge]\nport = '80a'", "invalid", "edge.port", "t.toml:2): expected `int`, got `str` ('80a')"),
        ("[edge]\n\nport = 99999", "invalid", "edge.port", "t.toml:3): expected `int` <= 65535 (99999)"),
        ("edge = 5", "invalid", "edge", "t.toml:1): expected `object`, got `int` (5)"),
        (
            "[edge.limits]\nrequest_s = 0",
            "invalid",
            "edge.limits",
            "t.toml:1): request_s must be above 0, not 0.0",
        ),
        (
            "[[feeds]]\nname = 'a'\n[[feeds]]\nname = 'b'\nmarkets = ['x', 7]",
            "invalid",
            "feeds.1.markets.1",
            "t.toml:5): expected `str`, got `int` (7)",
        ),
        ("[[feeds]]\nurl = 'u'", "missing_key", "feeds.0.name", "t.toml:1): has no default, give it"),
        (
            "[[feeds]]\nname = 'a'\nvenue = 'nyse'",
            "invalid",
            "feeds.0.venue",
            "t.toml:3): invalid enum value 'nyse' ('nyse')",
        ),
        (
            "[edge.breaker.window]\ntype = 'count'\ncalls = 'x'",
            "invalid",
            "edge.breaker.window.calls",
            "t.toml:3): expected `int`, got `str`",
        ),
        ("[feeds]\nname = 'a'", "invalid", "feeds", "t.toml:1): expected `array`, got `object`"),
    ],
)
def test_an_error_names_the_key_the_place_and_what_was_expected(
    tmp_path: Path, text: str, code: str, field: str, message: str
) -> None:
    [(got_code, got_field, got_message)] = issues(written(tmp_path, text))
    assert (got_code, got_field) == (code, field)
    assert got_message == f"{field} ({tmp_path}/{message}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("edge.prot=1", "edge.prot (--set edge.prot): unknown key; did you mean edge.port?"),
        ("egde.port=1", "egde (--set egde.port): unknown key; did you mean edge?"),
        ("edge.port=80a", "edge.port (--set edge.port): expected `int`, got `str` ('80a')"),
        ("edge.port=70000", "edge.port (--set edge.port): expected `int` <= 65535 (70000)"),
        ("edge.docs=maybe", "edge.docs (--set edge.docs): expected `bool`, got `str` ('maybe')"),
        ("edge.port.x=1", "edge.port.x (--set edge.port.x): edge.port is a single value"),
        ("feeds.3.url=x", "feeds.3 (--set feeds.3.url): no such element; it has 2"),
        ("feeds.gone.url=x", "feeds.gone (--set feeds.gone.url): no such element; it has 2"),
        ("feeds.0.markets.a=1", "feeds.0.markets.a (--set feeds.0.markets.a): no such element; it has 2"),
        ("edge.port", "--set edge.port: expected KEY=VALUE"),
        ("=1", "--set =1: expected KEY=VALUE"),
    ],
)
def test_an_override_that_is_wrong_is_named_as_it_was_written(file: Path, override: str, message: str) -> None:
    assert [each[2] for each in issues(file, override)] == [message]


def test_a_variable_that_is_wrong_is_named() -> None:
    assert issues(None, TROUPE__EDGE__PROT="1") == [
        ("unknown_key", "edge.prot", "edge.prot (TROUPE__EDGE__PROT): unknown key; did you mean edge.port?")
    ]
    [(_, field, message)] = issues(None, TROUPE__EDGE__PORT="x")
    assert (field, message) == ("edge.port", "edge.port (TROUPE__EDGE__PORT): expected `int`, got `str` ('x')")


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "[edge]\nport = 'x'\nprot = 1\n[edge.limits]\nrequest_s = 'y'\n[nodee]\n")
    assert {each[1] for each in issues(path, "node.nam=x")} == {
        "edge.port",
        "edge.prot",
        "edge.limits.request_s",
        "nodee",
        "node.nam",
    }


def test_a_file_that_is_no_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    [(code, field, message)] = issues(written(tmp_path, "[edge]\nport = \n"))
    assert (code, field) == ("bad_toml", None)
    assert message.startswith(f"{tmp_path}/t.toml:2: not valid TOML: ")


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    assert issues(tmp_path / "binary.toml")[0][0] == "bad_toml"
    [(code, _, message)] = issues(tmp_path / "absent.toml")
    assert (code, message) == (
        "unreadable",
        f"{tmp_path}/absent.toml: cannot be read: No such file or directory",
    )
    assert issues(tmp_path)[0][0] == "unreadable"


# Secrets


def test_what_is_secret_is_never_shown(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [database]
        url = "postgresql://user:hunter2@localhost/db"
        password = "hunter2"
        key = "hunter2"
        [[feeds]]
        name = "a"
        url = "wss://v/ws?token=hunter2&x=1"
        parameters = { api_key = "hunter2", nested = { secret = "hunter2" }, depth = 5 }
        """,
    )
    configuration = read(path)
    assert configuration.section("database").password == "hunter2"
    shown = configuration.resolved()
    assert "hunter2" not in repr(shown)
    assert "hunter2" not in repr(list(configuration.settings()))
    assert shown["database"] == {
        "url": "postgresql://user:***@localhost/db",
        "password": "***",
        "key": "***",
    }
    assert shown["feeds"][0]["url"] == "wss://v/ws?token=***&x=1"  # type: ignore[index]
    assert shown["feeds"][0]["parameters"]["depth"] == 5  # type: ignore[index]


def test_no_secret_gets_into_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, "[database]\npassword = 12345\nkey = 12345\nurl = ['postgresql://u:12345@h/d']")
    assert "12345" not in "".join(each[2] for each in issues(path))
    assert "12345" not in issues(None, "postgresql://u:12345@h/d")[0][2]
    [(_, _, message)] = issues(None, "edge.port=postgresql://u:12345@h/d")
    assert "12345" not in message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:p@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://u:p:q@h/d", "postgresql://u:***@h/d"),
        ("redis://:p@h", "redis://:***@h"),
        ("host=h password=p user=u", "host=h password=*** user=u"),
        ("host=h password='p q' user=u", "host=h password=*** user=u"),
        ("postgresql://h/d?user=u&password=p", "postgresql://h/d?user=u&password=***"),
        ("a text with a: colon and an @ sign", "a text with a: colon and an @ sign"),
        ("http://127.0.0.1:8001/x@y", "http://127.0.0.1:8001/x@y"),
    ],
)
def test_passwords_in_addresses_are_hidden(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


# What is shown


def test_the_resolved_configuration_is_plain_and_complete(file: Path) -> None:
    shown = read(file, "edge.breaker.open_s=2").resolved()
    assert msgspec.json.encode(shown)
    assert shown["edge"]["limits"] == {"body_bytes": 1_048_576, "request_s": 5.0}  # type: ignore[index]
    assert shown["edge"]["breaker"]["window"] == {"type": "count", "calls": 100}  # type: ignore[index]


def test_every_setting_is_listed_with_its_source(file: Path) -> None:
    listed = {each.key: each for each in read(file, "node.name=x").settings()}
    assert (listed["node.name"].value, listed["node.name"].source) == ("x", "--set node.name")
    assert listed["edge.limits.request_s"].source == f"{file}:9"
    assert listed["edge.limits.body_bytes"].value == 1_048_576
    assert listed["feeds.0.markets"].value == ["KXBTC", "KXETH"]
    assert listed["edge.breaker"].value is None


# Places


def test_places_are_found_in_every_corner_of_toml() -> None:
    document = '''\
a = """
b = 1 [c]
""" # not b
"quoted.key" . 'lit' = 2
date = 1979-05-27 07:32:00
s = 'it # is' # c
empty = ""
[t]
x.y.z = [ [1, 2], { k = """""" }, # comment ]
  "]" ]
inline = { a = 1, b = { c = [ 1 ] } }
[[arr]]
n = 1
[[arr]]
n = \'\'\'
\'\'\'\'\'
[[arr.sub]]
m = 1
[arr.sub.deep]
q = 1
'''
    tomllib.loads(document)
    found = places(document)
    assert ("b",) not in found
    assert {
        ("a",): 1,
        ("quoted.key", "lit"): 4,
        ("date",): 5,
        ("s",): 6,
        ("empty",): 7,
        ("t",): 8,
        ("t", "x", "y", "z"): 9,
        ("t", "x", "y", "z", 1, "k"): 9,
        ("t", "x", "y", "z", 2): 10,
        ("t", "inline", "b", "c", 0): 11,
        ("arr", 0): 12,
        ("arr", 0, "n"): 13,
        ("arr", 1, "n"): 15,
        ("arr", 1, "sub", 0, "m"): 18,
        ("arr", 1, "sub", 0, "deep", "q"): 20,
    }.items() <= found.items()


scalars = st.one_of(st.integers(), st.booleans(), st.floats(allow_nan=False), st.text(max_size=8))
names = st.text(max_size=6)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)


def spelled(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(spelled, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {spelled(each)}" for key, each in value.items()) + "}"
    return repr(value)


def quoted(text: str) -> str:
    return '"' + "".join(f"\\U{ord(letter):08x}" for letter in text) + '"'


@given(st.dictionaries(names, trees, max_size=4))
def test_every_value_of_any_document_has_a_place(tree: dict[str, Any]) -> None:
    try:
        document = "".join(f"{quoted(key)} = {spelled(value)}\n" for key, value in tree.items())
        tomllib.loads(document)
    except (tomllib.TOMLDecodeError, ValueError):
        return
    found = places(document)
    assert [found[(key,)] for key in tree] == list(range(1, len(tree) + 1))

    def check(value: object, path: tuple[str | int, ...]) -> None:
        assert found[path] == found[path[:1]]
        inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for step, each in inside:
            check(each, (*path, step))

    for key, value in tree.items():
        check(value, (key,))

"""The configuration: a TOML file, then the environment, then `--set`, into msgspec structs; the later wins.

Each capability brings the struct of its section. What no struct knows, or what has the wrong type, is an
error that names the key, where it was written, what was expected, what came, and the nearest right name.
All errors of a configuration are told at once.

    [edge]                     TROUPE__EDGE__PORT=8001        --set edge.port=8001
    port = 8001

    [[feeds]]                  TROUPE__FEEDS__0__URL=...      --set feeds.0.url=...    by index (the next
    one appends) name = "demo"              TROUPE__FEEDS__DEMO__URL=...   --set feeds.demo.url=... or by
    `name`

An override is read as its setting's type wants it: as text where text is accepted, otherwise as a TOML value
(`true`, `0.5`, `["A", "B"]`).

A setting of type `LocalPath` is an absolute path once it is loaded. A relative one in a file is relative to
that file's folder, so that a configuration can be started from anywhere; one from the environment, from
`--set` or from a default is relative to the working directory, as everywhere on a command line.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec

from runtime.redaction import HIDDEN, is_marked, is_secret, without_passwords
from runtime.settings_types import (
    accepts_anything,
    accepts_text,
    element_of,
    known_names,
    nearest,
    struct_of,
    value_of,
)
from runtime.toml_places import Path as Place
from runtime.toml_places import places

LocalPath = Annotated[str, msgspec.Meta(extra={"path": True})]
"""The type of a setting that is a path on this machine."""

PREFIX = "TROUPE__"
DEFAULT = "default"


class Issue(msgspec.Struct, frozen=True):
    """One thing that is wrong. `field` is the dotted key; `code` one of unknown_key, invalid, missing_key,
    bad_toml, unreadable, bad_override."""

    code: str
    message: str
    field: str | None = None


class ConfigurationError(Exception):
    """The configuration cannot be used; `issues` says all that is wrong with it."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__(*issues)
        self.issues = tuple(issues)

    def __str__(self) -> str:
        return "\n".join(issue.message for issue in self.issues)


class Setting(msgspec.Struct, frozen=True):
    """One value of the resolved configuration and where it came from; secrets are hidden."""

    key: str
    value: object
    source: str


class Configuration:
    """What was loaded: a struct (or a tuple of structs) for every section."""

    def __init__(self, sections: Mapping[str, object], sources: Mapping[Place, str]) -> None:
        self._sections = dict(sections)
        self._sources = dict(sources)

    def section(self, name: str) -> Any:
        """The struct of a section, or the tuple of structs of an array of tables. Raises `KeyError`."""
        return self._sections[name]

    def source(self, key: str) -> str:
        """Where the value of a dotted key came from: `default`, `FILE:LINE`, a variable's name or `--set KEY`."""
        path: Place = tuple(int(part) if part.isdecimal() else part for part in key.split("."))
        if path in self._sources:
            return self._sources[path]
        for above in _upwards(path[:-1]):
            source = self._sources.get(above)
            if source is not None:
                # A table in the file says nothing of the keys it leaves out; a value or an override is all that is
                # below it.
                is_table = any(place[: len(above)] == above and place != above for place in self._sources)
                return DEFAULT if is_table and not source.startswith((PREFIX, "--set ")) else source
        return DEFAULT

    def resolved(self) -> dict[str, object]:
        """All of it as plain dicts, lists and scalars; secrets and passwords in URLs are hidden."""
        return {name: _shown(section, name, None) for name, section in self._sections.items()}

    def settings(self) -> Iterator[Setting]:
        """Every value by its dotted key, with its source."""
        for name, section in self.resolved().items():
            yield from self._flat(name, section)

    def _flat(self, key: str, value: object) -> Iterator[Setting]:
        inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        if not inside or (isinstance(value, list) and not any(isinstance(each, dict) for each in value)):
            yield Setting(key, value, self.source(key))
            return
        for name, each in inside:
            yield from self._flat(f"{key}.{name}", each)


def load(
    path: str | Path | None,
    sections: Mapping[str, object],
    environ: Mapping[str, str] | None = None,
    sets: Sequence[str] = (),
    directory: str | Path | None = None,
) -> Configuration:
    """Load a configuration.

    `sections` gives each section's type: a struct for `[name]`, `tuple[Struct, ...]` for `[[name]]`.
    `environ` is the process's own by default, `sets` holds what `--set` was given (`key=value`),
    `directory` is where relative paths of overrides and defaults start, by default the working directory.

    Raises `ConfigurationError`.
    """
    start = Path.cwd() if directory is None else Path(directory).absolute()
    return _Loading(sections, start).load(path, os.environ if environ is None else environ, sets)


class _Loading:
    """One load: the tree of raw values as it is put together, where each came from, and what is wrong so
    far."""

    def __init__(self, sections: Mapping[str, object], directory: Path) -> None:
        self.sections = sections
        self.directory = directory
        self.raw: dict[str, Any] = {}
        self.sources: dict[Place, str] = {}
        self.folders: dict[Place, Path] = {}
        self.issues: list[Issue] = []

    def load(self, path: str | Path | None, environ: Mapping[str, str], sets: Sequence[str]) -> Configuration:
        if path is not None:
            self.read_file(Path(path))
        for name, text in sorted(environ.items()):
            if name.startswith(PREFIX):
                self.override(name.removeprefix(PREFIX).lower().split("__"), text, name)
        for text in sets:
            key, equals, value = text.partition("=")
            if not equals or not key.strip():
                self.say("bad_override", None, f"--set {without_passwords(text)}: expected KEY=VALUE")
            else:
                self.override(key.strip().split("."), value, f"--set {key.strip()}")
        for name in self.raw:
            if name not in self.sections:
                self.unknown((name,), self.sections)
        loaded = {}
        for name, kind in self.sections.items():
            empty: object = [] if element_of(kind) else {}
            loaded[name] = self.convert(self.raw.get(name, empty), kind, (name,))
        if self.issues:
            raise ConfigurationError(self.issues)
        return Configuration(loaded, self.sources)

    def say(self, code: str, field: Place | None, message: str) -> None:
        self.issues.append(Issue(code, message, None if field is None else _dotted(field)))

    def source(self, path: Place) -> str:
        while path:
            if path in self.sources:
                return self.sources[path]
            path = path[:-1]
        return DEFAULT

    # Reading

    def read_file(self, path: Path) -> None:
        try:
            text = path.read_bytes().decode()
            self.raw = tomllib.loads(text)
        except OSError as error:
            self.say("unreadable", None, f"{path}: cannot be read: {error.strerror or error}")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            line = re.search(r"\(at line (\d+)", str(error))
            where = f"{path}:{line[1]}" if line else str(path)
            self.say("bad_toml", None, f"{where}: not valid TOML: {error}")
        else:
            folder = path.absolute().parent
            for place, line_number in places(text).items():
                self.sources[place] = f"{path}:{line_number}"
                self.folders[place] = folder

    def override(self, names: Sequence[str], text: str, source: str) -> None:
        """Put one override into the tree. `names` is its key, as it was written."""
        steps = self.find(names, source)
        if not steps:
            return
        path = tuple(step for step, _ in steps)
        parent: Any = self.raw
        for step, kind in steps[:-1]:
            parent = _enter(parent, step, [] if element_of(kind) else {})
        step, kind = steps[-1]
        value = _from_text(text, kind)
        if isinstance(parent, list) and step == len(parent):
            parent.append(value)
        else:
            parent[step] = value
        for place in [each for each in self.sources if each[: len(path)] == path]:
            del self.sources[place]
            self.folders.pop(place, None)
        self.sources[path] = source
        self.folders[path] = self.directory

    def find(self, names: Sequence[str], source: str) -> list[tuple[str | int, object]]:
        """The steps to the setting that an override names, each with its type; empty, with an issue said,
        when there is none."""
        if names[0] not in self.sections:
            self.unknown((names[0],), self.sections, source)
            return []
        kind = self.sections[names[0]]
        steps: list[tuple[str | int, object]] = [(names[0], kind)]
        value: Any = self.raw.get(names[0])
        for name in names[1:]:
            path = tuple(step for step, _ in steps)
            step: str | int = name
            if (struct := struct_of(kind)) is not None:
                field = {each.encode_name: each for each in msgspec.structs.fields(struct)}.get(name)
                if field is None:
                    self.unknown((*path, name), known_names(struct), source)
                    return []
                kind = field.type
            elif (element := element_of(kind)) is not None:
                array = value if isinstance(value, list) else []
                index = _index(array, name)
                if index is None:
                    key = _dotted((*path, name))
                    self.say("unknown_key", (*path, name), f"{key} ({source}): no such element; it has {len(array)}")
                    return []
                step, kind = index, element
            elif (inside := value_of(kind)) is not None:
                kind = inside
            elif not accepts_anything(kind):
                key = _dotted((*path, name))
                self.say("unknown_key", (*path, name), f"{key} ({source}): {_dotted(path)} is a single value")
                return []
            value = _peek(value, step)
            steps.append((step, kind))
        return steps

    # Checking

    def unknown(self, path: Place, known: Sequence[str] | Mapping[str, object], source: str | None = None) -> None:
        hint = nearest(str(path[-1]), list(known), self.sections, path[:-1])
        self.say("unknown_key", path, f"{_dotted(path)} ({source or self.source(path)}): unknown key; {hint}")

    def convert(self, value: Any, kind: object, path: Place) -> Any:
        """The value as its type wants it; None with an issue said when it does not fit."""
        before = len(self.issues)
        struct, element, inside = struct_of(kind), element_of(kind), value_of(kind)
        if struct is not None and isinstance(value, dict):
            value = self.convert_fields(value, struct, path)
        elif element is not None and isinstance(value, list):
            value = [self.convert(each, element, (*path, index)) for index, each in enumerate(value)]
        elif inside is not None and isinstance(value, dict):
            value = {key: self.convert(each, inside, (*path, key)) for key, each in value.items()}
        elif isinstance(value, str) and value and is_marked(kind, "path"):
            folder = next((self.folders[p] for p in _upwards(path) if p in self.folders), self.directory)
            value = os.path.normpath(folder / Path(value).expanduser())
        if len(self.issues) > before:
            return None
        try:
            return msgspec.convert(value, type=cast("type[Any]", kind))
        except msgspec.ValidationError as error:
            self.invalid(error, value, kind, path)
            return None

    def convert_fields(self, value: dict[str, Any], struct: type[msgspec.Struct], path: Place) -> dict[str, Any]:
        fields = {each.encode_name: each for each in msgspec.structs.fields(struct)}
        tag = struct.__struct_config__.tag_field
        for key in value:
            if key not in fields and key != tag:
                self.unknown((*path, key), list(fields))
        converted = {key: value[key] for key in value if key == tag}
        for key, field in fields.items():
            if key in value:
                converted[key] = self.convert(value[key], field.type, (*path, key))
            elif field.required:
                where = f" ({self.source(path)})" if self.source(path) != DEFAULT else ""
                self.say("missing_key", (*path, key), f"{_dotted((*path, key))}{where}: has no default, give it")
            elif isinstance(field.default, str) and is_marked(field.type, "path"):
                converted[key] = self.convert(field.default, field.type, (*path, key))
        return converted

    def invalid(self, error: msgspec.ValidationError, value: object, kind: object, path: Place) -> None:
        match = re.fullmatch(r"(.*?)(?: - at `\$([^`]*)`)?", str(error), re.DOTALL)
        assert match is not None
        message = match[1][:1].lower() + match[1][1:]
        deeper = tuple(int(part) if part.isdecimal() else part for part in re.findall(r"[^.\[\]]+", match[2] or ""))
        came = ""
        if not deeper and not isinstance(value, dict | list):
            came = f" ({HIDDEN})" if is_secret(str(path[-1]), kind) else f" ({_shown(value, '', None)!r})"
        path = (*path, *deeper)
        self.say("invalid", path, f"{_dotted(path)} ({self.source(path)}): {message}{came}")


def _peek(container: Any, step: str | int) -> Any:
    """What stands at `step`, None if nothing does."""
    if isinstance(container, dict):
        return container.get(step)
    if isinstance(container, list) and isinstance(step, int) and step < len(container):
        return container[step]
    return None


def _enter(container: Any, step: str | int, empty: list[Any] | dict[str, Any]) -> Any:
    """The container at `step`; the empty one is put there if nothing of its kind is."""
    if type(_peek(container, step)) is not type(empty):
        if isinstance(container, list) and step == len(container):
            container.append(empty)
        else:
            container[step] = empty
    return container[step]


def _index(array: list[Any], name: str) -> int | None:
    """An element by its index (one past the end appends) or, failing that, by its `name`, whatever its
    case."""
    if name.isdecimal():
        return int(name) if int(name) <= len(array) else None
    for index, element in enumerate(array):
        if isinstance(element, dict) and str(element.get("name", "")).lower() == name.lower():
            return index
    return None


def _from_text(text: str, kind: object) -> object:
    """An override's text as the value that its type wants; as near as possible when it fits in no way."""
    try:
        parsed: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    if accepts_anything(kind):
        return parsed
    for candidate in (text, parsed):
        try:
            msgspec.convert(candidate, type=cast("type[Any]", kind))
        except msgspec.ValidationError:
            continue
        return candidate
    return text if accepts_text(kind) else parsed


def _shown(value: Any, name: str, kind: object) -> Any:
    """The value as builtins, with what is secret hidden. Empty secrets are shown: that one is missing is no
    secret."""
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        tag = {config.tag_field: config.tag} if config.tag_field else {}
        fields = msgspec.structs.fields(value)
        return tag | {
            field.encode_name: _shown(getattr(value, field.name), field.encode_name, field.type) for field in fields
        }
    if value not in (None, "") and not isinstance(value, bool | dict) and is_secret(name, kind):
        return HIDDEN
    if isinstance(value, dict):
        return {str(key): _shown(each, str(key), kind) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(each, "", None) for each in value]
    plain = msgspec.to_builtins(value)
    return without_passwords(plain) if isinstance(plain, str) else plain


def _upwards(path: Place) -> Iterator[Place]:
    while path:
        yield path
        path = path[:-1]


def _dotted(path: Place) -> str:
    return ".".join(str(part) for part in path)

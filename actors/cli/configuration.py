"""The configuration that a command line means: which file, which overrides, and errors as a command tells them."""

from __future__ import annotations

import argparse
import importlib
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actors.cli.installation import PACKAGES, configurations
from actors.cli.parser import near_miss
from actors.cli.profiles import environment, profile
from actors.cli.report import CommandError, Exit, Issue, failure
from runtime.settings import PREFIX, Configuration, ConfigurationError
from runtime.settings import load as load_settings

DEFAULT = "default"


def configuration_file(name: str | None) -> Path:
    """The file that CONFIG names: a path from here or from the repository, or a name in config/.

    Raises CommandError (usage) with the nearest right name when there is none.
    """
    wanted = name or DEFAULT
    named = configurations() / f"{wanted}.toml"
    candidates = [named] if name is None else [Path(wanted), PACKAGES / wanted, named]
    for path in candidates:
        if path.is_file():
            return path
    known = sorted(path.stem for path in configurations().glob("*.toml"))
    hint = near_miss(Path(wanted).stem, known) or f"there are: {', '.join(known) or 'none'}"
    raise failure(Exit.USAGE, "no_configuration", f"no configuration {wanted!r}", field="config", hint=hint)


def overrides(arguments: argparse.Namespace) -> list[str]:
    """What `--set` was given, and `--data-dir` as the setting that it stands for."""
    given: list[str] = list(arguments.overrides)
    if arguments.data_dir:
        given.append(f"node.data_dir={arguments.data_dir}")
    return given


def load(arguments: argparse.Namespace) -> Configuration:
    """The whole configuration, checked against the settings of every capability. Raises CommandError (usage)."""
    sections = importlib.import_module("actors.node").sections()
    name: str | None = arguments.config
    environ: Mapping[str, str] = os.environ
    if wanted := getattr(arguments, "profile", None):
        found = profile(wanted)
        name = name or found.config
        environ = environment(found, os.environ)
    try:
        return load_settings(configuration_file(name), sections, environ, overrides(arguments))
    except ConfigurationError as error:
        raise as_command_error(error) from error


def data_folder(arguments: argparse.Namespace) -> Path:
    """The node's data folder, by the rules of the whole configuration but without loading a capability.

    Raises CommandError (usage).
    """
    if arguments.data_dir:
        return Path(arguments.data_dir).expanduser().resolve()
    from runtime.node import NodeSettings

    path = configuration_file(arguments.config)
    mine = "node"
    try:
        configuration = load_settings(
            path,
            {**dict.fromkeys(_sections_of(path), Any), mine: NodeSettings},
            {name: text for name, text in os.environ.items() if name.startswith(f"{PREFIX}{mine.upper()}__")},
            [text for text in arguments.overrides if text.startswith(f"{mine}.")],
        )
    except ConfigurationError as error:
        raise as_command_error(error) from error
    settings: NodeSettings = configuration.section(mine)
    return Path(settings.data_dir).resolve()


def _sections_of(path: Path) -> Sequence[str]:
    """The names at the top of a TOML file; none if it cannot be read, which loading it will tell better."""
    try:
        return list(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return []


def as_command_error(error: ConfigurationError) -> CommandError:
    """All that is wrong with a configuration, as issues of a command."""
    return CommandError(Exit.USAGE, *(Issue(issue.code, issue.message, issue.field) for issue in error.issues))

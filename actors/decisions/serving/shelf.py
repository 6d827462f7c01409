"""Models on disk: what serves each name, with copies of the bundles, so that a restart serves what was served before.

    <data_dir>/models/serving.json                     which version serves each name, and which did before
    <data_dir>/models/<name>/<version>/<file>          the bundle, and the files of an ensemble's members

A class of the user's own (`package.module:Class`) has no file; its name is kept. Runs on a thread.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from actors.decisions.bundles.checking import BundleError
from actors.decisions.bundles.loading import load_policy, python_policy
from actors.decisions.policy import Policy
from actors.decisions.serving.pending import columns

WARM_CALLS: Final = 200
WARM_S: Final = 1.0
"""A slow policy is warm after so long."""


class ModelSource(msgspec.Struct, frozen=True):
    """Where a policy comes from: a bundle's path, or a class. `configured`: what the configuration said then."""

    path: str = ""
    policy: str = ""
    version: str = ""


class ShelfEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What serves a name. `configured`: what the configuration said of it when this was written."""

    now: ModelSource
    before: ModelSource | None = None
    configured: str = ""


class LoadFailed(Exception):
    """A model cannot be served. `field`: what of it is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message)
        self.field = field
        self.message = message

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class Shelf:
    """The folder of models. `folder` None: nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def read(self) -> dict[str, ShelfEntry]:
        """What served when the node stopped. Raises LoadFailed for a file that cannot be read."""
        if self.folder is None or not (file := self.folder / "serving.json").exists():
            return {}
        try:
            return msgspec.json.decode(file.read_bytes(), type=dict[str, ShelfEntry])
        except (OSError, msgspec.DecodeError) as error:
            raise LoadFailed("serving.json", f"{file} cannot be read: {error}") from error

    def write(self, entries: dict[str, ShelfEntry]) -> None:
        """Keep it, all of it or nothing. Raises OSError."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self.folder / "serving.json.new"
        with fresh.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(entries), indent=2))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.folder / "serving.json")

    def take(self, name: str, source: ModelSource) -> tuple[Policy, ModelSource]:
        """Read, check, warm, and copy a model; returns it with the place of the copy. Raises LoadFailed."""
        try:
            policy = load_policy(Path(source.path)) if source.path else python_policy(source.policy, {})
        except BundleError as error:
            raise LoadFailed(error.field, error.message) from error
        except OSError as error:
            raise LoadFailed("path", f"{source.path} cannot be read: {error.strerror or error}") from error
        version = policy.info.version or "python"
        if source.version and source.version != version:
            raise LoadFailed("version", f"expected {source.version}, got {version}: the file has changed")
        try:
            columns(policy.info)
        except ValueError as error:
            raise LoadFailed("features", str(error)) from error
        warm(policy)
        kept = self._keep(name, version, source.path) if source.path else ""
        return policy, ModelSource(kept, source.policy, version)

    def _keep(self, name: str, version: str, path: str) -> str:
        origin = Path(path).resolve()
        if self.folder is None:
            return str(origin)
        folder = (self.folder / name / version).resolve()
        if origin.parent == folder:
            return str(origin)
        folder.mkdir(parents=True, exist_ok=True)
        for file in (origin, *_members(origin)):
            target = folder / file.relative_to(origin.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh = target.with_name(f"{target.name}.new")
            shutil.copyfile(file, fresh)
            fresh.replace(target)
        return str(folder / origin.name)


def _members(path: Path) -> list[Path]:
    """The files beside an ensemble that its members are in."""
    from actors.decisions.bundles.bundle import read

    plan = read(path).manifest.ensemble
    return [] if plan is None else [path.parent / member.file for member in plan.members if member.file]


def warm(policy: Policy, calls: int = WARM_CALLS, most_s: float = WARM_S) -> None:
    """Call a policy as it will be called, so that no request pays for its first calls. Raises LoadFailed if it cannot
    answer what is usual (its reference values; zeros where it names none)."""
    info = policy.info
    usual = info.reference or (0.0,) * len(info.features)
    values = np.array([usual], dtype=np.float64)
    answers = 1
    until = time.monotonic() + most_s
    try:
        for _ in range(calls):
            answers = len(policy.act(values))
            if time.monotonic() > until:
                break
    except Exception as error:  # a user's class raises what it likes
        raise LoadFailed("policy", f"it raised at a warm-up call: {type(error).__name__}: {error}") from error
    if answers != 1:
        raise LoadFailed("policy", f"expected one answer to one observation, got {answers}")

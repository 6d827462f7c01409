"""Where files of data sets are, and how they get there and away. Blocks."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

import msgspec

from actors.research.datasets.jobs import FOLDER, ID, RECORDING, REFERENCE, Job

NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


class DatasetError(ValueError):
    """Data that cannot be read as what it is said to be: which field, what was expected, what came."""

    def __init__(self, message: str, field: str = "file") -> None:
        super().__init__(message)
        self.field = field


def file_name(text: str) -> str:
    """A file's own name, of letters that every folder takes."""
    name = NAME.sub("_", Path(text.replace("\\", "/")).name)[-100:].lstrip(".")
    return name or "file"


def make_folder(folder: Path) -> None:
    """Make it, if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)


def prepared(job: Job, arriving: str) -> Job:
    """Make the data set's folder, and give what has arrived its name; a recording moves into the folder.

    After a part of it was done a second time does the rest.
    """
    folder, source = Path(job.folder), Path(job.source)
    folder.mkdir(parents=True, exist_ok=True)
    if job.recording == "reference":
        (folder / REFERENCE).write_text(job.source, encoding="utf-8")
        return job
    arrived = source.with_name(arriving)
    if arrived.exists():
        arrived.replace(source)
    if job.recording != "copy":
        return job
    target = folder / RECORDING / source.name
    target.parent.mkdir(exist_ok=True)
    if source.exists():
        source.replace(target)
    return msgspec.structs.replace(job, source=str(target))


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def names(folder: Path) -> tuple[str, ...]:
    """What is in a folder; nothing where there is none."""
    return tuple(each.name for each in folder.iterdir()) if folder.is_dir() else ()


def folder_of(data_dir: Path, dataset_id: str) -> Path:
    """Where a node keeps a data set. Raises DatasetError for an id that is none."""
    if not ID.fullmatch(dataset_id):
        raise DatasetError(f"dataset_id: expected hex digits, got {dataset_id[:100]!r}", "dataset_id")
    return data_dir / FOLDER / dataset_id


def recording_of(folder: Path) -> Path | None:
    """The recording that a data set's folder holds, or refers to; None where it is none of a recording."""
    if (folder / REFERENCE).is_file():
        return Path((folder / REFERENCE).read_text(encoding="utf-8"))
    inside = folder / RECORDING
    return next(iter(sorted(inside.iterdir())), None) if inside.is_dir() else None

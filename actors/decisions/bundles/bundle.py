"""A policy in one file: read with every check that needs no policy, written so that equal content is equal bytes.

The file is a ZIP without compression: `manifest.json`, `arrays/<name>` (raw elements), and for the kinds that have them
`model.onnx` and `members/<name>`. Its comment, the last 64 bytes, is the SHA-256 in hex over all bytes before it: a
change anywhere in the file is seen before anything in it is looked at. Nothing is unpacked to disk, nothing is
pickled, and nothing can be larger than the file itself.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from actors.decisions.bundles.checking import Array, BundleError, check, is_plain
from actors.decisions.bundles.manifest import ArraySpec, Manifest

__all__ = ["MOST_BYTES", "Bundle", "BundleError", "decode", "encode", "read", "write"]

MOST_BYTES: Final = 512 * 1024 * 1024
MOST_MANIFEST: Final = 4 * 1024 * 1024
MOST_ENTRIES: Final = 4096
SHA_LENGTH: Final = 64
EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
"""The first date that ZIP knows: a file must not depend on when it was written."""
MANIFEST: Final = "manifest.json"
MODEL: Final = "model.onnx"
UNREADABLE: Final = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    struct.error,
)
"""What `zipfile` raises for what is no archive; which of these, depends on the byte that is wrong."""


class Bundle(msgspec.Struct, frozen=True):
    """A bundle in memory. `sha256`: of the file that it was read from, empty before it is written.

    `arrays`: see `manifest.expected_arrays`, and `golden.observations`, `golden.outputs`, `golden.actions` (with
    `golden.masks`, `golden.regimes`), `reference`, `spread`. `members`: bytes of whole bundles.
    """

    manifest: Manifest
    arrays: Mapping[str, Array]
    model: bytes = b""
    members: Mapping[str, bytes] = {}
    sha256: str = ""


def encode(bundle: Bundle) -> bytes:
    """The bytes of the file. Raises BundleError for a bundle that could not be read again."""
    arrays = {name: np.ascontiguousarray(array) for name, array in sorted(bundle.arrays.items())}
    specs = [{"name": name, "dtype": array.dtype.str, "shape": array.shape} for name, array in arrays.items()]
    try:
        listed = msgspec.convert(specs, tuple[ArraySpec, ...])
    except msgspec.ValidationError as error:
        raise BundleError("arrays", str(error)) from error
    check(bundle.manifest, arrays, bundle.model, bundle.members)
    manifest = msgspec.structs.replace(bundle.manifest, arrays=listed)
    entries = {MANIFEST: msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1)}
    entries |= {f"arrays/{name}": array.tobytes() for name, array in arrays.items()}
    if bundle.model:
        entries[MODEL] = bundle.model
    entries |= {f"members/{name}": content for name, content in sorted(bundle.members.items())}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name, EARLIEST), content)
        archive.comment = b"0" * SHA_LENGTH
    body = buffer.getvalue()[:-SHA_LENGTH]
    return body + hashlib.sha256(body).hexdigest().encode()


def write(bundle: Bundle, path: Path) -> str:
    """Write a bundle, whole or not at all; the answer is its SHA-256. Raises BundleError, OSError."""
    content = encode(bundle)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return content[-SHA_LENGTH:].decode()


def read(path: Path) -> Bundle:
    """Read a bundle and check all of it that can be checked without running it. Raises BundleError."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BundleError("file", f"{path} cannot be read: {error.strerror or error}") from error
    return decode(content)


def decode(content: bytes) -> Bundle:
    """The bundle that bytes are. Raises BundleError."""
    if len(content) > MOST_BYTES:
        raise BundleError("file", f"at most {MOST_BYTES} bytes expected")
    body, said = content[:-SHA_LENGTH], content[-SHA_LENGTH:]
    computed = hashlib.sha256(body).hexdigest()
    if re.fullmatch(rb"[0-9a-f]{64}", said) is None:
        raise BundleError("sha256", "it does not end with its SHA-256: it is no bundle, or not the whole of one")
    if said != computed.encode():
        raise BundleError("sha256", f"the file says {said.decode()}; its content has {computed}")
    entries = unpack(content)
    if MANIFEST not in entries:
        raise BundleError(MANIFEST, "there is none in the file")
    if len(entries[MANIFEST]) > MOST_MANIFEST:
        raise BundleError(MANIFEST, f"at most {MOST_MANIFEST} bytes expected; got {len(entries[MANIFEST])}")
    try:
        manifest = msgspec.json.decode(entries.pop(MANIFEST), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(MANIFEST, str(error)) from error
    arrays = {spec.name: array_of(spec, entries.pop(f"arrays/{spec.name}", None)) for spec in manifest.arrays}
    if len(arrays) != len(manifest.arrays):
        raise BundleError("arrays", "each name once expected")
    model = entries.pop(MODEL, b"")
    members = {name.removeprefix("members/"): entries.pop(name) for name in sorted(entries) if name[:8] == "members/"}
    if entries:
        raise BundleError("file", f"it has an entry that is no part of a bundle: {sorted(entries)[0]!r}")
    check(manifest, arrays, model, members)
    return Bundle(manifest, arrays, model, members, computed)


def unpack(content: bytes) -> dict[str, bytes]:
    """The entries of the archive, in memory. Raises BundleError for what `encode` would not have written."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            listed = archive.infolist()
            check_entries(listed, len(content))
            entries = {entry.filename: archive.read(entry) for entry in listed}
    except UNREADABLE as error:
        raise BundleError("file", f"it is no archive: {error}") from error
    if len(entries) != len(listed):
        raise BundleError("file", "the same entry is there twice")
    return entries


def check_entries(listed: list[zipfile.ZipInfo], size: int) -> None:
    """Raises BundleError for entries that are packed, encrypted, too many, or larger than the file is."""
    if len(listed) > MOST_ENTRIES:
        raise BundleError("file", f"at most {MOST_ENTRIES} entries expected; got {len(listed)}")
    total = 0
    for entry in listed:
        total += entry.file_size
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise BundleError("file", f"entries without compression expected; {entry.filename!r} is not")
        if entry.file_size != entry.compress_size or total > size:
            raise BundleError("file", f"the entry {entry.filename!r} claims more than the file has")


def array_of(spec: ArraySpec, content: bytes | None) -> Array:
    """The array that an entry holds; read-only. Raises BundleError."""
    if not is_plain(spec.name):
        raise BundleError("arrays", f"letters, digits, '_', '-' and '.' expected in a name; got {spec.name!r}")
    if content is None:
        raise BundleError(spec.name, "the manifest lists this array; the file has none")
    dtype = np.dtype(spec.dtype)
    if any(length < 0 for length in spec.shape) or len(spec.shape) > 4:
        raise BundleError(spec.name, f"up to four lengths of 0 or more expected; got {spec.shape}")
    needed = math.prod(spec.shape) * dtype.itemsize
    if needed != len(content):
        raise BundleError(spec.name, f"{needed} bytes expected for shape {spec.shape}; got {len(content)}")
    return np.frombuffer(content, dtype).reshape(spec.shape)

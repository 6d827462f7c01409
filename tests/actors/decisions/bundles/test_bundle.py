"""A bundle is what was written, or one clear error."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.decisions.bundles import bundle as bundles
from actors.decisions.bundles.bundle import Bundle, BundleError, decode, encode, read, write
from actors.decisions.bundles.manifest import (
    Activate,
    Gaussian,
    LayerNorm,
    Linear,
    Manifest,
    Normaliser,
    Probabilities,
    QValues,
)
from actors.decisions.features.names import FEATURE_SETS, MARKET_29
from actors.decisions.policy import ActionMeaning
from tests.actors.decisions.bundles.samples import FEATURES, mlp_bundle

WHOLE = encode(mlp_bundle())


def signed(body: bytes) -> bytes:
    """A body with the SHA-256 that belongs to it."""
    return body + hashlib.sha256(body).hexdigest().encode()


def packed(entries: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A file of these entries, as somebody else's program might write it, with the right SHA-256."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
        archive.comment = b"0" * 64
    return signed(buffer.getvalue()[:-64])


def entries_of(content: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def with_entry(name: str, content: bytes) -> list[tuple[str, bytes]]:
    return [(each, content if each == name else before) for each, before in entries_of(WHOLE)]


def changed(arrays: dict[str, Any] | None = None, **fields: Any) -> Bundle:
    """The sample with other arrays (None: taken out) and other fields."""
    whole = mlp_bundle()
    merged = {name: array for name, array in {**whole.arrays, **(arrays or {})}.items() if array is not None}
    return Bundle(msgspec.structs.replace(whole.manifest, **fields), merged)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    whole = mlp_bundle()
    sha = write(whole, tmp_path / "p.bundle")
    again = read(tmp_path / "p.bundle")
    assert again.sha256 == sha
    assert msgspec.structs.replace(again.manifest, arrays=()) == whole.manifest
    assert set(again.arrays) == set(whole.arrays)
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
        assert again.arrays[name].dtype == array.dtype
    assert [path.name for path in tmp_path.iterdir()] == ["p.bundle"]


def test_equal_content_is_equal_bytes_and_one_other_weight_is_another_version(tmp_path: Path) -> None:
    shuffled = mlp_bundle()
    shuffled = Bundle(shuffled.manifest, dict(reversed(shuffled.arrays.items())))
    assert encode(shuffled) == WHOLE
    assert encode(decode(WHOLE)) == WHOLE
    weight = np.array(shuffled.arrays["layers.0.weight"])
    weight[0, 0] = np.nextafter(weight[0, 0], np.float32(9))
    assert decode(encode(changed({"layers.0.weight": weight}))).sha256 != decode(WHOLE).sha256


def test_the_file_is_an_ordinary_archive_whose_comment_is_its_sha() -> None:
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as archive:
        assert archive.testzip() is None
        assert archive.comment.decode() == hashlib.sha256(WHOLE[:-64]).hexdigest() == decode(WHOLE).sha256
        assert "manifest.json" in archive.namelist()


def test_a_flipped_byte_anywhere_is_seen() -> None:
    for position in range(0, len(WHOLE), 7):
        broken = bytearray(WHOLE)
        broken[position] ^= 0x40
        with pytest.raises(
            BundleError, match=r"^sha256: (the file says [0-9a-f]{64}; its content has|it does not end)"
        ):
            decode(bytes(broken))


@pytest.mark.parametrize("content", [b"", b"PK", WHOLE[:-1], WHOLE[:100], WHOLE + b"\0", b"\0" * 4096])
def test_a_file_that_is_cut_lengthened_or_empty_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match=r"^sha256: "):
        decode(content)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(WHOLE) - 65), st.binary(min_size=1, max_size=8))
def test_whatever_is_in_a_file_of_the_right_sha_it_is_a_bundle_or_a_bundle_error(position: int, content: bytes) -> None:
    body = WHOLE[:-64]
    with suppress(BundleError):
        decode(signed(body[:position] + content + body[position + len(content) :]))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"^file: .*absent.bundle cannot be read: No such file"):
        read(tmp_path / "absent.bundle")
    with pytest.raises(BundleError, match=r"^file: .* cannot be read: Is a directory"):
        read(tmp_path)


def test_a_compressed_entry_is_refused_before_it_is_unpacked() -> None:
    bomb = packed([("manifest.json", b"\0" * 50_000_000)], zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    with pytest.raises(BundleError, match=r"^file: entries without compression expected; 'manifest.json' is not$"):
        decode(bomb)


def test_a_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MOST_BYTES", len(WHOLE) - 1)
    with pytest.raises(BundleError, match=r"^file: at most \d+ bytes expected$"):
        decode(WHOLE)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "arrays/../../x", "weights.pkl", "arrays/extra"])
def test_an_entry_that_is_no_part_of_a_bundle_is_refused(name: str) -> None:
    with pytest.raises(BundleError, match=rf"^file: it has an entry that is no part of a bundle: '{re.escape(name)}'$"):
        decode(packed([*entries_of(WHOLE), (name, b"x")]))


def test_an_array_cannot_be_named_out_of_its_place() -> None:
    manifest = dict(entries_of(WHOLE))["manifest.json"].replace(b'"layers.0.bias"', b'"../layers.bias"')
    renamed = [("arrays/../layers.bias" if n == "arrays/layers.0.bias" else n, c) for n, c in entries_of(WHOLE)]
    with pytest.raises(BundleError, match=r"^arrays: letters, digits, .* expected in a name; got '../layers.bias'$"):
        decode(packed([(name, manifest if name == "manifest.json" else content) for name, content in renamed]))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_entry_twice_is_refused() -> None:
    with pytest.raises(BundleError, match=r"^file: the same entry is there twice$"):
        decode(packed([*entries_of(WHOLE), ("manifest.json", b"{}")]))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"mlp"', b'"pickle"', r"Invalid enum value 'pickle' - at `\$.kind`$"),
        (b'"kind"', b'"kinds"', r"Object contains unknown field `kinds`"),
        (b'"dtype": "<f4"', b'"dtype": "|O8"', r"Invalid enum value '\|O8' - at `\$.arrays"),
        (b'"format_version": 1', b'"format_version": 2', None),
        (b'"troupe-policy-bundle"', b'"another"', r"Invalid enum value 'another' - at `\$.format`$"),
        (b"{", b"[", r"Expected `object`, got `array`$"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(old: bytes, new: bytes, message: str | None) -> None:
    manifest = dict(entries_of(WHOLE))["manifest.json"]
    assert old in manifest
    wrong = packed(with_entry("manifest.json", manifest.replace(old, new, 1)))
    expected = f"^manifest.json: .*{message}" if message else r"^format_version: this is read: 1; the bundle has 2$"
    with pytest.raises(BundleError, match=expected):
        decode(wrong)


def test_an_array_that_claims_more_than_it_has_is_refused_before_there_is_room_for_it() -> None:
    manifest = msgspec.json.decode(dict(entries_of(WHOLE))["manifest.json"])
    for spec in manifest["arrays"]:
        if spec["name"] == "layers.0.weight":
            spec["shape"] = [10**9, 10**9]
    with pytest.raises(BundleError, match=r"^layers.0.weight: 4000000000000000000 bytes expected .* got 512$"):
        decode(packed(with_entry("manifest.json", msgspec.json.encode(manifest))))


KNOWN = FEATURE_SETS[MARKET_29]
WEIGHT = mlp_bundle().arrays["layers.0.weight"]


@pytest.mark.parametrize(
    ("arrays", "fields", "message"),
    [
        ({}, {"features": FEATURES[:3]}, r"layers\[0\].inputs: 6 expected, what comes in; got 8"),
        ({}, {"features": ("a", "a")}, "features: names expected, each once; got 'a', 'a'"),
        ({}, {"feature_set": MARKET_29}, "features: the set market29 has 29 features; the bundle has 4"),
        (
            {},
            {"feature_set": MARKET_29, "features": (KNOWN[1], KNOWN[0], *KNOWN[2:])},
            r"features\[0\]: in the set market29 this is 'change_percent'; the bundle has 'return_1'",
        ),
        ({}, {"min_features": 5}, "min_features: 0 to 4 expected; got 5"),
        ({}, {"actions": ()}, "actions: names expected, each once; got none"),
        ({}, {"actions": (ActionMeaning("BUY", "BUY", 1.5),) * 1}, r"actions\[0\].share: 0 to 1 expected; got 1.5"),
        ({}, {"actions": mlp_bundle().manifest.actions[:2]}, "layers: 2 outputs expected for the actions; .* has 3"),
        ({}, {"kind": "torch", "layers": ()}, "layers: a bundle of kind torch needs it; there is none"),
        ({}, {"kind": "ensemble"}, "layers: it has no place in a bundle of kind ensemble"),
        ({}, {"confidence_kind": "vote"}, "confidence_kind: with this head probability expected; got vote"),
        ({}, {"head": Probabilities()}, "head: probabilities come from models of kind onnx; this is mlp"),
        ({}, {"head": QValues(0.0), "confidence_kind": "q_softmax"}, "head.temperature: above 0 expected; got 0.0"),
        (
            {},
            {"head": Gaussian(-1, 1, 0, (0.5, 0.5)), "confidence_kind": "density"},
            r"head.bands: ascending thresholds expected; got \(0.5, 0.5\)",
        ),
        (
            {},
            {"head": Gaussian(-1, 1, 0, ()), "confidence_kind": "density"},
            "head.bands: 2 expected, one fewer than actions; got 0",
        ),
        ({}, {"layers": (Linear(8, 3), Activate("gelu"))}, r"layers\[1\].name: kind mlp has no gelu; kind torch has"),
        ({}, {"layers": (LayerNorm(8, 1e-5),)}, r"layers\[0\]: kind mlp has no LayerNorm; kind torch has"),
        ({"layers.0.weight": None}, {}, r"layers.0.weight: an array of shape \(16, 8\) expected; there is none"),
        (
            {"layers.0.weight": WEIGHT.T.copy()},
            {},
            r"layers.0.weight: <f4 of shape \(16, 8\) expected; .*8, 16",
        ),
        ({"layers.0.weight": WEIGHT.astype("<f8")}, {}, r"layers.0.weight: <f4 of shape \(16, 8\) expected; got <f8"),
        ({"layers.0.weight": WEIGHT * np.nan}, {}, r"layers.0.weight: finite numbers expected; got nan at \[0, 0\]"),
        ({"normaliser.mean": np.full(4, np.inf)}, {}, r"normaliser.mean: finite numbers expected; got inf at \[0\]"),
        ({"normaliser.variance": np.array([1.0, -1, 1, 1])}, {}, "normaliser.variance: above 0 expected"),
        ({}, {"normaliser": Normaliser(1e-8, 0.0)}, "normaliser.clip: above 0 expected; got 0.0"),
        ({"layers.9.weight": WEIGHT}, {}, "layers.9.weight: a policy of this manifest has no such array"),
        ({"golden.observations": None}, {}, "golden.observations: golden pairs expected; there are none"),
        ({"golden.actions": np.full(64, 3)}, {}, "golden.actions: 0 to 2 expected"),
        ({"golden.outputs": np.zeros((64, 2))}, {}, r"golden.outputs: <f8 of shape \(64, 3\) expected; got <f8 of"),
        ({"golden.rewards": np.zeros(64)}, {}, "golden.rewards: golden pairs have no such array"),
        ({"spread": np.zeros(3)}, {}, r"spread: <f8 of shape \(4,\) expected; got \(3,\)"),
        ({"layers.0.weight": WEIGHT.astype("complex64")}, {}, r"arrays: Invalid enum value '<c8'"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_its_place(
    arrays: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(BundleError, match=rf"^{message}"):
        encode(changed(arrays, **fields))


def test_what_is_refused_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "p.bundle"
    sha = write(mlp_bundle(), path)
    with pytest.raises(BundleError):
        write(changed({"layers.0.weight": WEIGHT * np.nan}), path)
    assert read(path).sha256 == sha
    assert len(list(tmp_path.iterdir())) == 1


def test_who_has_a_file_open_while_another_is_written_in_its_place_reads_what_he_opened(tmp_path: Path) -> None:
    path = tmp_path / "p.bundle"
    write(mlp_bundle(), path)
    with path.open("rb") as opened:
        sha = write(mlp_bundle(seed=8), path)
        assert opened.read() == WHOLE
    assert read(path).sha256 == sha


def test_every_field_of_the_manifest_is_described() -> None:
    page = (Path(__file__).parents[4] / "docs" / "reference" / "policy-bundle.md").read_text()
    fields = [field.name for field in msgspec.structs.fields(Manifest)]
    assert [name for name in fields if f"| `{name}` |" not in page] == []

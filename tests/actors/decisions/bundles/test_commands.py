"""`troupe model`: bundles on the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from actors.decisions.bundles.bundle import Bundle, encode, read, write
from actors.decisions.bundles.commands import check, import_onnx, show
from actors.decisions.bundles.loading import load_policy
from protocols.control import Refused
from tests.actors.decisions.bundles.samples import FEATURES, MEAN, VARIANCE, mlp_bundle, observations
from tests.actors.decisions.bundles.test_torch_and_onnx import by_hand

ROWS = observations(40, seed=21)


def test_a_sound_bundle_is_checked_by_its_golden_pairs(tmp_path: Path) -> None:
    sha = write(mlp_bundle(), tmp_path / "p.bundle")
    text, told = check([str(tmp_path / "p.bundle")], None)
    assert (told["version"], told["golden_pairs"]) == (sha[:12], 64)
    assert 0 <= told["largest_difference"] < 1e-5
    assert "64 golden pairs hold" in text


def test_a_bundle_whose_weights_are_others_is_refused_with_the_pair(tmp_path: Path) -> None:
    whole = mlp_bundle()
    arrays = dict(whole.arrays)
    arrays["layers.4.bias"] = arrays["layers.4.bias"] + np.array([0.01, 0, 0], np.float32)
    (tmp_path / "p.bundle").write_bytes(encode(Bundle(whole.manifest, arrays)))
    with pytest.raises(Refused, match=r"p\.bundle: the policy answers .* they differ by") as caught:
        check([str(tmp_path / "p.bundle")], None)
    assert caught.value.code == "invalid"
    assert (caught.value.field or "").startswith("golden[")


def test_what_is_no_bundle_and_what_is_not_there_are_one_error_each(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no bundle, " * 20)
    for verb in (check, show):
        with pytest.raises(Refused, match="no bundle, or not the whole of one") as caught:
            verb([str(tmp_path / "text")], None)
        assert caught.value.code == "invalid"
        with pytest.raises(Refused, match="cannot be read: No such file") as caught:
            verb([str(tmp_path / "absent")], None)
        assert caught.value.code == "not_found"


def test_showing_a_bundle_says_what_is_in_it(tmp_path: Path) -> None:
    sha = write(mlp_bundle(min_features=3), tmp_path / "p.bundle")
    text, told = show([str(tmp_path / "p.bundle")], None)
    assert told["manifest"]["features"] == FEATURES
    features, network = "4 of samples, at least 3 known", "8x16 tanh 16x16 tanh 16x3"
    for said in (sha, features, network, "synthetic", "SELL, HOLD, BUY; masks are imposed"):
        assert said in text


def rows_in(path: Path, names: tuple[str, ...] = FEATURES) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([[repr(float(each)) for each in row] for row in ROWS])
    return path


def arguments(folder: Path, **changes: str) -> list[str]:
    (folder / "net.onnx").write_bytes(by_hand())
    (folder / "normaliser.json").write_text(json.dumps({"mean": MEAN.tolist(), "variance": VARIANCE.tolist()}))
    given = {
        "observations": str(folder / "rows.csv"),
        "actions": "out=SELL:1,HOLD,half=BUY:0.5",
        "feature-set": "samples",
        "features": ",".join(FEATURES),
        "normalise": str(folder / "normaliser.json"),
        "mark": "synthetic",
        **changes,
    }
    options = [part for name, value in given.items() for part in (f"--{name}", value)]
    return [str(folder / "net.onnx"), str(folder / "made.bundle"), *options]


def test_an_onnx_file_becomes_a_bundle_that_answers_as_the_network_does(tmp_path: Path) -> None:
    from actors.decisions.bundles.mlp import MlpPolicy

    rows_in(tmp_path / "rows.csv")
    _, told = import_onnx(arguments(tmp_path), None)
    policy = load_policy(tmp_path / "made.bundle")
    assert told["version"] == policy.info.version
    assert [(each.name, each.side, each.share) for each in policy.info.actions] == [
        ("out", "SELL", 1.0), ("HOLD", "HOLD", 0.0), ("half", "BUY", 0.5),
    ]  # fmt: skip
    assert policy.info.marks == ("synthetic",)
    expected = [answer.probabilities for answer in MlpPolicy(mlp_bundle("values")).act(ROWS)]
    np.testing.assert_allclose([answer.probabilities for answer in policy.act(ROWS)], expected, rtol=0, atol=1e-5)


def test_observations_may_be_an_array_in_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    import_onnx(arguments(tmp_path, observations=str(tmp_path / "rows.npy")), None)
    assert len(read(tmp_path / "made.bundle").arrays["golden.observations"]) == len(ROWS)


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"actions": "SELL,WAIT,BUY"}, "actions", "expected BUY, SELL, HOLD, or NAME=SIDE:SHARE .* got 'WAIT'"),
        ({"actions": "SELL,HOLD,half=BUY:some"}, "actions", "got 'half=BUY:some'"),
        ({"actions": "SELL,BUY"}, "onnx.output", "no output with 2 columns"),
        ({"features": "rsi_now,height"}, "observations", "there is none for height"),
        ({"feature-set": "mine", "features": ""}, "features", "expected the names of the features of mine"),
        ({"observations": "absent.csv"}, "observations", "absent.csv cannot be read"),
        ({"normalise": "absent.json"}, "normalise", "absent.json cannot be read"),
    ],
)
def test_what_cannot_be_imported_is_one_error_with_its_field(
    tmp_path: Path, changes: dict[str, str], field: str, message: str
) -> None:
    rows_in(tmp_path / "rows.csv")
    with pytest.raises(Refused, match=message) as caught:
        import_onnx(arguments(tmp_path, **changes), None)
    assert caught.value.field == field
    assert not (tmp_path / "made.bundle").exists()


def test_a_row_that_is_cut_off_is_named_by_its_line(tmp_path: Path) -> None:
    rows_in(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open("a") as file:
        file.write("1.0,2.0\n")
    with pytest.raises(Refused, match=f"line {len(ROWS) + 2}: 4 cells expected, got 2"):
        import_onnx(arguments(tmp_path), None)

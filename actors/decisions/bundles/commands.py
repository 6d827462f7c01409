"""`bin/troupe model check|show|import`: bundles on the command line. No node is needed.

Whatever a kind needs (numpy, onnxruntime, torch) is imported when a command runs.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec

from actors.decisions.features.names import FEATURE_SETS
from protocols.control import Refused
from protocols.decisions import DecisionAction
from runtime.settings import Configuration

if TYPE_CHECKING:
    from actors.decisions.bundles.bundle import Bundle
    from actors.decisions.policy import ActionMeaning, Policy, Values

Answer = tuple[str, dict[str, Any]]
SIDES: Final = get_args(DecisionAction)


def check(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """load a policy bundle as the server would: its golden pairs hold, or which one does not"""
    parser = _parser("check", "Read a bundle, and ask its policy the golden pairs again.")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    given = parser.parse_args(arguments)
    from actors.decisions.bundles.checking import BundleError
    from actors.decisions.bundles.golden import check_golden_pairs

    try:
        bundle, policy = _loaded(given.bundle)
        worst = check_golden_pairs(policy, bundle)
    except BundleError as error:
        raise _refused(given.bundle, error) from None
    pairs = len(bundle.arrays.get("golden.observations", ()))
    told: dict[str, Any] = {"bundle": str(given.bundle), "version": policy.info.version, "kind": policy.info.kind}
    told |= {"sha256": bundle.sha256, "golden_pairs": pairs, "largest_difference": worst}
    said = f"{pairs} golden pairs hold; the largest difference is {worst:.3g} of at most 1e-05"
    if not pairs:
        said = f"it has no golden pairs of its own; those of its {len(policy.info.members)} members hold"
    return f"{given.bundle}: {policy.info.kind} {policy.info.version} is sound\n{said}", told


def show(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """what is in a policy bundle: kind, features, actions, training, libraries"""
    parser = _parser("show", "What a bundle says of its policy. Nothing in it is run.")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    given = parser.parse_args(arguments)
    from actors.decisions.bundles import bundle as bundles
    from actors.decisions.bundles.checking import BundleError

    try:
        bundle = bundles.read(given.bundle)
    except BundleError as error:
        raise _refused(given.bundle, error) from None
    manifest: dict[str, Any] = msgspec.to_builtins(bundle.manifest)
    return "\n".join(_shown(bundle)), {"sha256": bundle.sha256, "version": bundle.sha256[:12], "manifest": manifest}


def import_onnx(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """make a policy bundle of an ONNX model (scikit-learn, TensorFlow, torch)"""
    given = _import_parser().parse_args(arguments)
    from actors.decisions.bundles import bundle as bundles
    from actors.decisions.bundles.checking import BundleError
    from actors.decisions.bundles.importing import onnx_bundle

    features = _features(given.feature_set, given.features)
    try:
        model = given.model.read_bytes()
    except OSError as error:
        raise Refused("not_found", f"{given.model} cannot be read: {error.strerror or error}", "model") from None
    try:
        made = onnx_bundle(
            model,
            algorithm=given.algorithm,
            feature_set=given.feature_set,
            features=features,
            actions=[_action(text) for text in given.actions.split(",")],
            observations=_observations(given.observations, features),
            normalise=None if given.normalise is None else _normaliser(given.normalise),
            outputs=given.outputs,
            output=given.output,
            temperature=given.temperature,
            layout=given.layout,
            min_features=given.min_features,
            trained=given.trained,
            marks=given.mark,
        )
        sha = bundles.write(made, given.bundle)
    except BundleError as error:
        raise Refused("invalid", error.message, error.field) from None
    except OSError as error:
        raise Refused("invalid", f"{given.bundle} cannot be written: {error.strerror or error}", "bundle") from None
    text = [f"{given.bundle} is written, sha256 {sha}", *_shown(bundles.read(given.bundle))]
    return "\n".join(text), {"bundle": str(given.bundle), "sha256": sha, "version": sha[:12]}


def _parser(verb: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"troupe model {verb}", allow_abbrev=False, description=description)


def _import_parser() -> argparse.ArgumentParser:
    made = _parser("import", "Make a bundle of an ONNX model; it is written when its golden pairs hold.")
    made.add_argument("model", type=Path, metavar="MODEL.onnx")
    made.add_argument("bundle", type=Path, metavar="BUNDLE", help="the file that is written")
    made.add_argument("--observations", type=Path, required=True, metavar="FILE",
                      help="raw observations of which the golden pairs are made: CSV with the features' names above "
                      "(an empty cell is missing), or a .npy of shape (n, features)")  # fmt: skip
    made.add_argument("--actions", required=True, metavar="LIST",
                      help="what the model's columns mean, as SELL,HOLD,BUY or half=BUY:0.5,out=SELL:1")  # fmt: skip
    made.add_argument("--feature-set", default="market29", metavar="NAME", help="of the features (market29)")
    made.add_argument("--features", default="", metavar="LIST", help="their names, for a set of your own")
    made.add_argument("--algorithm", default="classifier", metavar="NAME", help="in words (classifier)")
    made.add_argument("--outputs", choices=("auto", "probabilities", "logits", "q_values"), default="auto",
                      help="what the columns are (auto: probabilities if they add up to 1, else logits)")  # fmt: skip
    made.add_argument("--output", default="", metavar="NAME", help="of the output, where several could be it")
    made.add_argument("--temperature", type=float, default=1.0, metavar="T", help="of the confidence of q_values (1)")
    made.add_argument("--layout", choices=("values", "values+mask"), default="values",
                      help="what the model takes: the features, or a bit for each, too (values)")  # fmt: skip
    made.add_argument("--normalise", type=Path, metavar="FILE",
                      help='JSON with "mean" and "variance", where the model does not normalise by itself')  # fmt: skip
    made.add_argument("--min-features", type=int, default=1, metavar="N",
                      help="with fewer known ones the fallback answers (1)")  # fmt: skip
    made.add_argument("--trained", default="", metavar="TEXT", help="on what it was trained, in words")
    made.add_argument("--mark", action="append", default=[], metavar="MARK", help="as synthetic; may be repeated")
    return made


def _loaded(path: Path) -> tuple[Bundle, Policy]:
    from actors.decisions.bundles import bundle as bundles
    from actors.decisions.bundles.loading import build

    bundle = bundles.read(path)
    return bundle, build(bundle, path.parent)


def _refused(path: Path, error: Any) -> Refused:
    """What is wrong with a bundle: `not_found` for one that is not there."""
    if not path.exists():
        return Refused("not_found", error.message, error.field)
    return Refused("invalid", f"{path}: {error.message}", error.field)


def _shown(bundle: Bundle) -> list[str]:
    manifest = bundle.manifest
    actions = ", ".join(
        each.name if each.name == each.side else f"{each.name} ({each.side} {each.share:g})"
        for each in manifest.actions
    )
    rows = [
        ("version", bundle.sha256[:12]),
        ("kind", f"{manifest.kind}, {manifest.algorithm}"),
        ("features", f"{len(manifest.features)} of {manifest.feature_set}, at least {manifest.min_features} known"),
        ("missing ones", "are masked" if manifest.layout == "values+mask" else "are not taken"),
        ("actions", f"{actions}; masks are {manifest.mask_rule}"),
        ("confidence", manifest.confidence_kind),
        ("network", _network(bundle)),
        ("normaliser", "none" if manifest.normaliser is None else f"frozen, over {manifest.normaliser.over}"),
        ("trained on", str(manifest.trained) or "not said"),
        ("marks", ", ".join(manifest.marks) or "none"),
        ("libraries", ", ".join(f"{name} {version}" for name, version in sorted(manifest.libraries.items())) or "-"),
        ("golden pairs", str(len(bundle.arrays.get("golden.observations", ())))),
        ("sha256", bundle.sha256),
    ]
    return [f"{name:<13} {text}" for name, text in rows]


def _network(bundle: Bundle) -> str:
    from actors.decisions.bundles.manifest import Activate, Linear

    manifest = bundle.manifest
    if manifest.ensemble is not None:
        return "; ".join(f"{member.name} {member.sha256[:12]}" for member in manifest.ensemble.members)
    if manifest.onnx is not None:
        return f"model.onnx, {len(bundle.model)} bytes: {manifest.onnx.input} to {manifest.onnx.output}"
    names = []
    for layer in manifest.layers:
        if isinstance(layer, Linear):
            names.append(f"{layer.inputs}x{layer.outputs}")
        else:
            names.append(layer.name if isinstance(layer, Activate) else type(layer).__name__)
    return " ".join(names)


def _features(feature_set: str, said: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in said.split(",")) if said else FEATURE_SETS.get(feature_set, ())
    if not names:
        known = ", ".join(FEATURE_SETS)
        raise Refused("invalid", f"expected the names of the features of {feature_set}; known are {known}", "features")
    return names


def _action(text: str) -> ActionMeaning:
    """`BUY`, `half=BUY:0.5`. Raises Refused."""
    from actors.decisions.policy import ActionMeaning

    name, _, meaning = text.strip().partition("=")
    side, _, share = (meaning or name).partition(":")
    try:
        return ActionMeaning(name, msgspec.convert(side, DecisionAction), _share(share, side))
    except (msgspec.ValidationError, ValueError):
        wanted = f"expected {', '.join(SIDES)}, or NAME=SIDE:SHARE as half=BUY:0.5, got {text.strip()!r}"
        raise Refused("invalid", wanted, "actions") from None


def _share(text: str, side: str) -> float:
    if text:
        return float(text)
    return 0.0 if side == "HOLD" else 1.0


def _observations(path: Path, features: tuple[str, ...]) -> Values:
    """Raw observations (n, features) of a file, NaN where one is missing. Raises Refused with the line."""
    import numpy as np

    try:
        if path.suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False), np.float64)
        with path.open(encoding="utf-8", newline="") as file:
            return np.array(_rows(path, csv.reader(file), features), np.float64).reshape(-1, len(features))
    except OSError as error:
        raise Refused("not_found", f"{path} cannot be read: {error.strerror or error}", "observations") from None
    except (ValueError, csv.Error) as error:
        raise Refused("invalid", f"{path}: {error}", "observations") from None


def _rows(path: Path, lines: Any, features: tuple[str, ...]) -> list[list[float]]:
    header: list[str] = next(lines, [])
    absent = [name for name in features if name not in header]
    if absent:
        raise ValueError(f"a column for each feature expected; there is none for {', '.join(absent)}")
    places = [header.index(name) for name in features]
    rows = []
    for number, line in enumerate(lines, 2):
        if len(line) != len(header):
            raise ValueError(f"line {number}: {len(header)} cells expected, got {len(line)}")
        rows.append([float(line[at]) if line[at].strip() else math.nan for at in places])
    return rows


class _Statistics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mean: tuple[float, ...]
    variance: tuple[float, ...]


def _normaliser(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Statistics)
    except OSError as error:
        raise Refused("not_found", f"{path} cannot be read: {error.strerror or error}", "normalise") from None
    except msgspec.DecodeError as error:
        raise Refused("invalid", f"{path}: {error}", "normalise") from None
    return found.mean, found.variance

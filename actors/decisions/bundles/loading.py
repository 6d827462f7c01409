"""From a file, or the name of a class, to a policy that has been proved to answer as it was trained. A core.

Whatever a kind needs (torch, onnxruntime) is imported when the first bundle of that kind is loaded.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from actors.decisions.bundles.bundle import Bundle, decode, read
from actors.decisions.bundles.checking import BundleError
from actors.decisions.bundles.golden import check_golden_pairs
from actors.decisions.bundles.inputs import checked_shapes
from actors.decisions.bundles.manifest import Member
from actors.decisions.bundles.mlp import MlpPolicy
from actors.decisions.bundles.network import info_of
from actors.decisions.policy import Mask, Policy, PolicyAnswer, PolicyFailed, PolicyInfo, Values

ENSEMBLE = "actors.decisions.regimes.ensemble:Ensemble"
GENERALIST = "generalist"


def load_policy(path: Path) -> Policy:
    """The policy of a bundle; its golden pairs hold. Raises BundleError."""
    bundle = read(path)
    return policy_of(bundle, path.parent)


def policy_of(bundle: Bundle, beside: Path | None = None) -> Policy:
    """The policy of a bundle in memory; its golden pairs hold. `beside`: where an ensemble's files are."""
    policy = build(bundle, beside)
    check_golden_pairs(policy, bundle)
    return policy


def build(bundle: Bundle, beside: Path | None = None) -> Policy:
    """The policy of a bundle, its golden pairs not looked at (a member's are). Raises BundleError."""
    kind = bundle.manifest.kind
    if kind == "mlp":
        return MlpPolicy(bundle)
    if kind == "torch":
        from actors.decisions.bundles.torch_net import TorchPolicy

        return TorchPolicy(bundle)
    if kind == "onnx":
        from actors.decisions.bundles.onnx import OnnxPolicy

        return OnnxPolicy(bundle)
    return ensemble_of(bundle, beside)


def ensemble_of(bundle: Bundle, beside: Path | None) -> Policy:
    """An ensemble with its members, of which the one named `generalist` is what all others fall back on.

    Raises BundleError.
    """
    plan = bundle.manifest.ensemble
    assert plan is not None
    members: dict[str, Policy] = {}
    for member in plan.members:
        field = f"members.{member.name}"
        if member.file and beside is None:
            raise BundleError(field, f"its file {member.file} cannot be found: the ensemble is in no folder")
        try:
            inner = read(beside / member.file) if member.file and beside else decode(bundle.members[member.name])
            check_member(bundle, member, inner)
            members[member.name] = policy_of(inner)
        except BundleError as error:
            raise BundleError(f"{field}.{error.field}", error.message) from error
    if GENERALIST not in members:
        raise BundleError("ensemble.members", f"a member named {GENERALIST!r} expected; got {', '.join(members)}")
    made = imported(ENSEMBLE)
    said = info_of(bundle)
    fallback = members.pop(GENERALIST)
    try:
        policy: Policy = made(members, fallback, version=said.version, **plan.arguments)
    except (TypeError, ValueError) as error:
        raise BundleError("ensemble.arguments", str(error)) from error
    policy.info = msgspec.structs.replace(
        policy.info,
        version=said.version,
        trained=said.trained,
        cacheable=said.cacheable and policy.info.cacheable,
        takes_missing=all(member.info.takes_missing for member in (fallback, *members.values())),
        reference=fallback.info.reference,
        spread=fallback.info.spread,
    )
    return policy


def check_member(bundle: Bundle, member: Member, inner: Bundle) -> None:
    """Raises BundleError for another bundle than the ensemble was made with, or one that takes or gives others."""
    if inner.sha256 != member.sha256:
        raise BundleError("sha256", f"the ensemble was made with {member.sha256}; this is {inner.sha256}")
    if inner.manifest.kind == "ensemble":
        raise BundleError("kind", "an ensemble of ensembles is not served")
    for field in ("feature_set", "features", "actions"):
        if getattr(bundle.manifest, field) != getattr(inner.manifest, field):
            raise BundleError(field, "the ensemble has others")


def imported(name: str) -> Any:
    """What `package.module:Name` is. Raises BundleError."""
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise BundleError("policy", f"package.module:Class expected; got {name!r}")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise BundleError("policy", f"{module} cannot be imported: {error}") from error
    except AttributeError as error:
        raise BundleError("policy", f"{module} has no {attribute}") from error


def python_policy(name: str, arguments: Mapping[str, object]) -> Policy:
    """A policy of the user's own class `package.module:Class`, made with `arguments`; its answers are checked, and what
    it raises is PolicyFailed. Raises BundleError."""
    made = imported(name)
    try:
        policy = made(**arguments)
    except Exception as error:
        raise BundleError("policy", f"{name} cannot be made: {type(error).__name__}: {error}") from error
    if not isinstance(getattr(policy, "info", None), PolicyInfo):
        raise BundleError("policy.info", f"{name} has to have an `info` of actors.decisions.policy.PolicyInfo")
    if not callable(getattr(policy, "act", None)):
        raise BundleError("policy.act", f"{name} has to have a method `act(values, mask, regimes)`")
    return CheckedPolicy(policy)


class CheckedPolicy:
    """A policy of somebody else's code: whatever goes wrong in it is `PolicyFailed`, and an answer is one.

    It is called on a thread, whatever it says of itself: on the loop it could hang everything else.
    """

    def __init__(self, policy: Policy) -> None:
        self.info = msgspec.structs.replace(policy.info, threaded=True)
        self._policy = policy

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        """See `Policy.act`."""
        rows, allowed = checked_shapes(values, mask, len(self.info.features), len(self.info.actions))
        try:
            answers = list(self._policy.act(rows, allowed, regimes))
        except PolicyFailed:
            raise
        except Exception as error:
            raise PolicyFailed(f"{type(self._policy).__name__} raised {type(error).__name__}: {error}") from error
        if len(answers) != len(rows):
            raise PolicyFailed(f"{len(rows)} answers expected; {type(self._policy).__name__} gave {len(answers)}")
        for answer in answers:
            self._check(answer)
        return answers

    def _check(self, answer: PolicyAnswer) -> None:
        name = type(self._policy).__name__
        if not isinstance(answer, PolicyAnswer):
            raise PolicyFailed(f"a PolicyAnswer expected; {name} gave {type(answer).__name__}")
        if not 0 <= answer.action < len(self.info.actions):
            raise PolicyFailed(f"an action of 0 to {len(self.info.actions) - 1} expected; {name} gave {answer.action}")
        if not math.isfinite(answer.confidence) or not all(map(math.isfinite, answer.probabilities)):
            raise PolicyFailed(f"finite numbers expected; {name} gave {answer}")
        if answer.probabilities and len(answer.probabilities) != len(self.info.actions):
            raise PolicyFailed(
                f"{len(self.info.actions)} probabilities expected; {name} gave {len(answer.probabilities)}"
            )

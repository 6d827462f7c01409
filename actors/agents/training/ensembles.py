"""The bundle of an ensemble: it names its members, which stand beside it, by their SHA-256."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from actors.decisions.bundles import bundle as bundles
from actors.decisions.bundles.bundle import Bundle
from actors.decisions.bundles.manifest import EnsemblePlan, Manifest, Member, Training

LEAST_CONFIDENCE: Final = 0.7
"""Below it half of the weight goes to the generalist (system 0's number)."""


def write_ensemble(path: Path, members: Sequence[Path]) -> str:
    """Write an ensemble of the bundles `members`, named after their files, and give its SHA-256.

    They stand in its folder, and all but one, the generalist, are named by their regime. Raises BundleError.
    """
    read = [bundles.read(member) for member in members]
    first = read[-1].manifest
    plan = EnsemblePlan(
        members=tuple(Member(file.stem, bundle.sha256, file.name) for file, bundle in zip(members, read, strict=True)),
        arguments={"least_confidence": LEAST_CONFIDENCE},
    )
    manifest = Manifest(
        kind="ensemble",
        algorithm="ensemble",
        feature_set=first.feature_set,
        features=first.features,
        actions=first.actions,
        confidence_kind="vote",
        layout=first.layout,
        min_features=max(bundle.manifest.min_features for bundle in read),
        ensemble=plan,
        trained=Training(
            "; ".join(dict.fromkeys(bundle.manifest.trained.source for bundle in read)),
            steps=sum(bundle.manifest.trained.steps for bundle in read),
        ),
        marks=tuple(sorted({mark for bundle in read for mark in bundle.manifest.marks})),
        libraries=first.libraries,
        git_sha=first.git_sha,
    )
    return bundles.write(Bundle(manifest, {}), path)

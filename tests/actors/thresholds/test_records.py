"""The records of adaptation: computed again, and in words."""

from __future__ import annotations

import msgspec
import pytest

from actors.thresholds.records import ReplayMismatch, confidence_of, moved, replay, text_of
from actors.thresholds.safeguards import HOUR_NS
from actors.thresholds.settings import LearningSettings
from actors.thresholds.threshold import config_hash
from tests.actors.thresholds.streams import SCORE, START, learner, ready, taught


def test_a_record_that_was_tampered_with_does_not_replay() -> None:
    subject = learner()
    records = taught(subject, 7, 3_000, best=0.8)
    assert replay(records, 0.0, 0.0).value == subject.value
    place = next(n for n, each in enumerate(records) if each.kind == "cycle" and moved(each))
    for field in ("applied", "old", "proposed"):
        wrong = list(records)
        wrong[place] = msgspec.structs.replace(wrong[place], **{field: getattr(wrong[place], field) + 0.01})
        if field == "proposed" and "max_change" in records[place].clipped_by:
            continue  # any proposal beyond the limit comes to the same
        with pytest.raises(ReplayMismatch, match=records[place].id):
            replay(wrong, 0.0, 0.0)
    with pytest.raises(ReplayMismatch):
        replay(records[:place] + records[place + 1 :], 0.0, 0.0)


def test_the_text_of_a_move_holds_its_numbers_and_changes_with_them() -> None:
    subject, _ = ready()
    record = subject.adapt(START + 2_000 * HOUR_NS)
    assert record.reason_code == "FROZEN"  # nothing has come in for 1,000 hours
    subject, now = ready()
    record = subject.adapt(now + 24 * HOUR_NS)
    text = text_of(record)
    for part in (
        f"{record.old:.6g} -> {record.applied:.6g}",
        f"{record.n_total} resolved",
        f"{record.t_candidate:+.2f}",
    ):
        assert part in text
    assert text_of(msgspec.structs.replace(record, n_total=7)) != text
    assert 0.95 < confidence_of(record) <= 1
    assert record.config_hash == config_hash(SCORE, subject.settings)
    assert config_hash(SCORE, LearningSettings()) != record.config_hash

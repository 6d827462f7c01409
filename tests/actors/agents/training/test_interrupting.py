"""Ctrl-C: trainings stop at their next step, and what is not complete is not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actors.agents.training import learning
from actors.agents.training.callbacks import CHECKPOINT
from actors.agents.training.job import Word
from actors.agents.training.own_run import OwnRun, run
from tests.actors.agents.training.kit import bars_csv


def test_ctrl_c_stops_a_run_at_its_next_step_with_its_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "PROGRESS_EVERY", 64)

    def interrupt(word: Word) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    data = bars_csv(tmp_path / "mine.csv", [100 + place % 7 for place in range(200)])
    wanted = OwnRun(
        out=str(tmp_path / "mine.bundle"),
        data=str(data),
        interval="1h",
        steps=50_000,
        checkpoints=str(tmp_path / "kept"),
    )
    with pytest.raises(KeyboardInterrupt):
        run(wanted, interrupt)
    assert not (tmp_path / "mine.bundle").exists()
    assert [file.name for file in (tmp_path / "kept").iterdir()] == [CHECKPOINT]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.long
def test_ctrl_c_stops_all_trainings_of_the_demonstration_and_no_bundle_is_written(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "actors.cli", "train", "--demo", "--steps", "1000000", "--out", str(tmp_path)]
    # A terminal sends it to the whole group: the parent and the children that learn.
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as it:
        assert it.stderr is not None
        learning = next(line for line in it.stderr if " steps" in line)
        os.killpg(it.pid, signal.SIGINT)
        out, rest = it.communicate(timeout=60)
    assert "of 1000000 steps" in learning or "of 500000 steps" in learning
    assert it.returncode == 130
    assert "interrupted: what is being trained is stopped, no bundle of it is written" in rest
    assert "Traceback" not in rest
    assert out.strip() == ""
    assert list(tmp_path.iterdir()) == []

"""A recorder that is killed with -9 at any moment: whole blocks stay, and what is missing is said."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actors.market.recordings.entries import Note, Received, RecordingHeader
from actors.market.recordings.reader import RecordingReader
from actors.market.recordings.writer import Recorder

# Records numbered frames at full speed, and tells how many it knows to be written.
CHILD = """
import sys
import time
from pathlib import Path
from actors.market.recordings.entries import RecordingHeader
from actors.market.recordings.writer import Recorder

recorder = Recorder(Path(sys.argv[1]), RecordingHeader(venue="kalshi"), block_bytes=1 << 16, file_bytes=1 << 18)
told = 0
number = int(sys.argv[2])
while True:
    for number in range(number, number + 100):
        recorder.frame(number, b'{"number":%d,"noise":"%x"}' % (number, hash(str(number))))
    number += 1
    while recorder.entries - recorder.written > 20_000:
        time.sleep(0)
    if recorder.written != told:
        told = recorder.written
        print(told, flush=True)
"""


def killed(folder: Path, chance: random.Random, first: int) -> int:
    """Start a recorder and kill it at some moment; how many entries it knew to be on the disk."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(folder), str(first)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        wanted = chance.randrange(1, 60_000)
        told = 0
        while told < wanted:
            told = int(child.stdout.readline())
        # Somewhere between two lines.
        for _ in range(chance.randrange(20_000)):
            pass
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split()
        return int(rest[-1]) if rest else told


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=() if seed in (3, 4, 14) else pytest.mark.long) for seed in range(100)]
)
def test_a_killed_recorder_loses_at_most_what_was_not_written_and_says_so(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    folder = tmp_path / "rec"
    first = 0
    for life in range(2):
        told = killed(folder, chance, first)
        recording = RecordingReader(folder)
        lives: list[list[int]] = []
        cuts = 0
        for entry in recording:
            if isinstance(entry, Note):
                assert entry.reason.startswith("continued; ")
                cuts += 1
                lives.append([])
            elif isinstance(entry, Received):
                if not lives:
                    lives.append([])
                lives[-1].append(entry.ts)
        # Every life is an unbroken run of frames, and has all that the recorder knew to be written.
        assert cuts == life
        assert len(lives) == life + 1
        assert lives[-1] == list(range(first, first + len(lives[-1])))
        assert len(lives[-1]) >= told - life
        assert len(recording.lost) == life + 1
        assert {loss.reason for loss in recording.lost} <= {"torn", "unclosed"}
        first = lives[-1][-1] + 1_000_000
    recorder = Recorder(folder, RecordingHeader(venue="kalshi"))
    recorder.close()
    *_, note = RecordingReader(folder)
    assert isinstance(note, Note)
    assert str(recording.lost[-1]) in note.reason

"""The process that reads files of data sets: a damaged or hostile one ends this process and not the node.

Run as `python -m actors.research.datasets.worker`; see `jobs.py` for what it reads and writes.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

import msgspec

from actors.research.datasets.importing import FAULTS, again, make, preview, problem_of
from actors.research.datasets.jobs import Answer, Job, Problem
from actors.research.datasets.stored import FILE, StoredFile
from actors.research.datasets.texts import write_csv

_MB: Final = 1 << 20


def serve(line: bytes) -> int:
    """Do one job; the exit status."""
    job = msgspec.json.decode(line, type=Job)
    if job.memory_mb:
        resource.setrlimit(resource.RLIMIT_DATA, (job.memory_mb * _MB, job.memory_mb * _MB))
    output = sys.stdout.buffer
    if job.task == "csv":
        write_csv(StoredFile(Path(job.folder) / FILE), output)
        output.flush()
        return 0

    def say(rows: int) -> None:
        output.write(b'{"rows": %d}\n' % rows)
        output.flush()

    try:
        if job.task == "preview":
            answer = Answer(preview=tuple(preview(job)))
        else:
            answer = Answer(made=make(job, say) if job.task == "import" else again(job))
    except FAULTS as error:
        field, message = problem_of(error)
        answer = Answer(problem=Problem(field=field, message=message))
    except MemoryError:
        message = f"expected a file that can be read in {job.memory_mb} MiB, got a larger one"
        answer = Answer(problem=Problem(field="file", message=message, code="too_large"))
    output.write(msgspec.json.encode(answer) + b"\n")
    output.flush()
    return 0


if __name__ == "__main__":
    sys.exit(serve(sys.stdin.buffer.readline()))

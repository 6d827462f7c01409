"""A node to kill: it keeps a zygote with a worker that spins, prints the pids of all of them, and waits.

`python node.py namespaces|plain`. With `calls` as a second argument it makes a few calls and ends in order instead.
"""

from __future__ import annotations

import json
import sys

import trio
import trio.testing

from actors.strategies.sandbox.worker import Worker, WorkerEnded
from tests.actors.strategies.sandbox.kit import Layers, end_of, tell, without, zygote_of


async def main(arguments: list[str]) -> None:
    layers = Layers() if arguments[0] == "namespaces" else without("namespaces")
    async with zygote_of(layers) as zygote, trio.open_nursery() as nursery:
        workers = [await zygote.create(str(number)) for number in range(2)]
        if arguments[1:] == ["calls"]:
            said = [await tell(workers[0], do, path="/etc/passwd") for do in ("read_file", "look_at")]
            ends = [(await end_of(worker, "spin", within=0.05)).cause for worker in workers]
            facts = {"held": zygote.held, "missing": zygote.missing, "said": said, "ends": ends}
            print(json.dumps(facts | {"namespaces": zygote.namespaces, "memory": workers[0].memory()}), flush=True)
            return
        nursery.start_soon(spin_for_ever, workers[0])
        await trio.testing.wait_all_tasks_blocked()
        print(json.dumps([zygote.pid, *(worker.pid for worker in workers)]), flush=True)
        await trio.sleep_forever()


async def spin_for_ever(worker: Worker) -> None:
    try:
        await tell(worker, "spin", within=3600)
    except WorkerEnded:
        return


if __name__ == "__main__":
    trio.run(main, sys.argv[1:])

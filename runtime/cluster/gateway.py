"""The gateway to Ray: a process of its own that places workers, ends them and watches them. Nothing else.

    ours, theirs = socket.socketpair()
    child = await ChildProcess.start([sys.executable, "-m", "runtime.cluster.gateway"], stdin=theirs.fileno())
    theirs.close()      # then lines of gateway_messages.py over `ours`; the settings are the first

It is the only Ray driver of a node, and not the node itself, because Ray ends a driver whose head is gone: after a
minute, from inside its own threads, in a way that no Python code can catch. So the head is watched here, and its loss
is told within seconds, while there is still a process to tell it.

Its standard input is the socket to the node. At its end this process ends at once, and Ray ends the workers of a driver
that is gone. Ray restarts nothing: what to do about an end is the supervisor's decision.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import traceback
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn, TypeVar

import trio

from runtime.cluster.causes import first_of, is_unavailable, is_unschedulable, one_line, system_error
from runtime.cluster.causes import in_words as cause_in_words
from runtime.cluster.gateway_messages import (
    LOST_STATUS,
    ClusterMember,
    Command,
    Connected,
    Describe,
    Ended,
    Event,
    GatewaySettings,
    Kill,
    Lines,
    Lost,
    Nodes,
    NotPlaced,
    Place,
    Placed,
    decode_command,
    decode_settings,
    encode,
)
from runtime.cluster.ray_environment import prepare_environment
from runtime.cluster.ray_host import RayHost
from runtime.cluster.scheduling import MEBIBYTE, NoNode, candidates, in_words, member_of, preferred, required
from runtime.spec import HostOptions

CHECK_S = 1.0
"""How often the head is asked for its nodes, in seconds."""
RETRY_S = 0.3
"""The wait before a worker is asked for again that could not be, in seconds."""
REDIAL_S = 0.2
"""The wait before a watched port is dialled again, in seconds."""
TELL_S = 1.0
"""How long the last words may take, in seconds."""
PLACING = 16
"""Calls into Ray at once that may block; waiting for a worker is none of them."""

Result = TypeVar("Result")


class HeadLost(Exception):
    """The cluster cannot be used any more; the text says why."""


class Worker:
    """One host, from the command that asks for it to its end."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.scope = trio.CancelScope()
        self.handle: Any = None
        self.node = ""
        """The id of the node where it is, or shall be."""
        self.killed = False
        self.over = False
        """Whether it is given up: an actor that is made after that is killed by who makes it."""


class Gateway:
    """Carries commands to Ray and events back. Ray's calls block, so all are made in threads."""

    def __init__(self, settings: GatewaySettings, stream: trio.SocketStream) -> None:
        self.settings = settings
        self._stream = stream
        self._sending = trio.Lock()
        self._limiter = trio.CapacityLimiter(PLACING)
        self._workers: dict[str, Worker] = {}
        self._nodes: dict[str, ClusterMember] = {}
        self._ray: Any = None
        self._actor: Any = None
        self._raylet = ("", 0)
        self._ports: dict[str, int] = {}
        """Of each node's raylet, by the node's id."""
        self._gone: set[str] = set()
        """Nodes whose raylet has ended, which Ray itself finds out later."""
        self._looking = trio.Lock()

    async def run(self, lines: Lines, early: list[bytes]) -> NoReturn:
        """Connect, then serve until the node or the head is gone, which ends the process."""
        received, commands = trio.open_memory_channel[bytes](sys.maxsize)
        for line in early:
            received.send_nowait(line)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._receive, lines, received)
                await self._connect()
                host, _, port = self.settings.address.rpartition(":")
                nursery.start_soon(self._watch_port, host, int(port), "the cluster's head")
                nursery.start_soon(self._watch_port, *self._raylet, "Ray on this machine")
                nursery.start_soon(self._watch_nodes)
                async for line in commands:
                    await self._obey(decode_command(line), nursery)
        except* HeadLost as group:
            with trio.move_on_after(TELL_S, shield=True):
                await self._tell(Lost(reason=str(first_of(group))))
                await self._in_thread(self._end_all)
        os._exit(LOST_STATUS)

    # --- the node -----------------------------------------------------------------------------------------

    async def _receive(self, lines: Lines, received: trio.MemorySendChannel[bytes]) -> None:
        with suppress(trio.BrokenResourceError):
            while piece := await self._stream.receive_some(65536):
                for line in lines.feed(piece):
                    received.send_nowait(line)
        # The node is gone. Not in order: a call into Ray could hang, and nobody is left to ask for anything.
        os._exit(0)

    async def _tell(self, event: Event) -> None:
        async with self._sending:
            with suppress(trio.BrokenResourceError):
                await self._stream.send_all(encode(event))

    async def _obey(self, command: Command, nursery: trio.Nursery) -> None:
        match command:
            case Place():
                if command.host in self._workers:
                    await self._tell(NotPlaced(host=command.host, reason="a host of this name is there"))
                    return
                worker = self._workers[command.host] = Worker(command)
                nursery.start_soon(self._run_worker, worker)
            case Kill():
                known = self._workers.get(command.host)
                if known is not None:
                    known.killed = True
                    known.scope.cancel()
                    nursery.start_soon(self._kill, known)
            case Describe():
                await self._tell(Nodes(nodes=tuple(self._nodes.values())))

    # --- the head -----------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        host, _, port = self.settings.address.rpartition(":")
        # Ray would try for half a minute what is known at once.
        await (await self._dial(host, int(port), "the cluster's head")).aclose()
        try:
            await self._in_thread(self._join)
            await self._look()
        except HeadLost:
            raise
        except Exception as error:  # of many types, and of Ray's own
            # The cause says more, such as that the token is wrong.
            text = one_line(error.__cause__ or error)
            raise HeadLost(f"cannot join the cluster at {self.settings.address}: {text}") from error
        await self._tell(Connected(address=self.settings.address, nodes=tuple(self._nodes.values())))

    def _join(self) -> None:
        import ray

        ray.init(
            address=self.settings.address,
            namespace=self.settings.namespace,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
        )
        self._ray = ray
        self._actor = ray.remote(RayHost)
        ours = ray.get_runtime_context().get_node_id()
        for node in self._ray.nodes():
            if node["NodeID"] == ours:
                self._raylet = (node["NodeManagerAddress"], node["NodeManagerPort"])

    async def _dial(self, host: str, port: int, what: str) -> trio.SocketStream:
        try:
            with trio.fail_after(self.settings.lost_s):
                return await trio.open_tcp_stream(host, port)
        except trio.TooSlowError:
            raise HeadLost(f"{what} at {host}:{port} does not answer") from None
        except OSError as error:
            raise HeadLost(f"{what} at {host}:{port} cannot be reached: {system_error(error)}") from None

    async def _watch_port(self, host: str, port: int, what: str) -> None:
        """Hold a plain connection to one of Ray's ports, which ends at the same moment as the process behind it.

        Ray hides a lost connection from its driver and tries again, for a minute. A server closes a connection that
        never speaks after a while, too; so the end alone says nothing, and dialling again tells which it was.
        """
        while True:
            stream = await self._dial(host, port, what)
            async with stream:
                with suppress(trio.BrokenResourceError):
                    while await stream.receive_some(4096):
                        pass
            await trio.sleep(REDIAL_S)

    async def _watch_nodes(self) -> None:
        """Ask for the nodes again and again. A head that runs but hangs, or a network that swallows, is found so."""
        while True:
            await trio.sleep(CHECK_S)
            if await self._look():
                await self._tell(Nodes(nodes=tuple(self._nodes.values())))

    async def _look(self) -> bool:
        """Ask for the nodes; returns whether another set of them is alive. Raises HeadLost."""
        async with self._looking:
            try:
                with trio.fail_after(self.settings.lost_s):
                    # A thread beside the limited ones: what they wait for must not look like a silent head.
                    answer = await trio.to_thread.run_sync(
                        self._ray.nodes, limiter=trio.CapacityLimiter(1), abandon_on_cancel=True
                    )
            except trio.TooSlowError:
                raise HeadLost(f"the cluster's head has not answered for {self.settings.lost_s:g} s") from None
            before = self._alive()
            for node in answer:
                if node["Alive"] or node["NodeID"] in self._nodes:
                    self._ports[node["NodeID"]] = node["NodeManagerPort"]
                    self._nodes[node["NodeID"]] = member_of(node, node["NodeID"] in self._gone)
            return before != self._alive()

    def _alive(self) -> set[str]:
        return {node.id for node in self._nodes.values() if node.alive}

    # --- workers ------------------------------------------------------------------------------------------

    async def _run_worker(self, worker: Worker) -> None:
        host = worker.place.host
        reason = "killed on request"
        failed = False
        placed: Placed | None = None
        try:
            with worker.scope, trio.fail_after(self.settings.place_s):
                placed, end = await self._start(worker)
        except trio.TooSlowError:
            asked = worker.place.options
            in_use = f": {in_words(asked)} may be in use" if required(asked) else ""
            reason = f"there was no worker after {self.settings.place_s:g} s{in_use}"
        except NoNode as error:
            reason = str(error)
        except HeadLost:
            raise
        except Exception as error:  # of many types, and of Ray's own
            reason, failed = cause_in_words(error), True
        if placed is None or worker.killed:
            worker.over = True
            await self._kill(worker)
            del self._workers[host]
            await self._tell(NotPlaced(host=host, reason=reason, failed=failed))
            return
        worker.scope = trio.CancelScope()
        await self._tell(placed)
        reason = await self._await_end(worker, end)
        del self._workers[host]
        await self._tell(Ended(host=host, reason=reason))

    async def _start(self, worker: Worker) -> tuple[Placed, Any]:
        """Make the actor and wait until it says where it is; returns that, and what ends when it does."""
        while True:
            options = await self._options(worker)
            where, end = await self._in_thread(partial(self._create, worker, options))
            try:
                node_id, pid = await self._result(where)
                break
            except Exception as error:
                # The node that decides has not heard yet of one that has just come.
                if not is_unschedulable(error):
                    raise
            await trio.sleep(RETRY_S)
            await self._look()
        worker.node = node_id
        if node_id not in self._nodes:
            await self._look()
        node = self._nodes[node_id]
        placed = Placed(
            host=worker.place.host, node_id=node_id, node_name=node.name, node_address=node.address, pid=pid
        )
        return placed, end

    async def _options(self, worker: Worker) -> dict[str, Any]:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        asked = worker.place.options
        able = candidates(list(self._nodes.values()), asked)
        if not asked.node:
            able = await self._free(able, asked) if asked.spread or worker.place.avoid else []
        strategy: Any = "DEFAULT"
        if able:
            # Ray's own SPREAD does not see workers that take no processor, its soft affinity is soft without need, and
            # nothing of it avoids a node.
            used = Counter(each.node for each in self._workers.values())
            worker.node = preferred(able, worker.place.avoid, used).id
            strategy = NodeAffinitySchedulingStrategy(worker.node, soft=False)
        return {
            # Ray frees a name some time after its actor's end.
            "name": f"{worker.place.host}#{uuid.uuid4().hex[:12]}",
            "num_cpus": asked.cpus,
            "memory": asked.memory_mb * MEBIBYTE or None,
            "resources": {name: amount for name, amount in asked.resources.items() if amount} or None,
            "scheduling_strategy": strategy,
            # For `end`, while the other call lasts.
            "max_concurrency": 2,
            "max_restarts": 0,
            "max_task_retries": 0,
        }

    async def _free(self, able: list[ClusterMember], asked: HostOptions) -> list[ClusterMember]:
        """Which of these nodes have what is asked for at this moment; empty: it has to wait, wherever Ray says."""
        wanted = required(asked)
        if not wanted:
            return able
        free: dict[str, dict[str, float]] = await self._in_thread(self._available)
        return [
            node
            for node in able
            if all(free.get(node.id, {}).get(name, 0) >= amount for name, amount in wanted.items())
        ]

    def _available(self) -> dict[str, dict[str, float]]:
        from ray._private import state

        available: Callable[[], dict[str, dict[str, float]]] = state.available_resources_per_node
        return available()

    def _create(self, worker: Worker, options: dict[str, Any]) -> tuple[Any, Any]:
        handle = self._actor.options(**options).remote(worker.place.entry, worker.place.settings)
        worker.handle = handle
        if worker.over:
            self._ray.kill(handle, no_restart=True)
        return handle.whereabouts.remote(), handle.run_until_exit.remote()

    async def _await_end(self, worker: Worker, end: Any) -> str:
        try:
            reason = str(await self._result(end))
        except Exception as error:  # of many types, and of Ray's own
            reason = "killed on request" if worker.killed else await self._cause(worker, error)
        # It has ended, or does in a moment; one that could not would take its place for ever.
        await self._kill(worker)
        return reason

    async def _cause(self, worker: Worker, error: Exception) -> str:
        """Why a worker died. Ray knows of a node's death ten seconds later than of a lost connection."""
        node = self._nodes[worker.node]
        if not is_unavailable(error):
            return cause_in_words(error)
        try:
            await (await self._dial(node.address, self._ports[node.id], "its raylet")).aclose()
        except HeadLost as lost:
            if node.alive:
                self._gone.add(node.id)
                await self._look()
                await self._tell(Nodes(nodes=tuple(self._nodes.values())))
            return f"its node {node.name or node.id} died: {lost}"
        return f"the connection to it was lost: {cause_in_words(error)}"

    async def _kill(self, worker: Worker) -> None:
        handle = worker.handle
        if handle is not None:
            with suppress(Exception):  # it has died already; what else there is the watch of the head tells
                await self._in_thread(partial(self._ray.kill, handle, no_restart=True))

    def _end_all(self) -> None:
        """End all workers without the head, which alone could kill them: by themselves they would stay for a minute."""
        ends = [worker.handle.end.remote() for worker in self._workers.values() if worker.handle is not None]
        if ends:
            self._ray.wait(ends, num_returns=len(ends), timeout=TELL_S, fetch_local=False)

    # --- calls into Ray -----------------------------------------------------------------------------------

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        return await trio.to_thread.run_sync(call, limiter=self._limiter, abandon_on_cancel=True)

    async def _result(self, reference: Any) -> Any:
        """Wait for the result of a call without a thread; raises what it raised."""
        done = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def deliver(future: Future[Any]) -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(done.set)

        future: Future[Any] = reference.future()
        future.add_done_callback(deliver)
        await done.wait()
        return future.result()


async def serve(connection: socket.socket) -> None:
    """Speak with the node over a connected socket until one of the two, or the head, is gone."""
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(connection))
    lines = Lines()
    early: list[bytes] = []
    while not early:
        piece = await stream.receive_some(65536)
        if not piece:
            os._exit(0)
        early = lines.feed(piece)
    settings = decode_settings(early.pop(0))
    prepare_environment(settings)
    await Gateway(settings, stream).run(lines, early)


def main() -> None:
    """Run the gateway on standard input."""
    connection = socket.socket(fileno=os.dup(0))
    # What Ray starts must not hold the socket open when this process is gone.
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    try:
        trio.run(serve, connection)
    except BaseException:
        traceback.print_exc()
    # Ray's exit handlers would first talk to a cluster that may not be there.
    os._exit(1)


if __name__ == "__main__":
    main()

"""On which nodes of a cluster a worker can run, and which of them it had better: pure functions of what is known.

Ray itself chooses where nothing is asked for. It waits for ever for what no node can give, so that is found out here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from runtime.cluster.gateway_messages import ClusterMember
from runtime.spec import HostOptions

MEBIBYTE = 2**20


class NoNode(Exception):
    """No node of the cluster can run this, now or when it is idle; the text says what is missing."""


def member_of(node: dict[str, Any], gone: bool) -> ClusterMember:
    """Return what Ray says of a node (an element of `ray.nodes()`); `gone`: we know that it has died."""
    # Ray's own marks are no amounts that somebody could ask for.
    resources = {name: amount for name, amount in node["Resources"].items() if not name.startswith("node:")}
    name, address = node.get("NodeName", ""), node["NodeManagerAddress"]
    return ClusterMember(node["NodeID"], name, address, node["Alive"] and not gone, resources)


def required(options: HostOptions) -> dict[str, float]:
    """Return what a worker asks for, by Ray's names of resources; memory in bytes."""
    asked = {"CPU": options.cpus, "memory": options.memory_mb * MEBIBYTE, **options.resources}
    return {name: amount for name, amount in asked.items() if amount > 0}


def in_words(options: HostOptions) -> str:
    """Return what a worker asks for as part of a sentence."""
    words = [f"{options.cpus:g} cpus"] if options.cpus else []
    if options.memory_mb:
        words.append(f"{options.memory_mb:g} MiB of memory")
    words += [f"{amount:g} {name}" for name, amount in sorted(options.resources.items()) if amount]
    return ", ".join(words) or "nothing"


def candidates(nodes: Sequence[ClusterMember], options: HostOptions) -> list[ClusterMember]:
    """Return the nodes that could run a worker with these options. Raises NoNode if there are none."""
    alive = [node for node in nodes if node.alive]
    named = [node for node in alive if not options.node or options.node in (node.id, node.name, node.address)]
    if not named:
        there = ", ".join(sorted({node.name or node.id for node in alive})) or "none"
        raise NoNode(f"there is no node {options.node!r} in the cluster; there are: {there}")
    wanted = required(options)
    able = [node for node in named if all(node.resources.get(name, 0) >= amount for name, amount in wanted.items())]
    if not able:
        where = f"node {options.node!r} does not offer" if options.node else "no node offers"
        raise NoNode(f"{where} {in_words(options)}{_most(named, wanted)}")
    return able


def _most(nodes: Sequence[ClusterMember], wanted: Mapping[str, float]) -> str:
    """The most that there is of each, for the error."""
    words = []
    for name in wanted:
        most = max(node.resources.get(name, 0.0) for node in nodes)
        words.append(f"{most / MEBIBYTE:.0f} MiB" if name == "memory" else f"{most:g} {name}")
    return f" (the most that a node has: {', '.join(words)})"


def preferred(able: Sequence[ClusterMember], avoid: Collection[str], used: Mapping[str, int]) -> ClusterMember:
    """Return the node with the fewest of our workers, one that is not to be avoided if there is any.

    `used` is how many workers of ours run, or are being placed, by node id. Raises ValueError if `able` is empty.
    """
    left = [node for node in able if node.id not in avoid] or able
    return min(left, key=lambda node: (used.get(node.id, 0), node.name, node.id))

"""`troupe cluster up|down|status`: a Ray cluster of several nodes on this machine, for actors placed on Ray."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from actors.cli.configuration import data_folder
from actors.cli.report import Exit, Issue, Report, failure, paint, say, table
from runtime.cluster import local

AGAIN = "troupe cluster down, then troupe cluster up"
_COLOURS = {"up": "green", "starting": "yellow", "died": "red"}
SIZES = {
    "nodes": "nodes",
    "cpus_per_node": "cpus-per-node",
    "memory_mb": "memory-mb",
    "store_mb": "store-mb",
    "port": "port",
}


def cluster(arguments: argparse.Namespace) -> Report:
    """Start, end or show the local cluster. Raises CommandError."""
    given = {field: value for field in SIZES if (value := getattr(arguments, field)) is not None}
    if given and arguments.action != "up":
        option = SIZES[next(iter(given))]
        raise failure(Exit.USAGE, "usage", f"--{option} is for troupe cluster up", hint="see: troupe cluster --help")
    data_dir = data_folder(arguments)
    try:
        if arguments.action == "up":
            return _up(data_dir, given)
        return _down(data_dir) if arguments.action == "down" else _status(data_dir)
    except local.NoCluster as error:
        raise failure(Exit.FAILED, "cluster_state", str(error)) from error


def _up(data_dir: Path, given: dict[str, Any]) -> Report:
    try:
        size = msgspec.convert(given, local.ClusterSize)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        option = SIZES.get(place.rstrip("`"), "")
        raise failure(Exit.USAGE, "usage", f"--{option}: {message[:1].lower()}{message[1:]}") from None
    try:
        local.up(data_dir, size, say)
    except local.DifferentCluster as error:
        raise failure(Exit.REFUSED, "cluster_differs", str(error), hint=AGAIN) from error
    except local.StartFailed as error:
        raise failure(Exit.FAILED, "cluster_start", str(error)) from error
    return _status(data_dir)


def _down(data_dir: Path) -> Report:
    ended = local.down(data_dir)
    if ended is None:
        return Report(f"no local cluster is up in {data_dir}", {"nodes": 0, "processes": 0})
    text = f"the local cluster is down: {ended.nodes} nodes, {ended.processes} processes ended"
    return Report(text, ended._asdict())


def _status(data_dir: Path) -> Report:
    found = local.status(data_dir)
    if found is None:
        hint = "troupe cluster up"
        raise failure(Exit.UNREACHABLE, "no_cluster", f"no local cluster is up in {data_dir}", hint=hint)
    rows = [_row(node) for node in found.nodes]
    lines = table(("NODE", "STATE", "ADDRESS", "OFFERS", "PROCESSES"), rows).split("\n")
    coloured = [lines[0]]
    for line, node in zip(lines[1:], found.nodes, strict=True):
        coloured.append(line.replace(f" {node.state} ", f" {paint(node.state, _COLOURS[node.state])} ", 1))
    data = msgspec.to_builtins(found)
    issues = tuple(
        Issue("cluster_node", f"{node.name} {_what(node)}", hint=AGAIN) for node in found.nodes if node.state != "up"
    )
    text = "\n".join(coloured)
    return Report(text, data, Exit.FAILED, "partial", issues) if issues else Report(text, data)


def _what(node: local.NodeStatus) -> str:
    return f"has died: {', '.join(node.missing)}" if node.missing else "is not up: its start was interrupted"


def _row(node: local.NodeStatus) -> tuple[str, ...]:
    offers = ", ".join(f"{amount:g} {name.replace('_mb', ' MiB')}" for name, amount in node.resources.items())
    running = " ".join(f"{each.name}:{each.pid}" for each in node.processes)
    return node.name, node.state, node.address, offers, running

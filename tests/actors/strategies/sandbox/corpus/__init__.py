"""The attack corpus: hostile strategies, each with the breach that it aims at.

An attack is the source of a strategy. It is run in a locked worker like any other strategy; whether it breached is
decided outside the worker, from what the machine looks like afterwards (`breach`): canary files, listening sockets, a
victim process, the worker's entry in /proc, a neighbour's output, what the node accepted as a reply. That an attack
"raised an exception" says nothing. With all layers off most attacks do breach, which proves that the conditions see it.
"""

from __future__ import annotations

from tests.actors.strategies.sandbox.corpus import (
    clock,
    cpu,
    files,
    floods,
    forgery,
    imports,
    memory,
    network,
    objects,
    parser,
    processes,
    recursion,
    results,
    signalling,
    state,
    syscalls,
    unicode,
)
from tests.actors.strategies.sandbox.corpus.attack import Attack

ATTACKS: tuple[Attack, ...] = tuple(
    attack
    for module in (
        files,
        network,
        processes,
        signalling,
        memory,
        cpu,
        recursion,
        floods,
        forgery,
        objects,
        imports,
        unicode,
        parser,
        state,
        results,
        syscalls,
        clock,
    )
    for attack in module.ATTACKS
)

"""Every system call that this kernel may have, made by a worker: what is not on the list of the design is refused.

The list here is the design's own words, not the filter's table: a call that slips into the table is found.
"""

from __future__ import annotations

from typing import Final

from actors.strategies.sandbox import wire
from actors.strategies.sandbox.seccomp import ARCHITECTURES, KILLED
from actors.strategies.sandbox.zygote import Layers
from tests.actors.strategies.sandbox.corpus.attack import attack, machine
from tests.actors.strategies.sandbox.corpus.run import run_attacks
from tests.actors.strategies.sandbox.kit import needs_seccomp

MOST: Final = 480
ALONE: Final = Layers(language=False, landlock=False, namespaces=False)

# x86_64, aarch64: read readv write writev close fstat lseek mmap mprotect munmap mremap brk madvise futex sched_yield
# rt_sig* sigaltstack getpid gettid tgkill clock_* nanosleep gettimeofday time times getrusage getrandom membarrier rseq
# restart_syscall exit*
GRANTED: Final[dict[str, frozenset[int]]] = {
    "x86_64": frozenset({0, 19, 1, 20, 3, 5, 8, 9, 10, 11, 25, 12, 28, 202, 24, 13, 14, 15, 127, 128, 130, 131, 39,
                         186, 234, 228, 229, 230, 35, 96, 201, 100, 98, 318, 324, 334, 219, 60, 231}),
    "aarch64": frozenset({63, 65, 64, 66, 57, 80, 62, 222, 226, 215, 216, 214, 233, 98, 124, 133, 134, 135, 136, 137,
                          139, 132, 172, 178, 131, 113, 114, 115, 101, 169, 153, 165, 278, 283, 293, 128, 93, 94}),
}  # fmt: skip

UPROBES: Final = {"x86_64": frozenset({335, 336}), "aarch64": frozenset[int]()}
"""Kernels from 6.14 on let these past every filter (kernel/seccomp.c); made by code of one's own they are a SIGILL."""


@needs_seccomp
async def test_every_other_system_call_is_refused_by_the_kernel_itself() -> None:
    column = list(ARCHITECTURES).index(machine())
    killed = {row[column] for row in KILLED.values()}
    asked = sorted(set(range(MOST)) - GRANTED[machine()] - UPROBES[machine()] - killed)
    source = f"""
def attack():
    reached = []
    for number in {asked!r}:
        result, error = syscall(number, -1, -1, -1, -1, -1, -1)
        if result != -1 or error != 1:
            reached.append((number, result, error))
    return ("reached", reached)
"""
    sweep = attack("every other call", "syscalls", "kernel", "seccomp", source, raw=True)
    [outcome] = await run_attacks([sweep], ALONE)
    assert outcome.breaches == {}
    assert outcome.ended == "", outcome.detail
    reply = outcome.replies[-1]
    assert isinstance(reply, wire.Done)
    assert reply.signals[0].metadata == """{"found":"('reached', [])"}"""


@needs_seccomp
async def test_every_call_that_takes_over_a_machine_ends_the_worker() -> None:
    column = list(ARCHITECTURES).index(machine())
    # As the design has them: exec, ptrace, memory of other processes, mounts, namespaces, bpf, io_uring,
    # keys, userfaultfd, perf, kexec, modules.
    deadly = [
        attack(name, "syscalls", "kernel", "seccomp", f"def attack():\n    return syscall({row[column]}, -1, -1, -1)\n",
               raw=True)
        for name, row in KILLED.items()
    ]  # fmt: skip
    assert len(deadly) >= 30
    outcomes = await run_attacks(deadly, ALONE)
    assert [str(each) for each in outcomes if each.ended != "forbidden_syscall" or each.breaches] == []

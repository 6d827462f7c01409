from __future__ import annotations

import pytest

from runtime.cluster.causes import in_words as cause
from runtime.cluster.gateway_messages import ClusterMember
from runtime.cluster.scheduling import NoNode, candidates, in_words, preferred, required
from runtime.spec import HostOptions

SMALL = ClusterMember("1", "small", "10.0.0.1", True, {"CPU": 2.0, "memory": 2.0**30})
LARGE = ClusterMember("2", "large", "10.0.0.2", True, {"CPU": 16.0, "memory": 2.0**35, "gold": 1.0})
DEAD = ClusterMember("3", "dead", "10.0.0.3", False, {"CPU": 64.0})
NODES = [SMALL, LARGE, DEAD]


@pytest.mark.parametrize(
    ("options", "able"),
    [
        (HostOptions(), [SMALL, LARGE]),
        (HostOptions(cpus=2), [SMALL, LARGE]),
        (HostOptions(cpus=2.5), [LARGE]),
        (HostOptions(memory_mb=1025), [LARGE]),
        (HostOptions(resources={"gold": 1}), [LARGE]),
        (HostOptions(node="1"), [SMALL]),
        (HostOptions(node="large"), [LARGE]),
        (HostOptions(node="10.0.0.2"), [LARGE]),
    ],
)
def test_a_worker_can_run_where_everything_is_that_it_asks_for(options: HostOptions, able: list[ClusterMember]) -> None:
    assert candidates(NODES, options) == able


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (HostOptions(cpus=17), r"no node offers 17 cpus \(the most that a node has: 16 CPU\)"),
        (HostOptions(cpus=4, node="small"), r"node 'small' does not offer 4 cpus \(the most .*: 2 CPU\)"),
        (HostOptions(memory_mb=99_999), r"no node offers 99999 MiB of memory \(the most that a node has: 32768 MiB\)"),
        (HostOptions(node="dead"), "there is no node 'dead' in the cluster; there are: large, small"),
    ],
)
def test_what_no_living_node_can_give_is_told_with_the_most_there_is(options: HostOptions, reason: str) -> None:
    with pytest.raises(NoNode, match=reason):
        candidates(NODES, options)


def test_the_node_with_the_fewest_workers_is_preferred_and_one_to_avoid_only_if_there_is_no_other() -> None:
    assert preferred([SMALL, LARGE], (), {"1": 1}) == LARGE
    assert preferred([SMALL, LARGE], ("2",), {"1": 1}) == SMALL
    assert preferred([SMALL, LARGE], ("1", "2"), {"2": 1}) == SMALL


def test_what_is_asked_for_in_rays_names_and_in_words() -> None:
    options = HostOptions(cpus=1.5, memory_mb=2, resources={"gold": 1, "none": 0})
    assert required(options) == {"CPU": 1.5, "memory": 2.0**21, "gold": 1}
    assert in_words(options) == "1.5 cpus, 2 MiB of memory, 1 gold"


class ActorDiedError(Exception):
    actor_init_failed = False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: "
            "Worker unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) …",
            "its process was killed by a signal, or crashed",
        ),
        (
            "… Worker exit type: NODE_OUT_OF_MEMORY Worker exit detail: Task was killed due to the node running low on "
            "memory.",
            "its node ran out of memory, and Ray's memory monitor killed it",
        ),
        ("… Worker exit type: INTENDED_USER_EXIT Worker exit detail: exit_actor()", "it ended by itself: exit_actor()"),
        (
            "The actor died because its node has died. Node Id: ab\n\tthe actor's node was terminated unexpectedly",
            "its node died: Node Id: ab the actor's node was terminated unexpectedly",
        ),
        ("", "ActorDiedError"),
    ],
)
def test_the_cause_of_a_death_in_words(text: str, words: str) -> None:
    assert cause(ActorDiedError(text)) == words

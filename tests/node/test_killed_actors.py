"""What is killed in a running node is seen in the tree and back by itself, and no subscriber is the worse for it."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from protocols.paths import EDGE, HUB, QUERIES, STORAGE_POSTGRES, STORAGE_WRITER, STREAM, VENUE
from tests.node.kit import DEFAULT, RUNNER, NodeProcess, assert_stored, assert_unbroken, command, until
from tests.node.subscriber import Subscriber, subscribed, subscriber_in
from tests.node.venue import observing, same_book

MARKETS = ("SIM-ALPHA", "SIM-BETA")
SESSION = "/market/demo/session"
BOOK = "/market/demo/books/SIM-ALPHA"
KILLED = [SESSION, BOOK, RUNNER, HUB, STREAM, QUERIES, STORAGE_WRITER, STORAGE_POSTGRES, "/roster", "/monitor"]


async def resumed(node: NodeProcess, subscriber: Subscriber) -> None:
    """A new connection goes on behind what the old one has got, and from the beginning, without a hole."""
    known = tuple(subscriber.signals)
    seqs = [seq for seq, _ in known]
    async with subscribed(node.port, resume_from=seqs[-1] + 1) as again:
        await again.more(3)
        assert_unbroken([*seqs, *again.seqs])
    async with subscribed(node.port, resume_from=1) as whole:
        await whole.until(lambda: whole.said("resumed"))
        assert whole.said("resumed")[0]["missing"] == []
        await whole.reaches(seqs[-1])
        assert whole.seqs[0] == 1
        assert_unbroken(whole.seqs)
        assert_stored(dict(whole.signals), known)


async def test_what_is_killed_is_seen_in_the_tree_and_is_back(node: NodeProcess) -> None:
    async with subscribed(node.port) as subscriber:
        for path in KILLED:
            restarts = (await node.actor(path))["restarts"]
            after = await node.kill_actor(path)
            assert after["restarts"] == restarts + 1
            assert "killed" in after["restart_reason"].lower()
            events = (await node.get(f"/api/v1/actors{path}"))["events"]
            assert [event["event"] for event in events][-3:] == ["ended", "restarting", "started"]
            await subscriber.more(3)
        await node.ready_again()
        assert_unbroken(subscriber.seqs)
        assert subscriber.said("lagged") == []
        await resumed(node, subscriber)


@pytest.mark.parametrize("path", [SESSION, BOOK])
async def test_a_book_equals_the_venues_again_after_a_kill(node: NodeProcess, path: str) -> None:
    async with observing(node, *MARKETS) as observer:
        for market in MARKETS:
            await same_book(node, observer, market)
        await node.kill_actor(path)
        frames = observer.frames
        await until(lambda: observer.frames > frames + 20, "frames")
        for market in MARKETS:
            await same_book(node, observer, market)


async def test_a_venue_that_is_killed_is_found_again(node: NodeProcess) -> None:
    async with subscribed(node.port) as subscriber:
        await node.kill_actor(VENUE)
        await subscriber.more(5)
        await node.ready_again()
        async with observing(node, *MARKETS) as observer:
            for market in MARKETS:
                await same_book(node, observer, market)
        assert_unbroken(subscriber.seqs)


async def test_the_edge_kills_itself_and_is_back_at_the_same_port(node: NodeProcess) -> None:
    port = node.port
    async with subscribed(port) as subscriber:
        await subscriber.more(3)
        lives = await node.lives(EDGE)
        with contextlib.suppress(httpx.TransportError):  # it may not be able to answer any more
            await node.client.post(f"/api/v1/actors{EDGE}/kill", json={})
        await subscriber.until(lambda: subscriber.closed, "the end of the connection")
        assert "killed" in (await node.restarted(EDGE, lives))["restart_reason"].lower()
        await resumed(node, subscriber)


async def test_the_command_line_kills_an_actor(node: NodeProcess) -> None:
    lives = await node.lives(HUB)
    found = await command("kill", HUB, "--data-dir", str(node.data), "--json")
    assert found.returncode == 0, found.stderr
    await node.restarted(HUB, lives)
    tree = await command("tree", HUB, "--data-dir", str(node.data), "--json")
    assert tree.returncode == 0, tree.stderr
    assert "killed" in tree.stdout.lower()
    assert json.loads(tree.stdout)
    found = await command("kill", "/signals/hug", "--data-dir", str(node.data))
    assert found.returncode == 4
    assert HUB in found.stderr


def paths(view: dict[str, Any]) -> list[str]:
    """All of a branch of the tree, from the leaves up."""
    return [path for child in view["children"] for path in paths(child)] + [view["path"]]


@pytest.mark.long
async def test_every_path_of_the_tree_comes_back(prepared: Path) -> None:
    with NodeProcess(prepared) as node:
        await node.ready()
        everything = paths(await node.get("/api/v1/actors"))
        assert everything.pop() == "/"
        async with subscribed(node.port) as subscriber:
            for path in everything:
                if path != EDGE:
                    await node.kill_actor(path)
            await node.ready_again()
            await subscriber.more(3)
            assert_unbroken(subscriber.seqs)
            await resumed(node, subscriber)
        assert paths(await node.get("/api/v1/actors")) == [*everything, "/"]
        assert await node.stop() == 0
        assert node.survivors() == []


@pytest.mark.long
async def test_a_node_whose_branch_fails_again_and_again_ends_with_a_clear_error(prepared: Path) -> None:
    with NodeProcess(prepared, DEFAULT, "node.restart_count=2", "node.restart_s=60") as node:
        await node.ready()
        with contextlib.suppress(httpx.TransportError):
            while node.process.poll() is None:
                await node.client.post("/api/v1/actors/signals/kill", json={})
        assert await node.ended() == 1
        assert node.survivors() == []
        assert "/signals" in node.log.splitlines()[-2], node.log
        assert not (node.data / "node.json").exists()


@pytest.mark.long
async def test_a_subscriber_never_notices_that_hub_and_stream_are_killed_again_and_again(
    prepared: Path, chance: random.Random
) -> None:
    with NodeProcess(prepared, DEFAULT.replace("rate = 100.0", "rate = 1000.0")) as node:
        await node.ready()
        async with trio.open_nursery() as nursery:
            everything = await subscriber_in(nursery, node.port)
            alpha = await subscriber_in(nursery, node.port, "SIM-ALPHA")
            for _ in range(30):
                path = chance.choice([HUB, STREAM])
                await node.kill_actor(path)
                await everything.more(chance.randint(1, 1_500))
            assert_unbroken(everything.seqs)
            known = dict(everything.signals)
            assert_stored(known, [each for each in alpha.signals if each[0] <= everything.seqs[-1]])
            assert alpha.seqs == sorted(set(alpha.seqs))
            nursery.cancel_scope.cancel()

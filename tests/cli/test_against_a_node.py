"""Commands against a running node: a real tree, the real control routes, a real socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import REPOSITORY


class SmallNode:
    """A node in a process of its own, and its data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.small_node", str(folder)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    @property
    def url(self) -> str:
        return str(json.loads((self.folder / "node.json").read_text())["url"])

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command that finds this node by its data folder."""
        return subprocess.Popen(
            [sys.executable, "-m", "actors.cli", *arguments, "--data-dir", str(self.folder)],
            cwd=REPOSITORY,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def troupe(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def data(self, *arguments: str) -> Any:
        status, out, err = self.troupe(*arguments, "--json")
        document = json.loads(out)
        assert (status, document["outcome"], document["issues"]) == (0, "complete", []), err
        return document["data"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallNode]:
    started = SmallNode(tmp_path_factory.mktemp("data"))
    yield started
    assert started.process.stdin is not None
    started.process.stdin.close()
    assert started.process.wait(timeout=20) == 0
    assert started.process.stdout is not None
    started.process.stdout.close()


def test_the_tree_is_shown_with_its_branches(node: SmallNode) -> None:
    status, out, err = node.troupe("tree")
    assert (status, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split() == ["PATH", "STATE", "SINCE", "RESTARTS", "MAILBOX", "RATE/s", "NOTES"]
    assert [row.lstrip("│├└─ ").split()[0] for row in rows] == ["/", "books", "KXBTC", "KXETH", "quoter", "0", "1"]
    assert rows[4].endswith("replicas 2 least_loaded, 0 routed")


def test_a_branch_of_the_tree_as_json_is_the_nodes_own_answer(node: SmallNode) -> None:
    data = node.data("tree", "/books/KXETH")
    assert (data["path"], data["kind"], data["state"]) == ("/books/KXETH", "actor", "up")


@pytest.mark.parametrize("command", [("tree",), ("kill",), ("watch",)])
def test_an_unknown_path_is_exit_status_4_and_names_the_nearest(node: SmallNode, command: tuple[str, ...]) -> None:
    status, out, err = node.troupe(*command, "/books/KXBTT")
    assert (status, out) == (4, "")
    assert "did you mean /books/KXBTC?" in err


def test_a_killed_actor_is_back_with_its_restart_counted(node: SmallNode) -> None:
    before = node.data("tree", "/books/KXBTC")["restarts"]
    assert node.troupe("kill", "/books/KXBTC")[:2] == (0, "killed /books/KXBTC\n")
    assert node.data("tree", "/books/KXBTC")["restarts"] == before + 1


def test_an_actor_is_stopped_started_paused_and_resumed(node: SmallNode) -> None:
    for verb, state in (("stop", "stopped"), ("start", "up"), ("pause", "paused"), ("resume", "up"), ("restart", "up")):
        done = node.data(verb, "/books/KXETH")
        assert (done["path"], done["actor"]["state"]) == ("/books/KXETH", state)


def test_a_replicated_actor_is_resized_up_and_down(node: SmallNode) -> None:
    assert node.troupe("resize", "/quoter", "3")[:2] == (0, "resized /quoter to 3\n")
    assert [child["name"] for child in node.data("tree", "/quoter")["children"]] == ["0", "1", "2"]
    done = node.data("resize", "/quoter", "2")
    assert (done["path"], done["done"], done["actor"]["replicas"]["count"]) == ("/quoter", "resized", 2)
    assert [child["name"] for child in node.data("tree", "/quoter")["children"]] == ["0", "1"]


@pytest.mark.parametrize(
    ("arguments", "status", "issue"),
    [
        (("/quoter", "5"), 2, ("invalid", "replicas")),
        (("/quoter", "0"), 2, ("invalid", "replicas")),
        (("/books", "2"), 6, ("not_replicated", "path")),
        (("/quoted", "2"), 4, ("not_found", "path")),
        (("/quoter", "many"), 2, ("usage", None)),
    ],
)
def test_a_resize_that_cannot_be_says_why(
    node: SmallNode, arguments: tuple[str, ...], status: int, issue: tuple[str, str]
) -> None:
    code, out, err = node.troupe("resize", *arguments, "--json")
    issues = json.loads(out)["issues"]
    assert (code, (issues[0]["code"], issues[0]["field"])) == (status, issue), err
    assert len(node.data("tree", "/quoter")["children"]) == 2


def test_what_the_node_refuses_is_exit_status_6_with_its_own_code(node: SmallNode) -> None:
    status, out, _ = node.troupe("start", "/books/KXETH", "--json")
    assert (status, json.loads(out)["issues"][0]["code"]) == (6, "running")


def test_control_without_the_token_is_refused(node: SmallNode, tmp_path: Path) -> None:
    process = node.start("kill", "/books/KXBTC", "--url", node.url, TROUPE_TOKEN="wrong")
    _, err = process.communicate()
    assert process.returncode == 6
    assert "TROUPE_TOKEN" in err


def test_a_watched_actors_life_is_told_as_it_happens(node: SmallNode) -> None:
    # Until the watcher has told an event, nobody knows that it listens yet: the actor is killed until it does.
    watcher = node.start("watch", "/books", "--count", "2", "--json")
    while watcher.poll() is None:
        node.troupe("restart", "/books/KXBTC")
    out, err = watcher.communicate()
    assert watcher.returncode == 0, err
    messages = [json.loads(line)["data"] for line in out.splitlines()]
    assert [(message["type"], message["key"]) for message in messages] == [("event", "/books/KXBTC")] * 2


def test_a_watched_topic_shows_its_messages(node: SmallNode) -> None:
    watcher = node.start("watch", "Beat:KXBTC", "--count", "1")
    assert node.process.stdin is not None
    while watcher.poll() is None:
        node.process.stdin.write("KXETH\nKXBTC\n")
    out, err = watcher.communicate()
    assert watcher.returncode == 0, err
    _, kind, key, rest = out.strip().split("  ")
    assert (kind, key, rest) == ("Beat", "KXBTC", "market=KXBTC")


def test_an_unknown_topic_is_exit_status_4_and_names_the_nearest(node: SmallNode) -> None:
    status, out, err = node.troupe("watch", "Beet")
    assert (status, out) == (4, "")
    assert "did you mean Beat?" in err

"""`troupe cluster` from outside: what it answers when there is a cluster, none, and half of one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_command_line import envelope
from tests.cli.test_command_line import in_a_process as troupe


def cluster(data_dir: Path, *arguments: str) -> tuple[int, Any, str]:
    """The exit status, the envelope and the talk of one call."""
    answer = troupe("cluster", *arguments, "--data-dir", str(data_dir), "--json")
    return answer.returncode, envelope(answer), answer.stderr


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    troupe("cluster", "down", "--data-dir", str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: up|down|status"),
        (["uo"], "argument up|down|status: invalid choice: 'uo'"),
        (["down", "--nodes", "2"], "--nodes is for troupe cluster up"),
        (["up", "--nodes", "0"], "--nodes: expected `int` >= 1"),
        (["up", "--store-mb", "10"], "--store-mb: expected `int` >= 75"),
        (["up", "--cpus-per-node", "two"], "argument --cpus-per-node: expected a whole number, got 'two'"),
    ],
)
def test_bad_usage_starts_nothing(arguments: list[str], message: str, tmp_path: Path) -> None:
    status, document, _ = cluster(tmp_path, *arguments)
    assert status == 2
    assert document["issues"][0]["message"].startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_without_a_cluster_there_is_nothing_to_show_and_nothing_to_end(tmp_path: Path) -> None:
    status, document, _ = cluster(tmp_path, "status")
    assert (status, document["issues"][0]["code"]) == (3, "no_cluster")
    assert document["issues"][0]["hint"] == "troupe cluster up"
    status, document, _ = cluster(tmp_path, "down")
    assert (status, document["data"]) == (0, {"nodes": 0, "processes": 0})


def test_a_state_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "cluster.json").write_text("{")
    for action in ("up", "status", "down"):
        status, document, _ = cluster(tmp_path, action)
        assert (status, document["issues"][0]["code"]) == (1, "cluster_state")


@pytest.mark.long
def test_a_cluster_comes_up_is_shown_is_not_started_twice_and_goes(data_dir: Path) -> None:
    status, up, talk = cluster(data_dir, "up", "--nodes", "2", "--cpus-per-node", "1", "--memory-mb", "500")
    assert (status, up["outcome"]) == (0, "complete")
    assert talk.splitlines() == ["starting the head", "head runs", "starting 1 more node", "worker-1 runs"]
    assert [(node["name"], node["state"]) for node in up["data"]["nodes"]] == [("head", "up"), ("worker-1", "up")]
    assert up["data"]["nodes"][0]["resources"] == {"cpus": 1.0, "store_mb": 80.0, "memory_mb": 500.0}

    same, again, _ = cluster(data_dir, "up", "--cpus-per-node", "1", "--memory-mb", "500")
    assert (same, again["data"]["address"]) == (0, up["data"]["address"])
    other, differs, _ = cluster(data_dir, "up", "--nodes", "3")
    assert (other, differs["issues"][0]["code"]) == (6, "cluster_differs")
    assert "--nodes 2 --cpus-per-node 1 --memory-mb 500" in differs["issues"][0]["message"]

    for_people = troupe("cluster", "status", "--data-dir", str(data_dir))
    assert for_people.returncode == 0
    assert for_people.stdout.splitlines()[0].split() == ["NODE", "STATE", "ADDRESS", "OFFERS", "PROCESSES"]

    status, down, _ = cluster(data_dir, "down")
    assert (status, down["data"]["nodes"]) == (0, 2)
    assert list((data_dir / "cluster").iterdir()) == []
    assert cluster(data_dir, "down")[0] == 0


@pytest.mark.long
def test_half_a_cluster_is_told_not_started_again_and_goes(data_dir: Path) -> None:
    _, up, _ = cluster(data_dir, "up")
    (raylet,) = (each for each in up["data"]["nodes"][1]["processes"] if each["name"] == "raylet")
    os.kill(raylet["pid"], signal.SIGKILL)
    status, document, _ = cluster(data_dir, "status")
    assert (status, document["outcome"]) == (1, "partial")
    assert [issue["message"] for issue in document["issues"]] == ["worker-1 has died: raylet"]
    status, document, _ = cluster(data_dir, "up")
    assert (status, document["issues"][0]["hint"]) == (6, "troupe cluster down, then troupe cluster up")
    assert cluster(data_dir, "down")[0] == 0
    assert cluster(data_dir, "status")[0] == 3
    assert list((data_dir / "cluster").iterdir()) == []

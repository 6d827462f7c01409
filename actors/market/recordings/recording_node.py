"""A node that does nothing but record: the sessions of some feeds, until a signal or a time ends it."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import trio

from actors.market.capability import branch
from actors.market.feed_settings import FeedSettings
from protocols.control import Probe, Refused, Unknown
from protocols.paths import feed_session
from runtime.node import Node, NodeSettings, open_node
from runtime.settings import Configuration
from runtime.spec import ChildSpec
from runtime.telemetry import open_telemetry

_PROGRESS_S: Final = 2.0
_ASK_S: Final = 5.0


def record_feeds(
    configuration: Configuration,
    names: Sequence[str],
    out: Path,
    seconds: float | None,
    *,
    say: Callable[[str], None],
) -> dict[str, Path]:
    """Record the named feeds (none: all that are no replays) for so long, or until SIGINT or SIGTERM.

    Returns the folder of each. Raises Refused for what cannot be recorded.
    """
    feeds = _chosen(configuration.section("feeds"), names)
    folders = {feed.name: out / feed.name for feed in feeds}
    # One recording is what one session has heard: here nothing is divided.
    recorded = [
        msgspec.structs.replace(feed, record=str(folders[feed.name]), shards=1, placement="local") for feed in feeds
    ]
    with tempfile.TemporaryDirectory(prefix="troupe-record-") as folder:
        try:
            spec = branch(recorded, configuration.section("venue"), Path(folder))
        except ValueError as error:
            raise Refused("invalid", str(error)) from error
        # Standard output is the command's answer; what the sessions say goes where the progress goes.
        with open_telemetry(configuration.section("telemetry")):
            trio.run(_run, spec, NodeSettings(data_dir=folder), folders, seconds, say)
    return folders


def _chosen(feeds: Sequence[FeedSettings], names: Sequence[str]) -> list[FeedSettings]:
    known = {feed.name: feed for feed in feeds}
    if unknown := sorted(set(names) - known.keys()):
        raise Refused(
            "not_found", f"no feed {', '.join(unknown)} in the configuration, only {', '.join(sorted(known)) or 'none'}"
        )
    chosen = [known[name] for name in names] or [feed for feed in feeds if feed.venue != "replay"]
    if not chosen:
        raise Refused("not_found", "the configuration has no feed to record")
    if replays := [feed.name for feed in chosen if feed.venue == "replay"]:
        raise Refused("invalid", f"{', '.join(replays)}: a replay is a recording already")
    return chosen


async def _run(
    spec: ChildSpec,
    settings: NodeSettings,
    folders: Mapping[str, Path],
    seconds: float | None,
    say: Callable[[str], None],
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_node(settings, (spec,)) as node, trio.open_nursery() as nursery:
            nursery.start_soon(_progress, node, folders, say)
            with trio.move_on_after(seconds if seconds is not None else float("inf")):
                async for _ in signals:
                    break
            nursery.cancel_scope.cancel()


async def _progress(node: Node, folders: Mapping[str, Path], say: Callable[[str], None]) -> None:
    for name, folder in folders.items():
        say(f"{name}: recording into {folder}")
    while True:
        await trio.sleep(_PROGRESS_S)
        for name in folders:
            try:
                report = await node.ref(feed_session(name)).ask(Probe(), timeout=_ASK_S)
            except (Refused, Unknown) as error:
                say(f"{name}: {error}")
                continue
            figures = dict(report.figures)
            lost = figures.get("not recorded")
            missing = f", {lost} NOT RECORDED" if lost else ""
            say(f"{name}: {figures.get('state')}, {figures.get('recorded') or 0} entries{missing}")

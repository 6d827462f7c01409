"""Libraries that only some channels need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.actors.signals.channels.kit import desk, receiver, settings
from tests.actors.signals.samples import signal

MODULES = ("redis", "kafka", "webhook", "channel", "index", "routes", "tree")


@pytest.mark.parametrize(
    ("kind", "url", "library", "extra"),
    [
        ("redis", "redis://127.0.0.1:1", "coredis", "troupe[redis]"),
        ("kafka", "127.0.0.1:1", "confluent_kafka", "troupe[kafka]"),
    ],
)
async def test_a_missing_library_ends_its_channel_alone_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, url: str, library: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    async with receiver() as to:
        channels = (settings("lacking", kind, url), settings("hook", "webhook", to.url))
        async with desk(tmp_path, *channels) as at:
            view = await at.viewed("lacking", lambda view: view.state == "ended", "the end")
            assert f"pip install '{extra}'" in view.reason
            await at.delivered("hook")
            await at.submit(signal(1))
            await at.delivered("hook")


def test_none_of_them_is_loaded_before_a_channel_needs_it() -> None:
    imports = "; ".join(f"import actors.signals.channels.{name}" for name in MODULES)
    program = f"{imports}; import sys; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"coredis", "confluent_kafka", "httpx"} & set(loaded)

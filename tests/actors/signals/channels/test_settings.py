from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.signals.channels.settings import ChannelSettings
from actors.signals.channels.tree import configured, specs
from runtime.settings import Configuration, ConfigurationError, load
from tests.actors.signals.channels.kit import SECRET

SECTIONS = {"channels": tuple[ChannelSettings, ...]}
HOOK = f'[[channels]]\nname = "hook"\nkind = "webhook"\nurl = "https://example.org/in"\nsecret = "{SECRET}"\n'


def loaded(tmp_path: Path, text: str, **more: Any) -> Configuration:
    file = tmp_path / "node.toml"
    file.write_text(text)
    return load(file, SECTIONS, **{"environ": {}, **more})


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        configured(loaded(tmp_path, text))
    return str(error.value)


def test_channels_of_every_kind_can_be_configured(tmp_path: Path) -> None:
    text = HOOK + (
        '[[channels]]\nname = "cache"\nkind = "redis"\nurl = "rediss://u:p@cache:6379/1"\nkeep_s = 60\n'
        '[[channels]]\nname = "log"\nkind = "kafka"\nurl = "a:9092,[::1]:9092"\nfrom = "beginning"\n'
        'options = { "compression.type" = "lz4" }\n'
    )
    hook, cache, log = configured(loaded(tmp_path, text))
    assert (hook.kind, cache.keep_s, log.start) == ("webhook", 60, "beginning")
    [branch] = specs((hook, cache, log))
    assert branch.supervisor is not None
    assert [each.name for each in branch.supervisor.children] == ["index", "hook", "cache", "log"]


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    text = HOOK + (
        '[[channels]]\nname = "log"\nkind = "kafka"\nurl = "a:9092"\nusername = "u"\npassword = "tell-nobody"\n'
        '[[channels]]\nname = "cache"\nkind = "redis"\nurl = "redis://u:tell-nobody@cache:6379/1"\n'
    )
    shown = str(loaded(tmp_path, text).resolved())
    assert "tell-nobody" not in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HOOK.replace("https://", "ftp://"), "begins with http://, https://"),
        (HOOK.replace("example.org", ""), "a url with a host"),
        (HOOK.replace(SECRET, "short"), "secret: expected whsec_ and base64"),
        (HOOK.replace(f'secret = "{SECRET}"', ""), "secret: give one"),
        (HOOK + "keep_s = 1\n", "`keep_s` is for redis alone"),
        (HOOK.replace('"hook"', '"index"'), "cannot be named 'index'"),
        (HOOK + HOOK, "two channels are named 'hook'"),
        (HOOK.replace("webhook", "pigeon"), "kind"),
        (HOOK.replace('"https://example.org/in"', '""'), "url"),
        ('[[channels]]\nname = "k"\nkind = "kafka"\nurl = "kafka://a"\n', "expected url as host:port,host:port"),
        ('[[channels]]\nname = "r"\nkind = "redis"\nurl = "cache:6379"\n', "begins with redis://"),
        (
            '[[channels]]\nname = "k"\nkind = "kafka"\nurl = "a:1"\noptions = { "acks" = "0" }\n',
            "the option 'acks' cannot be changed",
        ),
        (
            '[[channels]]\nname = "k"\nkind = "kafka"\nurl = "a:1"\noptions = { "sasl.password" = "x" }\n',
            "the option 'sasl.password' would be shown",
        ),
    ],
)
def test_what_cannot_be_is_told_with_its_reason(tmp_path: Path, text: str, said: str) -> None:
    found = refusal(tmp_path, text)
    assert said in found
    assert SECRET not in found


def test_a_secret_can_come_from_the_environment(tmp_path: Path) -> None:
    text = HOOK.replace(f'secret = "{SECRET}"\n', "")
    found = loaded(tmp_path, text, environ={"TROUPE__CHANNELS__HOOK__SECRET": SECRET})
    assert found.section("channels")[0].secret == SECRET

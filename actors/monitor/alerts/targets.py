"""Where alerts are sent to, checked when the tree is made: a wrong secret is an error of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from actors.monitor.alerts.settings import TARGETS_SECTION, TargetSettings
from actors.signals.channels.signing import SecretError, secret_bytes
from runtime.settings import Issue


def secret_key(settings: TargetSettings) -> bytes:
    """The key that messages are signed with; empty for Slack, which knows nothing of it.

    Raises OSError for a file that cannot be read, SecretError for a text that is none. Neither shows it.
    """
    return secret_bytes(_content(settings)) if settings.kind == "webhook" else b""


def address(settings: TargetSettings) -> str:
    """The URL. Raises OSError, ValueError for one that is none; the message shows no more of it than its scheme."""
    from_file = settings.kind == "slack" and bool(settings.secret_file)
    url = _content(settings) if from_file else settings.url
    if not url.startswith(("http://", "https://")) or len(url.split()) != 1:
        scheme, found, _ = url.partition("://")
        got = "a file without" if from_file else f"{scheme}://" if found and scheme.isalnum() else "none"
        raise ValueError(f"expected http:// or https://, got {got}")
    try:
        parts = urlsplit(url)
        reachable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        reachable = False
    if not reachable:
        raise ValueError("expected a host, and a port from 1 to 65535 or none")
    return url


def issues(targets: Sequence[TargetSettings]) -> list[Issue]:
    """Everything that is wrong with the targets, each with its key."""
    found = []
    names: set[str] = set()
    for index, settings in enumerate(targets):
        place = f"{TARGETS_SECTION}.{index}"
        if settings.name in names:
            found.append(_issue(f"{place}.name", f"expected a name of its own, got {settings.name!r} again"))
        names.add(settings.name)
        if not settings.severities:
            found.append(_issue(f"{place}.severities", "expected at least one severity, got none"))
        if settings.kind == "webhook" and not settings.secret_file:
            found.append(_issue(f"{place}.secret_file", "expected a file with the secret of the webhook, got none"))
            continue
        if settings.kind == "slack" and bool(settings.url) == bool(settings.secret_file):
            got = "both" if settings.url else "neither"
            found.append(_issue(f"{place}.url", f"expected either url or secret_file, got {got}"))
            continue
        try:
            secret_key(settings)
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            found.append(_issue(f"{place}.secret_file", f"{settings.secret_file} cannot be read: {why}"))
            continue
        except SecretError as error:
            found.append(_issue(f"{place}.secret_file", str(error)))
        try:
            address(settings)
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            found.append(_issue(f"{place}.secret_file", f"{settings.secret_file} cannot be read: {why}"))
        except ValueError as error:
            found.append(_issue(f"{place}.url", str(error)))
    return found


def _content(settings: TargetSettings) -> str:
    return Path(settings.secret_file).read_text(encoding="utf-8").strip()


def _issue(field: str, message: str) -> Issue:
    return Issue("invalid", f"{field}: {message}", field)

"""strategy-sdk.md: what `actors.strategies.sdk` offers the authors of strategies."""

from __future__ import annotations

import re
from collections.abc import Iterator

from actors.cli.config import docstrings_of
from actors.strategies import sdk
from actors.strategies.library_sdk import SdkItem, SdkMember, sdk_documentation
from docs.generating.markdown import literal, prose_text, table


def strategy_sdk() -> Iterator[str]:
    """What `actors.strategies.sdk` offers: the classes, then the functions of `indicators`."""
    documentation = sdk_documentation()
    yield "# Strategy SDK"
    yield (
        "What the author of a strategy imports: `from actors.strategies.sdk import Bar, BaseStrategy, Parameter`. "
        "[Write a strategy](../how-to/write-a-strategy.md) shows it in use; a node answers the same as JSON at "
        "`/api/sdk/documentation`."
    )
    first = ("BaseStrategy", "Context", "Data", "Parameter", "Signal", "Bar", "Bars", "Frames", "Quote", "Trade")
    items = {item.name: item for item in documentation.items}
    for name in [*first, *(name for name in items if name not in first and items[name].kind != "module")]:
        yield from _sdk_item(items[name])
    for item in documentation.items:
        if item.kind == "module":
            yield f"## `{item.name}`"
            yield prose_text(item.description)
            yield table(("Function", "Meaning"), [_sdk_member(each) for each in item.members])


def _sdk_item(item: SdkItem) -> Iterator[str]:
    yield f"## `{item.name}`"
    yield prose_text(item.description)
    told = docstrings_of(getattr(sdk, item.name))
    fields = [each for each in item.members if each.kind == "field"]
    if fields:
        rows = [(f"`{each.name}`", f"`{each.signature}`", told.get(each.name, "")) for each in fields]
        yield table(("Field", "Type", "Meaning"), rows)
    if others := [each for each in item.members if each.kind != "field"]:
        yield table(("Member", "Meaning"), [_sdk_member(each) for each in others])


def _sdk_member(member: SdkMember) -> tuple[str, str]:
    shown = member.name if member.kind == "property" else f"{member.name}{member.signature}"
    # Inside of `Parameter` these names are its own methods, so it knows the types by others.
    shown = re.sub(r"\b_(Int|Float|Bool|Str)\b", lambda found: found[1].lower(), shown)
    return f"`{shown}`", literal(" ".join(member.description.split()))

"""Write the generated pages of docs/reference from the code: `python docs/generate.py`.

Each page is made by a module of docs/generating. A test compares the committed pages with what this writes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

# A script has its own folder on the path alone; the pages are of the code beside it, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from docs.generating.command_line import command_line
from docs.generating.configuration import configuration
from docs.generating.features import features
from docs.generating.http_interface import http_interface
from docs.generating.metrics import metrics
from docs.generating.python_interface import messages, python_interface
from docs.generating.strategy_sdk import strategy_sdk

REFERENCE = Path(__file__).resolve().parent / "reference"
NOTE = "<!-- Written by docs/generate.py; change the code, then run it again. -->"


def main() -> int:
    """Write every page; say which have changed."""
    for name, text in pages().items():
        path = REFERENCE / name
        changed = not path.exists() or path.read_text(encoding="utf-8") != text
        path.write_text(text, encoding="utf-8")
        print(f"{'written' if changed else 'same'}  docs/reference/{name}")
    return 0


def pages() -> dict[str, str]:
    """File name to text of every generated page."""
    makers: dict[str, Callable[[], Iterable[str]]] = {
        "command-line.md": command_line,
        "configuration.md": configuration,
        "http.md": http_interface,
        "metrics.md": metrics,
        "messages.md": messages,
        "runtime.md": python_interface,
        "strategy-sdk.md": strategy_sdk,
        "features.md": features,
    }
    return {name: _page(maker()) for name, maker in makers.items()}


def _page(parts: Iterable[str]) -> str:
    title, *rest = parts
    return "\n\n".join([title, NOTE, *rest]) + "\n"


if __name__ == "__main__":
    sys.exit(main())

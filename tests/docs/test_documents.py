"""README and docs are true: every block of them runs."""

from __future__ import annotations

import pytest
from sybil import Example, Sybil

from tests.docs.blocks import READER, documents, language_of, parse, skipped
from tests.docs.conftest import Library
from tests.docs.reader import REPOSITORY

SKIPPED = 8
"""How many blocks cannot run. Each says why, in the page's source."""
LONG = {
    f"docs/how-to/{name}.md"
    for name in (
        "add-a-venue",
        "backtest-a-strategy",
        "control-actors",
        "follow-a-venue",
        "move-from-the-inference-service",
        "move-from-the-rl-service",
        "replay-a-recording",
        "run-actors-elsewhere",
        "simulate-a-venue",
        "trade-at-a-venue",
        "trade-on-paper",
        "train-a-policy",
    )
}
"""Pages that start the most, half of all that documents take; what they show, their rooms test, too."""

sybil = Sybil(parsers=[parse], path=str(REPOSITORY))
PAGES = {path.relative_to(REPOSITORY).as_posix(): sybil.parse(path) for path in documents()}
EXAMPLES = {name: list(page.examples()) for name, page in PAGES.items()}


def cases() -> list[object]:
    return [
        pytest.param(name, example, id=f"{name}:{example.line}", marks=[pytest.mark.long] if name in LONG else [])
        for name, examples in EXAMPLES.items()
        for example in examples
        if language_of(example) != "text"
    ]


@pytest.mark.parametrize(("page", "example"), cases())
def test_a_block_does_what_the_page_says(page: str, example: Example, library: Library) -> None:
    example.namespace[READER] = library.reader_of(page)
    example.evaluate()


def test_long_pages_are_there() -> None:
    assert set(PAGES) >= LONG


def test_few_blocks_are_skipped_and_each_says_why() -> None:
    reasons = [skipped(example) for examples in EXAMPLES.values() for example in examples]
    assert sum(reason is not None for reason in reasons) == SKIPPED

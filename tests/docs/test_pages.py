"""The documents as a whole: generated pages are up to date, links lead somewhere, saved files are used."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.blocks import LANGUAGES, documents, language_of
from tests.docs.reader import REPOSITORY
from tests.docs.test_documents import EXAMPLES

_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_SAVED = re.compile(r"# ([\w/.-]+\.(?:py|toml))\n")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", REPOSITORY / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_say_what_the_code_says() -> None:
    for name, text in generator().pages().items():
        written = (REPOSITORY / "docs" / "reference" / name).read_text(encoding="utf-8")
        assert written == text, f"docs/reference/{name} is out of date: python docs/generate.py"


@pytest.mark.parametrize("page", sorted(EXAMPLES))
def test_every_block_says_what_it_is(page: str) -> None:
    assert {language_of(example) for example in EXAMPLES[page]} <= set(LANGUAGES)


@pytest.mark.parametrize("page", sorted(EXAMPLES))
def test_every_file_that_is_saved_is_used(page: str) -> None:
    for place, example in enumerate(EXAMPLES[page]):
        if named := _SAVED.match(example.parsed):
            name = named[1]
            module = name.removesuffix(".py").replace("/", ".")
            later = "".join(each.parsed for each in EXAMPLES[page][place + 1 :])
            assert name in later or f"from {module} " in later or f'"{module}' in later, name


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", documents(), ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_in_the_index() -> None:
    index = REPOSITORY / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(index.read_text("utf-8"))}
    assert set(documents()) - {index, REPOSITORY / "README.md"} <= linked

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from functools import cache
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from actors.research.metrics.registry import evaluate
from actors.research.report.page import html, write_html
from actors.research.results import RunResult
from tests.actors.research.metrics.samples import random_run, run_of, trip
from tests.actors.research.report.stage import HOSTILE, hostile_page


class Parsed(HTMLParser):
    """Elements with their attributes, the text outside of scripts, and the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._within = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "script":
            self.scripts[-1] += data
        elif self._within != "style":
            self.text += data


@cache
def parsed() -> Parsed:
    return Parsed(hostile_page())


def test_what_a_user_wrote_is_text_wherever_it_stands() -> None:
    tags = {tag for tag, _ in parsed().elements}
    assert "img" not in tags
    assert len(parsed().scripts) == 3
    assert all(not name.startswith("on") for _, attributes in parsed().elements for name in attributes)
    assert parsed().text.count("alert('x')") > 20


def test_the_page_asks_the_network_for_nothing() -> None:
    for tag, attributes in parsed().elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        assert not {"src", "href", "action", "srcset"} & set(attributes), (tag, attributes)
    assert "url(" not in re.sub(r"(?s)<script>.*?</script>", "", hostile_page())


def test_the_policy_runs_the_two_scripts_of_the_page_and_no_other() -> None:
    metas = [attributes for tag, attributes in parsed().elements if tag == "meta"]
    policy = next(each["content"] for each in metas if each.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "connect-src" not in policy
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    assert allowed == [b64encode(sha256(text.encode()).digest()).decode() for text in parsed().scripts[1:]]


def test_every_chart_has_its_place_and_says_its_content_in_words() -> None:
    charts = json.loads(parsed().scripts[0])
    places = {attributes["id"]: attributes for _, attributes in parsed().elements if attributes.get("class") == "chart"}
    assert [each["target"] for each in charts] == list(places)
    assert all(attributes["aria-label"] for attributes in places.values())
    # Both together; of the first run: time, distribution, windows, three fans, logits; of the second: the first two.
    assert len(charts) == 1 + 7 + 2


def test_warnings_stand_before_all_figures() -> None:
    page = hostile_page()
    assert page.index('class="warnings"') < page.index("<table")
    assert "data are synthetic" in page
    assert "8 trades, fewer than 30: chance" in page


def test_how_much_was_tried_stands_before_the_curve_that_was_found() -> None:
    page = hostile_page()
    assert page.index("The only run of its family so far.") < page.index('id="chart-2"')
    assert "Probability of backtest overfitting: " in page
    many = html([random_run(trials=50)])
    assert "Run 50 of its family. Probabilistic Sharpe Ratio (0): " in many
    assert "needs the Sharpe ratios of the family&#x27;s 50 runs" in many


def test_marks_seed_and_hashes_can_be_seen() -> None:
    assert '<span class="mark">synthetic</span>' in hostile_page()
    for shown in ("424242", "ab" * 32):
        assert shown in parsed().text


def test_every_metric_shows_its_formula_on_hover() -> None:
    titles = [attributes["title"] for tag, attributes in parsed().elements if tag == "abbr" and "title" in attributes]
    formulas = [metric.formula for metric in evaluate(random_run())]
    assert all(any(title is not None and formula in title for title in titles) for formula in formulas)


def test_a_page_is_written_whole_and_without_leftovers(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_html(path, [random_run()], title="A <title>")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "<title>A &lt;title&gt;</title>" in text


@pytest.mark.parametrize(
    "run",
    [
        run_of([]),
        run_of([100.0]),
        run_of([100.0] * 50),
        run_of([0.0, 1.0]),
        run_of([100.0, -5.0, 3.0] * 9),
        run_of([100.0, float("nan"), 101.0] * 9),
        random_run(benchmark=None, price=None, round_trips=()),
        random_run(round_trips=(trip(1.0, size=1e-9, entry_price=1e-8, exit_price=1e-8, open=True),)),
    ],
    ids=["empty", "one sample", "flat", "from nothing", "below zero", "not a number", "bare", "tiny"],
)
def test_a_run_with_little_to_show_has_a_page_too(run: RunResult) -> None:
    page = Parsed(html([run]))
    assert "unknown" in page.text
    json.loads(page.scripts[0], parse_constant=lambda name: pytest.fail(name))


def test_a_page_needs_a_run() -> None:
    with pytest.raises(ValueError, match="expected one run or more"):
        html([])


def test_a_long_run_makes_no_long_page() -> None:
    minutes = 100 * np.cumprod(1 + np.random.default_rng(0).normal(0, 1e-4, 300_000))
    trips = tuple(trip(1.0, n) for n in range(3_000))
    page = html([run_of(minutes, step=60_000_000_000, round_trips=trips)])
    assert len(page) < 3_000_000
    assert "3,000 trades, the first 500" in page


def test_who_reads_no_charts_loads_no_plotting_library() -> None:
    program = "import sys, actors.research.report.page, actors.research.report.columns; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"bokeh", "pyarrow", "PIL", "tornado"} & {name.partition(".")[0] for name in loaded}


@pytest.mark.long
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
def test_a_browser_draws_every_chart_and_runs_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    path.write_text(hostile_page(), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=20000"]
    command = ["chromium", *options, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    console = [line for line in found.stderr.splitlines() if "CONSOLE" in line]
    assert sum("document idle" in line for line in console) == len(json.loads(parsed().scripts[0]))
    assert not [line for line in console if "Refused" in line or "rror" in line], console
    assert HOSTILE.split(">")[0] not in found.stdout.partition("<body>")[2].partition("<script")[0]

"""The files for Prometheus and Grafana: committed as they are made, and nothing in them that no node shows."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from actors.monitor.alerts.promql import promql
from actors.monitor.alerts.rules import DEFAULTS, Rule, RuleSettings, parse, rules
from actors.monitor.generating.checking import Place, named, places, problems, samples_of_registry, unknown_in
from actors.monitor.generating.command import DASHBOARD_FILE, RULES_FILE, check, files, generate
from actors.monitor.generating.rules_file import RUNBOOK, all_rules, rules_file
from actors.monitor.registry import HISTOGRAMS
from actors.node import sections
from protocols.control import Refused
from runtime.settings import Configuration, load

ROOT = Path(__file__).parents[4]
COMMITTED = ROOT / "config" / "monitoring"
INTERVAL_S = 15.0


@pytest.fixture(scope="module")
def configuration() -> Configuration:
    return load(str(ROOT / "config" / "default.toml"), sections(), {}, [])


@pytest.fixture(scope="module")
def defaults() -> list[Rule]:
    return rules((), INTERVAL_S, 7200.0, defaults=True)


@pytest.fixture(scope="module")
def board(configuration: Configuration) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files(configuration)[DASHBOARD_FILE])
    return found


def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed; Debian has it in the package prometheus")
    return found


def test_the_committed_files_are_what_is_generated(configuration: Configuration) -> None:
    made = files(configuration)
    assert {path.name for path in COMMITTED.iterdir()} == set(made)
    for name, text in made.items():
        assert (COMMITTED / name).read_text(encoding="utf-8") == text, f"{name}: bin/troupe monitoring generate"


def test_no_panel_and_no_rule_names_a_metric_or_a_label_that_no_node_shows(defaults: list[Rule]) -> None:
    found = list(places(defaults, INTERVAL_S))
    assert len(found) > 50
    assert problems(found, samples_of_registry()) == []


def test_what_no_node_shows_is_told_with_its_place() -> None:
    known = {"a_total": frozenset({"x"}), "b_bucket": frozenset({"x", "le"})}
    wrong = [
        Place("metric", "rate(c_total[5m])"),
        Place("matcher", 'a_total{x="1", y=~"2"}'),
        Place("group", "sum by (le, z) (b_bucket)"),
        Place("legend", "a_total", ("w", "instance")),
        Place("nothing", "1 + 2"),
        Place("sign", "a_total ; b_bucket"),
    ]
    assert problems(wrong, known) == [
        "metric: there is no metric c_total",
        "matcher: a_total has no label y",
        "group: nothing in it has a label z",
        "legend: nothing in it has a label w",
        "nothing: it names no metric",
        "sign: column 9: ';' is no part of an expression",
    ]
    right = Place(
        "r", 'histogram_quantile(0.9, sum by (le, x) (rate(b_bucket{x!="c d_total"}[5m:1m] offset 2h))) > 1e3'
    )
    assert problems([right], known) == []
    assert named(right.expression).samples == (("b_bucket", ("x",)),)


def test_a_rule_of_ones_own_over_a_metric_that_there_is_not_is_doubtful() -> None:
    own = RuleSettings(name="own", expression="max(rl_queue_dept) > 3")
    assert unknown_in(rules((own,), INTERVAL_S, 7200.0, defaults=False), INTERVAL_S) == [
        "troupe-rules: Own: there is no metric rl_queue_dept"
    ]


@pytest.mark.parametrize(
    ("expression", "by", "expected"),
    [
        ("rl_queue_depth > 1", (), "rl_queue_depth > 1"),
        ("max(rl_queue_depth) >= 0.5", ("instance",), "max by (instance) (rl_queue_depth) >= 0.5"),
        ("avg_over(rl_queue_depth, 90s) < 2", (), "avg_over_time(rl_queue_depth[90s]) < 2"),
        ("mean_of_last(mean(rl_queue_depth), 4) < 2", (), "avg_over_time((avg(rl_queue_depth))[1m:15s]) < 2"),
        (
            "avg_over(rl_predict_duration_seconds, 5m) > 1",
            ("model",),
            "(sum by (model) (rate(rl_predict_duration_seconds_sum[5m]))"
            " / sum by (model) (rate(rl_predict_duration_seconds_count[5m]))) > 1",
        ),
        ('rate(x_total{a!="b"}, 1h) > 1', (), 'sum(rate(x_total{a!="b"}[1h])) > 1'),
        ('ratio(x{a=~"b|c"}, x, 10m) > 1', (), '(sum(increase(x{a=~"b|c"}[10m])) / sum(increase(x[10m]))) > 1'),
        (
            'quantile(0.99, x_seconds{a!~"b"}, 5m) > 0.1',
            ("model",),
            'histogram_quantile(0.99, sum by (le, model) (rate(x_seconds_bucket{a!~"b"}[5m]))) > 0.1',
        ),
        ("x / 1e6 - -2 > 1 and y == 3 or z != 4", (), "((((x / 1000000) - (0 - 2)) > 1) and (y == 3)) or (z != 4)"),
    ],
)
def test_a_rule_says_the_same_to_prometheus(expression: str, by: tuple[str, ...], expected: str) -> None:
    assert promql(parse(expression), by, INTERVAL_S, HISTOGRAMS) == expected


def test_each_rule_of_the_node_is_one_of_prometheus_for_each_instance(defaults: list[Rule]) -> None:
    own = all_rules(defaults, INTERVAL_S)["troupe-rules"]
    assert [each.name.lower() for each in own] == [rule.name.replace("_", "") for rule in DEFAULTS]
    for made, rule in zip(own, defaults, strict=True):
        assert (made.severity, made.for_s) == (rule.severity, rule.for_s)
        assert "$labels.instance" in made.summary
        assert "without (" not in made.expression
        assert "sum(" not in made.expression, "nodes must not be added up"


def test_the_page_that_alerts_point_to_says_what_each_rule_means(defaults: list[Rule]) -> None:
    page, _, anchor = RUNBOOK.partition("#")
    text = (ROOT / page).read_text(encoding="utf-8").partition("## What the rules mean")[2]
    assert anchor == "what-the-rules-mean"
    names = [rule.name for rule in DEFAULTS]
    names += [each.name for group in all_rules(defaults, INTERVAL_S).values() for each in group]
    assert [name for name in names if name not in text] == []


def test_panels_do_not_overlap_and_each_has_a_number_of_its_own(board: dict[str, Any]) -> None:
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 25
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        taken |= cells


def test_a_panels_line_is_where_its_rule_fires(board: dict[str, Any], defaults: list[Rule]) -> None:
    steps = {panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"] for panel in board["panels"]
             if panel["type"] != "row"}  # fmt: skip
    assert [(each["color"], each["value"]) for each in steps["Time to a decision"]] == [("green", None), ("red", 0.1)]
    assert [(each["color"], each["value"]) for each in steps["Accuracy by model"]] == [("red", None), ("green", 0.6)]
    assert steps["Memory"][1]["value"] == 1e9
    assert len(steps["Cache"]) == 1


def test_every_panel_asks_the_data_source_that_is_chosen(board: dict[str, Any]) -> None:
    [source, *variables] = board["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert [each["name"] for each in variables] == ["model", "arm"]
    for panel in board["panels"]:
        for asked in (panel, *panel.get("targets", ())):
            if panel["type"] != "row":
                assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_generate_writes_and_check_tells_what_is_not_as_it_would_be_written(
    tmp_path: Path, configuration: Configuration
) -> None:
    text, answer = generate(["--out", str(tmp_path)], configuration)[:2]
    assert answer == {"files": [str(tmp_path / RULES_FILE), str(tmp_path / DASHBOARD_FILE)], "unknown": []}
    assert text.startswith("written: ")
    assert check(["--out", str(tmp_path)], configuration)[1:] == ({"problems": []},)
    (tmp_path / RULES_FILE).write_text("groups: []\n")
    _, found, status = check(["--out", str(tmp_path)], configuration)  # type: ignore[misc]
    assert (len(found["problems"]), status) == (1, 1)
    assert RULES_FILE in found["problems"][0]
    (tmp_path / RULES_FILE).unlink()
    with pytest.raises(Refused, match="cannot be read: No such file") as refused:
        check(["--out", str(tmp_path)], configuration)
    assert (refused.value.code, refused.value.field) == ("not_found", "out")
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="cannot be written"):
        generate(["--out", str(tmp_path / "file")], configuration)


def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    every_form = tuple(
        RuleSettings(name=f"form_{number}", expression=text, by=("model",), for_s=90.0)
        for number, text in enumerate((
            "max(x) > 1", "avg_over(x, 90s) < 2", "mean_of_last(min(x), 4) < 2", 'rate(x_total{a!~"b|c"}, 1h) >= 1',
            "ratio(x, y, 10m) == 1", "quantile(1, x, 5m) != .5", "x / 1e6 - -2 > 1 and (y == 3 or z != 4e-9)",
            "avg_over(rl_predict_duration_seconds, 5m) > 1",
        ))
    )  # fmt: skip
    file = tmp_path / "rules.yaml"
    file.write_text(rules_file(rules(every_form, INTERVAL_S, 7200.0, defaults=True), INTERVAL_S), encoding="utf-8")
    done = subprocess.run([promtool(), "check", "rules", file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{21 + len(every_form)} rules found" in done.stdout


def test_prometheus_fires_where_a_model_fails_in_one_of_ten_of_its_decisions_and_not_where_it_does_not(
    tmp_path: Path,
) -> None:
    def series(instance: str, served_by: str, reason: str, each: int) -> dict[str, str]:
        labels = f'instance="{instance}", arm="treatment", served_by="{served_by}", reason="{reason}"'
        return {"series": f"rl_predictions_total{{{labels}}}", "values": f"0+{each}x60"}

    def expected(rule: str, severity: str, value: str) -> dict[str, Any]:
        made = next(each for each in all_rules(known, INTERVAL_S)["troupe-rules"] if each.name == rule)
        return {
            "exp_labels": {"severity": severity, "instance": "bad"},
            "exp_annotations": {
                "summary": made.summary.replace("{{ $labels.instance }}", "bad"),
                "description": made.description.replace("{{ $value }}", value),
                "runbook_url": RUNBOOK,
            },
        }

    known = rules((), INTERVAL_S, 7200.0, defaults=True)
    numbers = [
        series("bad", "rule", "", 900), series("bad", "rl", "", 80), series("bad", "fallback", "TIMEOUT", 20),
        series("good", "rule", "", 900), series("good", "rl", "", 97), series("good", "fallback", "LOW_CONFIDENCE", 3),
    ]  # fmt: skip
    test = {
        "rule_files": [str(COMMITTED / RULES_FILE)],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": numbers,
                "alert_rule_test": [
                    {
                        "eval_time": "10m",
                        "alertname": "LowSuccessRate",
                        "exp_alerts": [expected("LowSuccessRate", "error", "0.8")],
                    },
                    {"eval_time": "5m", "alertname": "HighFallbackRatio", "exp_alerts": []},
                    {
                        "eval_time": "12m",
                        "alertname": "HighFallbackRatio",
                        "exp_alerts": [expected("HighFallbackRatio", "warning", "0.2")],
                    },
                ],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps(test))
    done = subprocess.run([promtool(), "test", "rules", file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr

"""Data sets over HTTP: a file that is sent, read by a process of its own, found, shown, validated, loaded, deleted."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from pyarrow import parquet

from actors.research.datasets.folders import folder_of
from actors.research.datasets.reading import open_bars, open_quotes
from actors.research.datasets.settings import DatasetSettings
from tests.actors.research.datasets.desk import desk

HEAD = "timestamp,open,high,low,close,volume"


def csv(count: int, first: int = 0) -> bytes:
    rows = [f"{1704067200 + 60 * at},{at}.5,{at + 1},{at}.25,{at}.75,{at}.1" for at in range(first, first + count)]
    return "\n".join([HEAD, *rows, ""]).encode()


async def test_a_file_becomes_a_data_set_that_is_found_shown_changed_and_deleted(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        sent = await at.sent("minutes.csv", csv(300, 1), name="Minutes", symbols="X", tags="a,b", asset_class="crypto")
        assert (sent["status"], sent["name"], sent["upload_size"]) == ("processing", "Minutes", len(csv(300, 1)))
        found = await at.made(sent["dataset_id"])
        one = found["dataset_id"]
        assert {name: found[name] for name in ("status", "kind", "frequency", "symbols", "row_count", "tags")} == {
            "status": "ready", "kind": "bars", "frequency": "1m", "symbols": ["X"], "row_count": 300,
            "tags": ["a", "b"],
        }  # fmt: skip
        assert (found["start_date"], found["end_date"]) == ("2024-01-01T00:01:00Z", "2024-01-01T05:00:00Z")
        assert (found["completeness_score"], found["error_count"]) == (1.0, 0)

        for query, total in (
            ("", 1), ("?query=minut", 1), ("?query=none", 0), ("?symbols=Y&symbols=X", 1), ("?symbols=Y", 0),
            ("?tags=b&kind=bars&frequency=1m&status=ready&asset_class=crypto&is_valid=true&is_validated=true", 1),
            ("?min_rows=300&max_rows=300", 1), ("?min_rows=301", 0), ("?min_quality_score=0.9", 1), ("?max_size=1", 0),
            ("?start_date=2024-01-01&end_date=2024-01-02", 1), ("?start_date=2024-01-02", 0),
            ("?end_date=2024-01-01", 0), ("?created_before=2024-01-01", 0), ("?is_public=true", 0),
            (f"?content_hash={found['content_hash'][:9]}", 1),
        ):  # fmt: skip
            page = await at.answered("GET", f"/search{query}")
            assert (page["total"], len(page["datasets"])) == (total, total), query
        assert (await at.answered("GET", "/public"))["total"] == 0
        assert (await at.answered("GET", "/recommended"))["datasets"][0]["id"] == one
        assert (await at.answered("GET", "?limit=500", 400))["error"]["field"] == "limit"
        assert (await at.answered("GET", "?start_date=soon", 400))["error"]["field"] == "start_date"
        assert (await at.answered("GET", "/summary"))["by_kind"] == {"bars": 1}

        preview = await at.answered("GET", f"/{one}/preview?limit=2&offset=1")
        assert [row["open"] for row in preview["rows"]] == ["2.5", "3.5"]
        assert preview["rows"][0]["start"] == "2024-01-01T00:02:00.000000000Z"
        beyond = await at.answered("GET", f"/{one}/preview?limit=5&offset=298")
        assert [row["close"] for row in beyond["rows"]] == ["299.75", "300.75"]
        figures = (await at.answered("GET", f"/{one}/statistics"))["statistics"]
        assert {each["name"]: each["minimum"] for each in figures["columns"]}["low"] == "1.25"
        assert (await at.answered("GET", f"/{one}/validation-report"))["is_valid"]
        report = await at.answered("POST", f"/{one}/validate", json={"calendar": "always"})
        assert (report["is_valid"], [each["kind"] for each in report["findings"]]) == (True, ["outliers"])

        loaded = await at.http.get(f"/datasets/{one}/download?format=csv")
        assert loaded.text.splitlines()[:2] == [
            '"market","start","open","high","low","close","volume"',
            "X,2024-01-01T00:01:00.000000000Z,1.5,2,1.25,1.75,1.1",
        ]
        whole = await at.http.get(f"/datasets/{one}/download")
        assert parquet.read_table(io.BytesIO(whole.content)).num_rows == 300
        assert open_bars(folder_of(tmp_path, one)).content_hash == found["content_hash"]

        changed = await at.answered("PUT", f"/{one}", json={"name": "Other", "is_public": True})
        assert (changed["name"], changed["tags"], changed["is_public"]) == ("Other", ["a", "b"], True)
        assert (await at.answered("PUT", f"/{one}", 400, json={"name": ""}))["error"]["field"] == "name"
        assert (await at.answered("DELETE", f"/{one}"))["status"] == "deleted"
        for method, path in (("GET", ""), ("GET", "/preview"), ("GET", "/download"), ("DELETE", "")):
            assert (await at.answered(method, f"/{one}{path}", 404))["error"]["field"] == "dataset_id"


async def test_data_sets_survive_a_restart_and_what_was_being_read_is_read_again(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        sent = await at.sent("minutes.csv", csv(50), symbols="X", frequency="1m")
    left = tmp_path / "datasets" / ".incoming" / "0123456789abcdef"
    left.mkdir(parents=True)
    async with desk(tmp_path, database) as at:
        found = await at.made(sent["dataset_id"])
        assert (found["status"], found["row_count"], found["file_name"]) == ("ready", 50, "minutes.csv")
        await at.nothing_incoming(tmp_path)


async def test_what_cannot_be_a_data_set_is_refused_with_the_field(tmp_path: Path, database: str) -> None:
    settings = DatasetSettings(max_upload_bytes=4096, max_rows=20)
    async with desk(tmp_path, database, settings) as at:
        for fields, field in (
            ({"bogus": "1"}, "bogus"), ({"symbols": "A,B"}, "symbols"), ({"kind": "candles"}, "options"),
            ({"marks": "fine"}, "marks"), ({"mapping": "x"}, "mapping"), ({"name": "x" * 256}, "name"),
            ({"is_public": "perhaps"}, "is_public"),
        ):  # fmt: skip
            assert (await at.sent("a.csv", csv(3), 400, **fields))["error"]["field"] == field, fields
        assert (await at.sent("a.csv", csv(1000), 413))["error"]["code"] == "body_too_large"
        empty = await at.answered("POST", "/upload", 400, files={"name": (None, b"x")})
        assert empty["error"]["message"] == "expected a form with a file, got none"
        assert (await at.answered("POST", "/upload", 415, json={}))["error"]["field"] == "content-type"
        outside = await at.answered("POST", "/references", 403, json={"path": "/etc/passwd"})
        assert outside["error"]["field"] == "reference"
        assert (await at.answered("GET"))["total"] == 0
        failed = await at.made((await at.sent("../x/a b.csv", csv(30)))["dataset_id"])
        assert (failed["status"], failed["file_name"]) == ("failed", "a_b.csv")
        assert (failed["problem"], failed["problem_field"]) == ("expected at most 20 rows, got more", "file")
        assert (await at.answered("GET", f"/{failed['id']}/preview", 409))["error"]["code"] == "conflict"
        await at.nothing_incoming(tmp_path)
        without_token = await at.http.post("/datasets/upload", files={"file": b"x"}, headers={"authorization": ""})
        assert without_token.status_code == 401


@pytest.mark.recordings
async def test_a_recording_is_a_data_set_by_reference_and_by_copy(
    tmp_path: Path, database: str, recordings: Path
) -> None:
    path = recordings / "kalshi-btcmaxy-20251104-0110.jsonl.gz"
    async with desk(tmp_path, database, DatasetSettings(recordings=(str(recordings),), imports=2)) as at:
        there = await at.answered("POST", "/references", 201, json={"path": str(path)})
        copied = await at.sent(path.name, path.read_bytes(), kind="recording")
        await at.made(copied["dataset_id"])
        await at.made(there["dataset_id"])
        for sent in (there, copied):
            found = await at.made(sent["dataset_id"])
            assert (found["status"], found["kind"], found["source"]) == ("ready", "recording", "recording")
            assert found["symbols"] == ["KXBTCMAXY-25-DEC31-129999.99"]
            assert len(open_quotes(folder_of(tmp_path, found["id"]))) == 93
            assert len(found["same_content"]) == 1
            assert (await at.answered("GET", f"/{found['id']}/download", 400))["error"]["field"] == "dataset_id"
        await at.answered("DELETE", f"/{there['dataset_id']}")
    assert path.exists()

"""The library over HTTP, with the real sandbox."""

from __future__ import annotations

from pathlib import Path

from actors.signals import capability as signals
from actors.strategies.library_settings import LibrarySettings
from actors.strategies.package import MOST_CODE, PackageChanged
from tests.actors.strategies.library.stage import BROKEN, CODE, ONE, WITH_PERIOD, changes, desk

WRITTEN = {"name": "Mean reversion", "code": WITH_PERIOD, "parameters": {"period": 5}, "tags": ["a"]}


async def test_a_strategy_is_written_read_changed_and_restored(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database, sandbox=True) as at:
        made = await at.answered("POST", "/strategies/code/create", 201, **WRITTEN)
        one = made["strategy_id"]
        assert (made["version"], made["status"], made["validated"]) == (1, "active", True)
        assert made["validation_warnings"] == []
        shown = await at.answered("GET", f"/strategies/{one}")
        assert shown["files"] == {
            "strategy.py": {"filename": "strategy.py", "content": WITH_PERIOD, "file_type": "python"}
        }
        assert (shown["source"], shown["parameters"], shown["contract"]) == ("own", {"period": 5}, "function")
        [declared] = shown["declared_parameters"]
        assert (declared["name"], declared["default"], declared["least"], declared["most"]) == ("period", 14, 2, 50)
        assert shown["performance"]["total_return"] is None
        assert "fills" in shown["performance"]["reason"]
        assert shown["created_at"] == shown["updated_at"] == made["stored_at"]
        changed = await at.answered("PUT", f"/strategies/code/{one}", code=CODE, expected_version=1)
        assert changed["version"] == 2
        assert [each["rule"] for each in changed["validation_warnings"]] == []
        again = await at.answered("PUT", f"/strategies/{one}", description="other")
        assert again["version"] == 3
        listed = await at.answered("GET", f"/strategies/{one}/versions?limit=2")
        assert [(each["version"], each["change"]) for each in listed["versions"]] == [(3, "updated"), (2, "updated")]
        assert listed["total_count"] == 3
        first = await at.answered("GET", f"/strategies/{one}/versions/1")
        assert (first["code"], first["parameters"]) == (WITH_PERIOD, {"period": 5})
        back = await at.answered("POST", f"/strategies/{one}/versions/1/restore")
        assert back["version"] == 4
        assert (await at.answered("GET", f"/strategies/{one}"))["files"]["strategy.py"]["content"] == WITH_PERIOD
        old = await at.answered("GET", f"/strategies/{one}?version=2")
        assert old["files"]["strategy.py"]["content"] == CODE


async def test_what_cannot_be_stored_is_a_400_that_says_where(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database, sandbox=True) as at:
        for field, wrong in (
            ("name", ""),
            ("name", "x" * 256),
            ("description", "x" * 1001),
            ("code", "#" * (MOST_CODE + 1)),
            ("code", BROKEN),
            ("code", "import os\n" + CODE),
            ("code", "x = 1"),
            ("parameters", [1]),
            ("tags", "a"),
        ):
            answer = await at.answered("POST", "/strategies", 400, **{**WRITTEN, field: wrong})
            assert answer["error"]["field"] == field, answer
        answer = await at.answered("POST", "/strategies", 400, **{**WRITTEN, "status": "odd"})
        assert answer["error"]["field"] == "state"
        assert (await at.answered("GET", "/strategies?source=own"))["total_count"] == 0
        made = await at.answered("POST", "/strategies", 201, **{**WRITTEN, "parameters": {"perod": 3}})
        assert [each["field"] for each in made["validation_warnings"]] == ["perod"]
        path = f"/strategies/{made['strategy_id']}"
        assert (await at.answered("PUT", path, 409, name="B", expected_version=7))["error"]["code"] == "conflict"
        assert (await at.answered("PUT", "/strategies/none", 404, name="B"))["error"]["code"] == "not_found"
        assert (await at.answered("GET", f"{path}/versions/2", 404))["error"]["field"] == "version"
        await at.answered("GET", "/strategies/none/versions", 404)
        at.http.headers.pop("authorization")
        await at.answered("POST", "/strategies", 401, **WRITTEN)
        await at.answered("DELETE", path, 401)


async def test_lists_are_paged_searched_and_filtered(tmp_path: Path, database: str, ai_ml: str, no_code: str) -> None:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "alpha.py").write_text(CODE)
    (folder / "bad.py").write_bytes(b"\xff")
    settings = LibrarySettings(folder=str(folder), ai_ml_url=ai_ml, no_code_url=no_code + "x")
    async with desk(tmp_path / "node", database, settings) as at:
        whole = await at.answered("GET", "/strategies/list")
        assert [each["name"] for each in whole["strategies"]] == [
            "Half", "Momentum", "Momentum", "alpha", "book_imbalance", "moving_average_cross"
        ]  # fmt: skip
        assert (whole["total_count"], whole["limit"], whole["offset"]) == (6, 50, 0)
        assert [each["source"] for each in whole["away"]] == ["no_code"]
        assert [(each["name"], each["source"]) for each in whole["refused"]] == [("bad.py", "folder")]
        page = await at.answered("GET", "/strategies/list?source=ai_ml&limit=1&offset=1")
        assert [each["strategy_id"] for each in page["strategies"]] == [ONE]
        assert page["total_count"] == 3
        assert page["strategies"][0]["created_at"] == "2026-01-02T03:04:05.000000Z"
        found = await at.answered("GET", "/strategies?search=momentum&status_filter=archived")
        assert [each["status"] for each in found["strategies"]] == ["archived"]
        for wrong in ("limit=0", "limit=101", "offset=-1", "source=odd"):
            assert (await at.answered("GET", f"/strategies/list?{wrong}", 400))["error"]["field"] == wrong.split("=")[0]
        assert (await at.answered("GET", "/strategies?status_filter=odd", 400))["error"]["field"] == "state"
        assert (await at.answered("GET", "/strategies/1", 503))["error"]["code"] == "unavailable"
        trusted = await at.answered("GET", "/strategies/book_imbalance")
        assert (trusted["files"], trusted["path"]) == ({}, "actors.strategies.book_imbalance:BookImbalance")
        (folder / "book_imbalance.py").write_text(CODE)
        with at.node.open_tap((PackageChanged, "book_imbalance")) as tap:
            await changes(tap, 1)
        assert (await at.answered("GET", "/strategies/book_imbalance", 400))["error"]["code"] == "ambiguous"
        assert (await at.answered("GET", "/strategies/book_imbalance?source=folder"))["path"] is None
        for path in ("..%2Fnode%2Ftoken", "%2Fetc%2Fpasswd", "alpha.py"):
            await at.answered("GET", f"/strategies/{path}?source=folder", 404)


async def test_a_deleted_strategy_is_stopped_and_archived(tmp_path: Path, database: str) -> None:
    others = (signals.branch(signals.Settings()),)
    async with desk(tmp_path, database, sandbox=True, others=others) as at:
        one = (await at.answered("POST", "/strategies", 201, **WRITTEN))["strategy_id"]
        await at.answered("POST", "/strategies/start", strategy_id=one, source="own", symbols=["A"], timeframe="1m")
        gone = await at.answered("DELETE", f"/strategies/{one}")
        assert (gone["strategy_id"], gone["stopped"]) == (one, True)
        assert gone["deleted_at"].endswith("Z")
        assert (await at.answered("GET", f"/strategies/{one}/status"))["status"] == "inactive"
        assert (await at.answered("GET", f"/strategies/{one}"))["status"] == "archived"
        assert not (await at.answered("DELETE", f"/strategies/{one}"))["stopped"]
        assert (await at.answered("GET", "/strategies?source=own"))["total_count"] == 0
        refused = await at.answered("DELETE", "/strategies/book_imbalance", 409)
        assert refused["error"]["message"] == "it comes with the runtime and cannot be deleted"
        await at.answered("DELETE", "/strategies/none", 404)


async def test_a_source_text_is_checked_without_being_stored(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database, sandbox=True) as at:
        good = await at.answered("POST", "/code/validate", code=WITH_PERIOD)
        assert (good["valid"], good["contract"], good["problems"]) == (True, "function", [])
        assert [each["name"] for each in good["parameters"]] == ["period"]
        bad = await at.answered("POST", "/code/validate", code="import os\nimport socket\n" + CODE)
        assert not bad["valid"]
        assert sorted(each["line"] for each in bad["problems"]) == [1, 2]
        endless = await at.answered("POST", "/code/validate", code=f"while True:\n    pass\n{CODE}")
        assert not endless["valid"]
        await at.answered("POST", "/code/validate", 400, code="#" * (MOST_CODE + 1))
        assert (await at.answered("GET", "/strategies?source=own"))["total_count"] == 0


async def test_without_a_sandbox_nothing_is_checked_and_that_is_said(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        assert (await at.answered("POST", "/code/validate", 503, code=CODE))["error"]["code"] == "unavailable"
        made = await at.answered("POST", "/strategies", 201, **WRITTEN)
        assert (made["status"], made["validated"]) == ("draft", False)
        shown = await at.answered("GET", f"/strategies/{made['strategy_id']}")
        assert shown["contract"] is None
        assert "no sandbox" in shown["check_missing"]


async def test_the_sdk_tells_what_an_author_has(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        sdk = await at.answered("GET", "/sdk/documentation")
    items = {item["name"]: item for item in sdk["items"]}
    assert {"BaseStrategy", "Parameter", "Signal", "indicators", "NotDeployed"} <= set(items)
    members = {member["name"]: member for member in items["BaseStrategy"]["members"]}
    assert members["on_bar"]["signature"] == "(bar: Bar) -> None"
    assert all(members[name]["description"] for name in ("initialize", "on_bar", "on_save", "on_load", "buy"))
    assert any(member["name"] == "rsi" for member in items["indicators"]["members"])
    assert all(item["description"] for item in sdk["items"])

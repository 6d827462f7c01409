"""Files of a folder: when they count, what is refused, and how a change is told."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.strategies.library_settings import LibrarySettings
from actors.strategies.package import LIBRARY, MOST_CODE, PackageChanged
from actors.strategies.sources.folder import MOST_FILES, NOTHING, SeenFolder, look
from protocols.control import Probe
from tests.actors.strategies.library.stage import CODE, changes, desk, told


def looks(folder: Path, seen: SeenFolder = NOTHING, count: int = 2) -> SeenFolder:
    for _ in range(count):
        seen = look(str(folder), seen)
    return seen


def test_a_file_counts_at_the_second_look_and_its_version_is_its_texts_digest(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(CODE)
    (tmp_path / "notes.txt").write_text("no strategy")
    (tmp_path / ".one.py").write_text("an editor's own")
    first = look(str(tmp_path), NOTHING)
    assert (first.packages(), first.settled) == ({}, False)
    second = look(str(tmp_path), first)
    assert second.settled
    [package] = second.packages().values()
    assert (package.strategy_id, package.source, package.main_file, package.code) == ("one", "folder", "one.py", CODE)
    (tmp_path / "one.py").write_text(f"# new\n{CODE}")
    [changed] = looks(tmp_path, second).packages().values()
    assert changed.version != package.version
    assert changed.ts_updated == (tmp_path / "one.py").stat().st_mtime_ns


def test_a_file_that_is_still_written_is_not_taken_and_the_old_text_stays(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text(CODE)
    seen = looks(tmp_path)
    for part in ("def", " generate", "_signal"):
        with file.open("a") as text:
            text.write(part)
        seen = look(str(tmp_path), seen)
        assert seen.packages()["one"].code == CODE
    assert look(str(tmp_path), seen).packages()["one"].code == f"{CODE}def generate_signal"


def test_an_editor_that_puts_a_new_file_in_the_place_of_the_old_one_changes_the_strategy(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text(CODE)
    seen = looks(tmp_path)
    (tmp_path / "one.py.tmp").write_text("# renamed")
    os.utime(tmp_path / "one.py.tmp", ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    (tmp_path / "one.py.tmp").rename(file)
    assert looks(tmp_path, seen).packages()["one"].code == "# renamed"


def test_a_text_of_the_same_length_and_with_the_same_time_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text("a = 1")
    seen = looks(tmp_path)
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    file.write_text("a = 2")
    os.utime(file, ns=times)
    assert looks(tmp_path, seen).packages()["one"].code == "a = 2"


def test_a_file_that_is_away_for_one_look_is_not_gone_and_for_two_it_is(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text(CODE)
    seen = looks(tmp_path)
    file.rename(tmp_path / "one.py~")
    seen = look(str(tmp_path), seen)
    assert list(seen.packages()) == ["one"]
    file.write_text("# back")
    back = looks(tmp_path, seen)
    assert back.packages()["one"].code == "# back"
    file.unlink()
    assert list(look(str(tmp_path), back).packages()) == ["one"]
    assert looks(tmp_path, back).packages() == {}


def test_what_is_no_strategy_is_refused_with_a_reason(tmp_path: Path) -> None:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (tmp_path / "secret.py").write_text("password = 1")
    (folder / "away.py").symlink_to(tmp_path / "secret.py")
    (folder / "up.py").symlink_to("../secret.py")
    (folder / "nowhere.py").symlink_to(folder / "missing")
    (folder / "big.py").write_bytes(b"#" * (MOST_CODE + 1))
    (folder / "odd name.py").write_text(CODE)
    (folder / "..%2fevil.py").write_text(CODE)
    (folder / "latin.py").write_bytes("# ü".encode("latin-1"))
    (folder / "nul.py").write_bytes(b"a\0")
    (folder / "empty.py").write_bytes(b"")
    (folder / "directory.py").mkdir()
    os.mkfifo(folder / "pipe.py")
    (folder / "good.py").write_text(CODE)
    (folder / "again.py").symlink_to(folder / "good.py")
    seen = looks(folder)
    assert sorted(seen.packages()) == ["again", "good"]
    assert {name: why.partition(",")[0].partition(":")[0] for name, why in seen.refusals()} == {
        "away.py": "a link that leads out of the folder",
        "up.py": "a link that leads out of the folder",
        "nowhere.py": "cannot be read",
        "big.py": f"expected at most {MOST_CODE} bytes",
        "odd name.py": "the name of a strategy is 1 to 100 letters",
        "latin.py": "not UTF-8",
        "nul.py": "holds NUL characters",
        "empty.py": "is empty",
        "directory.py": "not a regular file",
        "pipe.py": "not a regular file",
    }


def test_a_bad_change_leaves_the_last_good_text_and_says_why(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text(CODE)
    seen = looks(tmp_path)
    file.write_bytes(b"#" * (MOST_CODE + 1))
    seen = looks(tmp_path, seen)
    assert seen.packages()["one"].code == CODE
    assert [name for name, _ in seen.refusals()] == ["one.py"]
    file.write_text("# good again")
    seen = looks(tmp_path, seen)
    assert (seen.packages()["one"].code, seen.refusals()) == ("# good again", [])


def test_a_link_that_is_turned_to_the_outside_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "real.py").write_text(CODE)
    (folder / "link.py").symlink_to("real.py")
    seen = looks(folder)
    (tmp_path / "secret.py").write_text("password = 1")
    (folder / "link.py").unlink()
    (folder / "link.py").symlink_to(tmp_path / "secret.py")
    seen = looks(folder, seen)
    assert seen.packages()["link"].code == CODE
    assert [name for name, _ in seen.refusals()] == ["link.py"]


def test_more_files_than_the_folder_may_hold_are_refused(tmp_path: Path) -> None:
    for number in range(MOST_FILES + 1):
        (tmp_path / f"s{number:04}.py").write_text("a")
    seen = looks(tmp_path)
    assert len(seen.packages()) == MOST_FILES
    assert [name for name, _ in seen.refusals()] == [f"s{MOST_FILES:04}.py"]


def test_a_folder_that_cannot_be_read_keeps_its_strategies_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "one.py").write_text(CODE)
    seen = looks(folder)
    folder.rename(tmp_path / "moved")
    away = look(str(folder), seen)
    assert list(away.packages()) == ["one"]
    assert away.problem == "the folder cannot be read: No such file or directory"
    (tmp_path / "moved").rename(folder)
    assert looks(folder, away).problem == ""


NAMES = st.sampled_from(("a", "b", "c"))
STEPS = st.one_of(
    st.tuples(st.just("write"), NAMES, st.sampled_from(("x = 1", "x = 2", "# longer"))),
    st.tuples(st.just("replace"), NAMES, st.sampled_from(("x = 1", "x = 3"))),
    st.tuples(st.just("move"), NAMES, NAMES),
    st.tuples(st.just("link"), NAMES, NAMES),
    st.tuples(st.just("remove"), NAMES, st.just("")),
    st.tuples(st.just("look"), st.just(""), st.just("")),
)


@given(st.lists(STEPS, max_size=30))
@settings(max_examples=60, deadline=None)
def test_whatever_happened_to_a_folder_after_two_quiet_looks_its_files_are_the_packages(
    steps: list[tuple[str, str, str]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seen = NOTHING
        for kind, first, second in steps:
            file = folder / f"{first}.py"
            if kind == "look":
                seen = look(name, seen)
            elif kind == "write" and not file.is_symlink():
                file.write_text(second)
            elif kind == "replace":
                (folder / "new").write_text(second)
                (folder / "new").rename(file)
            elif kind == "move" and file.exists():
                file.rename(folder / f"{second}.py")
            elif kind == "link" and not file.exists() and not file.is_symlink():
                file.symlink_to(f"{second}.py")
            elif kind == "remove":
                file.unlink(missing_ok=True)
        seen = looks(folder, looks(folder, seen))
        there = {file.stem: file.read_text() for file in folder.glob("*.py") if file.exists()}
        packages = seen.packages()
        assert {each: packages[each].code for each in there} == there
        # What has turned into a link to nothing keeps its last text, and says why it has no newer one.
        assert {f"{each}.py" for each in packages.keys() - there.keys()} <= {name for name, _ in seen.refusals()}


async def test_the_library_follows_the_folder(tmp_path: Path, database: str) -> None:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "one.py").write_text(CODE)
    async with desk(tmp_path / "node", database, LibrarySettings(folder=str(folder))) as at:
        # The first look is not over yet: the question waits for it.
        assert (await at.package("one")).code == CODE
        with at.node.open_tap((PackageChanged, None)) as tap:
            (folder / "one.py").write_text("# two")
            [change] = await told(tap, PackageChanged, 1)
            package = await at.package("one")
            assert (package.code, package.version) == ("# two", change.version)
            (folder / "two.py").write_text(CODE)
            assert await changes(tap, 1) == [("two", "folder", False)]
            (folder / "one.py").unlink()
            assert await changes(tap, 1) == [("one", "folder", True)]
            (folder / "bad.py").write_bytes(b"\xff")
            (folder / "three.py").write_text(CODE)
            assert await changes(tap, 1) == [("three", "folder", False)]
        assert await at.ids(source="folder") == ["three", "two"]
        assert await at.refused_files() == ["bad.py"]
        assert await at.refused_code("one") == "not_found"
        with at.node.open_tap((PackageChanged, None)) as tap:
            await at.kill(LIBRARY)
            found = await changes(tap, 2)
            assert sorted(found) == [("three", "folder", False), ("two", "folder", False)]
        assert await at.ids(source="folder") == ["three", "two"]


async def test_a_folder_that_is_not_there_is_told_and_taken_when_it_comes(tmp_path: Path, database: str) -> None:
    folder = tmp_path / "strategies"
    async with desk(tmp_path / "node", database, LibrarySettings(folder=str(folder))) as at:
        assert await at.refused_code("one", "folder") == "not_found"
        assert [source for source, _ in (await at.listed()).away] == ["folder"]
        assert (await at.node.ref(LIBRARY).ask(Probe())).status == "degraded"
        assert (await at.package("book_imbalance")).trusted
        with at.node.open_tap((PackageChanged, None)) as tap:
            folder.mkdir()
            (folder / "one.py").write_text(CODE)
            assert await changes(tap, 1) == [("one", "folder", False)]
        assert (await at.listed()).away == ()


@pytest.mark.parametrize("strategy_id", ["../one", "one.py", "/etc/passwd", "..", "", "one\0", "%2e%2e/one"])
async def test_a_name_that_is_a_path_finds_nothing(tmp_path: Path, database: str, strategy_id: str) -> None:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (tmp_path / "one.py").write_text(CODE)
    async with desk(tmp_path / "node", database, LibrarySettings(folder=str(folder))) as at:
        assert await at.refused_code(strategy_id) == "not_found"
        assert await at.refused_code(strategy_id, "folder") == "not_found"

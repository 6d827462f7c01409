"""Who may import what: the house rules that layers alone cannot say, and what must not be loaded too early.

The layers themselves are contracts in pyproject.toml, checked by `lint-imports`.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import grimp
import pytest

from actors.cli import installation, parser

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("actors", "runtime", "protocols")
FOUNDATIONS = frozenset({"edge", "storage"})
"""The floor below the capabilities: anybody above may use it, shells and all."""
COMPOSITION = frozenset({"node", "cli", "console"})
COMPOSERS = frozenset({"actors.node", "actors.lifetime"})
HEAVY = ("torch", "ray", "stable_baselines3", "gymnasium", "alembic", "sqlalchemy")


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


def modules_of(graph: grimp.ImportGraph, package: str) -> set[str]:
    return {package, *graph.find_descendants(package)}


def libraries(graph: grimp.ImportGraph, modules: Iterable[str]) -> dict[str, set[str]]:
    """Libraries outside Python and outside this project, each with the modules that import it."""
    found: dict[str, set[str]] = {}
    for module in modules:
        for imported in graph.find_modules_directly_imported_by(module):
            name = imported.partition(".")[0]
            if name not in sys.stdlib_module_names and name not in PACKAGES and name != "__future__":
                found.setdefault(name, set()).add(module)
    return found


def capability_of(module: str) -> str | None:
    parts = module.split(".")
    if len(parts) < 3 or parts[0] != "actors" or parts[1] in COMPOSITION:
        return None
    return parts[1]


def test_protocols_use_the_standard_library_msgspec_and_cryptography_alone(graph: grimp.ImportGraph) -> None:
    used = libraries(graph, modules_of(graph, "protocols"))
    assert set(used) <= {"msgspec", "cryptography"}, used


def test_the_runtime_uses_its_five_libraries_and_ray_in_no_process_of_a_node(
    graph: grimp.ImportGraph,
) -> None:
    used = libraries(graph, modules_of(graph, "runtime"))
    assert set(used) <= {"trio", "msgspec", "structlog", "prometheus_client", "ray"}, used
    assert used["ray"] == {f"runtime.cluster.{name}" for name in ("gateway", "ray_host", "ray_start")}


def test_the_runtime_knows_no_messages_but_its_own(graph: grimp.ImportGraph) -> None:
    known = {
        (module, imported)
        for module in modules_of(graph, "runtime")
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.startswith("protocols") and imported not in ("protocols", "protocols.control")
    }
    assert not known


def test_what_a_capability_takes_from_another_knows_neither_an_event_loop_nor_the_runtime(
    graph: grimp.ImportGraph,
) -> None:
    wrong = []
    for module in sorted(graph.modules):
        importer = capability_of(module)
        if importer is None:
            continue
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            owner = capability_of(imported)
            if owner is None or owner == importer or owner in FOUNDATIONS:
                continue
            for forbidden in ("trio", "runtime"):
                targets = [name for name in graph.modules if name.partition(".")[0] == forbidden]
                if any(graph.chain_exists(imported, target) for target in targets):
                    wrong.append(f"{module} imports {imported}, which reaches {forbidden}")
    assert not wrong, "\n".join(wrong)


def test_a_capability_is_known_as_a_whole_to_itself_and_to_the_composition_alone(graph: grimp.ImportGraph) -> None:
    wrong = [
        f"{importer} imports {module}"
        for module in sorted(graph.modules)
        if module.startswith("actors.") and module.endswith(".capability")
        for importer in sorted(graph.find_modules_that_directly_import(module))
        if capability_of(importer) != capability_of(module) and importer not in COMPOSERS
    ]
    assert not wrong, "\n".join(wrong)


def test_a_capabilitys_package_is_empty_so_that_importing_a_core_imports_no_actor() -> None:
    for package in sorted((REPOSITORY / "actors").glob("*/__init__.py")):
        assert package.read_text().strip() == "", package


def loaded_after(statement: str) -> set[str]:
    """The libraries that are loaded in a fresh Python after a statement."""
    program = f"{statement}\nimport sys; print('\\n', *{{name.partition('.')[0] for name in sys.modules}})"
    answer = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(answer.stdout.split("\n")[-2].split())


def test_help_loads_nothing_heavy_and_no_event_loop() -> None:
    loaded = loaded_after("from actors.cli.__main__ import main; main(['--help'])")
    assert not loaded & {*HEAVY, "trio", "httpx", "msgspec", "rich"}


def test_importing_the_runtime_loads_nothing_heavy() -> None:
    assert not loaded_after("import runtime") & {*HEAVY, "asyncpg", "httpx", "numpy"}


def test_a_node_loads_nothing_that_only_learning_distribution_or_migration_needs() -> None:
    assert not loaded_after("import actors.node; actors.node.sections()") & {*HEAVY, "numpy", "pyarrow", "pandas"}


def test_the_verbs_of_capabilities_can_be_read_without_importing_them_and_lead_to_functions() -> None:
    read = installation.registered_commands()
    declared: dict[str, str] = {}
    for module in importlib.import_module("actors.node").CAPABILITIES:
        declared |= getattr(importlib.import_module(module), "commands", {})
    assert read == declared, "CAPABILITIES and commands have to be literals"
    assert not set(read) & {*parser.VERBS, *parser.PASSED_ON, "install", "help"}
    for verb, target in read.items():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name)), verb
        assert installation.summary_of(target), f"{target} needs a docstring: it is the verb's line in the help"

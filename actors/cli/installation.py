"""What is here on disk: the repository, its version, its configurations, and the verbs of the capabilities.

The verbs are read from the source, not imported: `actors/node.py` lists the capabilities in `CAPABILITIES`, and
the `commands` of a `capability.py` map a verb to "module:function"; both are literals. So help knows every verb
without loading a library. A verb may be two words (`data import`): then it is a verb of a capability below another's.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

PACKAGES = Path(__file__).resolve().parent.parent.parent
"""The folder that holds the packages: the repository, or site-packages."""


def version() -> str:
    """The version that pyproject.toml names; for an installed package, the one that it was installed as."""
    project = PACKAGES / "pyproject.toml"
    if project.is_file():
        import tomllib

        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    from importlib import metadata

    return metadata.version("troupe")


def configurations() -> Path:
    """The folder of the configurations that come with Troupe."""
    beside = PACKAGES / "config"
    return beside if beside.is_dir() else Path(sys.prefix) / "share" / "troupe" / "config"


def registered_commands() -> dict[str, str]:
    """Verb to "module:function", over all capabilities."""
    capabilities = _literal("actors.node", "CAPABILITIES")
    found: dict[str, str] = {}
    if isinstance(capabilities, list | tuple):
        for module in capabilities:
            commands = _literal(module, "commands")
            if isinstance(commands, dict):
                found.update(commands)
    return found


def summary_of(target: str) -> str:
    """The first line of the docstring of "module:function"."""
    module, _, function = target.partition(":")
    for node in _parsed(module).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function:
            return (ast.get_docstring(node) or "").partition("\n")[0].rstrip(".")
    return ""


def _parsed(module: str) -> ast.Module:
    path = PACKAGES.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        # Help must work while somebody is in the middle of an edit.
        return ast.Module(body=[], type_ignores=[])


def _literal(module: str, name: str) -> object:
    """The value that a module assigns to a name, where it is a literal; else None."""
    for node in _parsed(module).body:
        if isinstance(node, ast.Assign):
            targets: list[ast.expr] = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        else:
            continue
        if any(isinstance(target, ast.Name) and target.id == name for target in targets) and node.value is not None:
            try:
                return ast.literal_eval(node.value)
            except ValueError:
                return None
    return None

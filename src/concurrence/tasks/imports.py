"""What a module imports, and which installed distribution that is: the owner's side only."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from typing import NamedTuple

from concurrence.wire.messages import Requirement

_TOLERATED = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


class Imports(NamedTuple):
    """The names that a module imports; packages on the way and names that may be modules are included.

    Attributes:
        at_once: Imported whenever the module is.
        later: Imported in functions, or where a failure is tolerated.
    """

    at_once: frozenset[str]
    later: frozenset[str]


def imports_of_source(source: str, package: str) -> Imports:
    """Read off a module's imports without running it.

    Args:
        source: The module's source.
        package: The package that its relative imports start from.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return Imports(frozenset(), frozenset())  # it was imported from something else; nothing to learn here
    at_once: set[str] = set()
    later: set[str] = set()
    _scan(tree.body, package, at_once, later)
    return Imports(frozenset(at_once), frozenset(later))


def _scan(nodes: Iterable[ast.AST], package: str, found: set[str], later: set[str]) -> None:
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.update(_names(node, package))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            _scan(ast.iter_child_nodes(node), package, later, later)
        elif isinstance(node, ast.Try | ast.TryStar) and _tolerates(node):
            _scan(node.body, package, later, later)
            _scan([*node.handlers, *node.orelse], package, later, later)
            _scan(node.finalbody, package, found, later)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            _scan(node.orelse, package, found, later)
        else:
            _scan(ast.iter_child_nodes(node), package, found, later)


def _tolerates(node: ast.Try | ast.TryStar) -> bool:
    for handler in node.handlers:
        if handler.type is None:
            return True
        if any(isinstance(part, ast.Name) and part.id in _TOLERATED for part in ast.walk(handler.type)):
            return True
    return False


def _names(node: ast.Import | ast.ImportFrom, package: str) -> set[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        base = node.module or ""
        if node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, base] if base else above)
        # ``from a import b`` may mean the module a.b; what is no module is not found later, and skipped.
        names = [base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")]
    return {
        ".".join(parts[:end]) for parts in (name.split(".") for name in names) for end in range(1, len(parts) + 1)
    }


@cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


@cache
def requirement_of(module: str) -> Requirement | None:
    """The installed distribution that brings a top-level module, if it can be told."""
    candidates = sorted(set(_distributions().get(module, ())))
    if len(candidates) > 1:  # a namespace that several distributions share
        candidates = [name for name in candidates if name.lower().replace("-", "_") == module.lower()]
    if not candidates:
        return None
    return Requirement(module, candidates[0], metadata.version(candidates[0]))

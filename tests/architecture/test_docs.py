"""Every package, module and public name says what it is."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

ROOT = Path(__file__).parents[2] / "src" / "concurrence"


def test_every_module_and_package_has_a_docstring() -> None:
    folders = {path.parent for path in ROOT.rglob("*.py")}
    missing = [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()]
    files = sorted(ROOT.rglob("*.py"))
    missing += [str(path) for path in files if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert not missing, "\n".join(["without docstring:", *missing])


def test_every_public_class_and_function_has_a_docstring() -> None:
    missing: list[str] = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if not node.name.startswith("_") and not ast.get_docstring(node) and not _is_overload(node):
                missing.append(f"{path}:{node.lineno}: {node.name}")
    assert not missing, "\n".join(["without docstring:", *missing])


def _is_overload(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(mark, ast.Name) and mark.id == "overload" for mark in node.decorator_list)


def test_every_name_of_the_facade_exists_once() -> None:
    facade = importlib.import_module("concurrence")
    names = list(facade.__all__)
    assert len(names) == len(set(names))
    for name in names:
        assert getattr(facade, name) is not None, name

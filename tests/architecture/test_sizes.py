"""Files and functions stay small enough to be read at one sitting."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "concurrence"
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def test_no_file_is_too_long() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    assert lengths, SOURCE
    too_long = [f"{path}: {n} lines" for path, n in sorted(lengths.items()) if n > MAX_FILE_LINES]
    assert not too_long, "\n".join([f"files over {MAX_FILE_LINES} lines:", *too_long])


def test_no_function_is_too_long() -> None:
    too_long: list[str] = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    too_long.append(f"{path}:{node.lineno}: {node.name} has {length} lines")
    assert not too_long, "\n".join([f"functions over {MAX_FUNCTION_LINES} lines:", *too_long])

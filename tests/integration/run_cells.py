"""Runs cells in a Jupyter kernel and says what came out: ``python run_cells.py CELLS.json OUTPUTS.json``.

A process of its own: Jupyter warns of its own future, and in the tests warnings are errors.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError


def run(cells: list[str]) -> list[list[dict[str, Any]]]:
    """The outputs of each cell; those behind one that killed the kernel are not run."""
    make: Any = nbformat.v4
    notebook: Any = make.new_notebook(cells=[make.new_code_cell(cell) for cell in cells])
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True)
    try:
        client.execute()
    except DeadKernelError:
        print("the kernel died")  # noqa: T201  a script
    return [cell.outputs for cell in notebook.cells]


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(json.dumps(run(json.loads(source.read_text("utf-8")))), "utf-8")

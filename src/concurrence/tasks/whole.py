"""Pickling by value what cannot be imported elsewhere, code with the name of the file that it is from.

Newer versions of cloudpickle leave the name out: tracebacks, warnings and debuggers would not tell where they are.
"""

from __future__ import annotations

import io
from collections import ChainMap
from collections.abc import Callable
from pickle import PickleBuffer
from types import CodeType
from typing import Any

import cloudpickle

_FILE_NAME = 10
"""Which argument of the constructor of code it is, in all versions of CPython from 3.11 on."""

_reduce_code: Callable[[CodeType], tuple[Any, tuple[Any, ...]]] = cloudpickle.Pickler.dispatch_table[CodeType]


def _reduce_with_file(code: CodeType) -> tuple[Any, tuple[Any, ...]]:
    make, arguments = _reduce_code(code)
    # A string of its own: with one that is shared the bytes would depend on what else refers to it.
    name = "".join(code.co_filename)
    return make, (*arguments[:_FILE_NAME], name, *arguments[_FILE_NAME + 1 :])


_REDUCERS: ChainMap[type, Callable[[Any], Any]] = ChainMap(
    {CodeType: _reduce_with_file}, cloudpickle.Pickler.dispatch_table
)


class WholePickler(cloudpickle.Pickler):
    """Pickles what is of the main script or local by value, with the names of its files."""

    dispatch_table = _REDUCERS


def dump_whole(value: object, buffer_callback: Callable[[PickleBuffer], object] | None = None) -> bytes:
    """Pickle a value; functions and classes of the main script, lambdas and closures whole.

    Args:
        value: What to pickle.
        buffer_callback: Takes large buffers that may travel apart.

    Raises:
        Exception: It cannot be pickled.
    """
    file = io.BytesIO()
    WholePickler(file, 5, buffer_callback=buffer_callback).dump(value)
    return file.getvalue()

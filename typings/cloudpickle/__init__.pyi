import pickle
from collections.abc import Callable, MutableMapping
from types import ModuleType
from typing import Any

class Pickler(pickle.Pickler):
    dispatch_table: MutableMapping[type, Callable[[Any], Any]]

def dumps(
    obj: object, protocol: int | None = None, buffer_callback: Callable[[Any], object] | None = None
) -> bytes: ...
def register_pickle_by_value(module: ModuleType) -> None: ...
def unregister_pickle_by_value(module: ModuleType) -> None: ...

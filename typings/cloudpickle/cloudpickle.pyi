from collections.abc import MutableMapping
from typing import Any

_DYNAMIC_CLASS_TRACKER_BY_ID: MutableMapping[str, type[Any]]

def _get_or_create_tracker_id(class_def: type[Any]) -> str: ...

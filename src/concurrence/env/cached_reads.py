"""Values of options where they are read fastest, in the objects that read them, until the config changes."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable


class CachedReads:
    """Puts values into the ``__dict__`` of the objects that read them, and takes them out when they are stale.

    A value lies there under the name of its option's attribute, so that Python finds it before it asks the option.
    What somebody else assigned to the attribute stays.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: dict[int, tuple[weakref.ref[object], dict[str, object]]] = {}

    def keep(self, instance: object, attribute: str, value: object, is_current: Callable[[], bool]) -> bool:
        """Put a value into an object, if it has room for such and no value under that name.

        Args:
            instance: The object that read it.
            attribute: The name of the attribute.
            value: What was read.
            is_current: Whether the value was read from the config as it is now.

        Returns:
            Whether the value is current; only then it was kept.
        """
        own = getattr(instance, "__dict__", None)
        # The config changes first and has its reads forgotten then: what is kept in between is forgotten too.
        with self._lock:
            if not is_current():
                return False
            if isinstance(own, dict) and attribute not in own:
                try:
                    self._known(instance)[attribute] = value
                except TypeError:  # nothing can refer to it weakly, so it could not be told of a change
                    return True
                own[attribute] = value
            return True

    def forget(self) -> None:
        """Take all values out again; each option is asked at its next read."""
        with self._lock:
            # Objects that end meanwhile leave the new table alone, not the one that is gone through.
            reads, self._reads = self._reads, {}
            for reference, values in reads.values():
                own = getattr(reference(), "__dict__", {})
                for attribute, value in values.items():
                    if own.get(attribute) is value:
                        own.pop(attribute, None)

    def _known(self, instance: object) -> dict[str, object]:
        key = id(instance)
        if key not in self._reads:
            # No lock here: objects end at any moment, also in a thread that holds it.
            reference = weakref.ref(instance, lambda _ended: self._reads.pop(key, None))
            self._reads[key] = (reference, {})
        return self._reads[key][1]

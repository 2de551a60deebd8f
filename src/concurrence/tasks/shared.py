"""Objects that many tasks use: they travel once to each slave, and are unpickled once in each worker process.

On the way a shared object is a row of blobs that travel like bundles of code: by content hash, listed by the
functions whose tasks use it. The first is its head, whose hash names the object.
"""

from __future__ import annotations

import pickle
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

from concurrence.errors import ConcurrenceError, ProtocolError
from concurrence.tasks.shared_blobs import Blob, cut, put_together, read_head
from concurrence.tasks.values import pack_value
from concurrence.wire.codec import Frame
from concurrence.wire.digests import bundle_digest

_REFERENCE_MARK: Final = b"\xc1shared object:\xc1"

T = TypeVar("T")


class SharedMissing(ConcurrenceError):
    """A shared object is used where it did not arrive; keep its ``Shared`` and hand that to the task itself."""


class ContentName(NamedTuple):
    """What a shared object is known by, and the bytes that travel of it."""

    digest: bytes
    size: int


class Content:
    """The bytes of a shared object, and the object made of them.

    Args:
        digest: The head's hash.
        parts: The pickled object and its out-of-band buffers, in memory that nobody changes; where it was
            shared, the first alone.
        blobs: What travels, if it was made already.
    """

    def __init__(self, digest: bytes, parts: Sequence[Frame], blobs: tuple[Blob, ...] = ()) -> None:
        self.digest = digest
        self._parts = parts
        self._blobs = blobs
        self._values: dict[object, Any] = {}
        self._nested: tuple[Content, ...] | None = None

    @classmethod
    def of(cls, value: Any) -> Content:
        """Pickle an object: what is changed in it from now on does not travel.

        Raises:
            PackingError: It cannot be pickled; the text names the part.
        """
        payload, buffers = pack_value(value, f"the shared {type(value).__name__}")
        blobs = cut([payload, *buffers])
        head = blobs[0]
        known = _contents.get(head.digest)
        if known is not None:
            return known
        content = cls(head.digest, [payload], blobs)
        content._nested = tuple(find_contents(payload))
        content._values[None] = value
        _contents[head.digest] = content
        return content

    @property
    def nested(self) -> tuple[Content, ...]:
        """The shared objects within this one."""
        if self._nested is None:
            self._nested = tuple(find_contents(self._parts[0]))
        return self._nested

    @property
    def payload(self) -> Frame:
        """The pickled object without its out-of-band buffers."""
        return self._parts[0]

    @property
    def name(self) -> ContentName:
        """The object's name and size."""
        return ContentName(self.digest, sum(len(blob.blob) for blob in self.blobs()))

    def blobs(self) -> tuple[Blob, ...]:
        """What must be where the object is to be used: the head first."""
        if not self._blobs:
            self._blobs = cut(self._parts)
        return self._blobs

    def value(self, code: object) -> Any:
        """The object: the original where it was shared, elsewhere unpickled when it is first asked for.

        Args:
            code: What its classes are imported from; for other code there is another object.
        """
        if None in self._values:
            return self._values[None]
        if code not in self._values:
            with _lock:
                if code not in self._values:
                    self._values[code] = pickle.loads(self._parts[0], buffers=self._parts[1:])
        return self._values[code]


# One lock for all: an object may be shared within another.
_lock = threading.RLock()
_contents: weakref.WeakValueDictionary[bytes, Content] = weakref.WeakValueDictionary()
_stores: weakref.WeakSet[SharedStore] = weakref.WeakSet()
is_used = False
"""Whether a shared object was met in this process; until then no pickle has to be searched for them."""


def _note_use() -> None:
    global is_used  # noqa: PLW0603  # read for each task that is packed: a module's name is the cheapest there is
    is_used = True


class Shared(Generic[T]):
    """A handle on an object that many tasks use: it travels once to each slave, not with each task.

    Hand it to tasks as an argument, within a container, as an attribute of a task or in a closure, and take
    the object from :attr:`value` there. The object is pickled when the handle first travels: changes after that
    have no effect. Tasks must not change it; numpy arrays come read-only. When the last handle and the last
    unfinished task that uses it are gone, the swarm forgets the object.

    Args:
        value: The object; with what it refers to it must be picklable.
    """

    __slots__ = ("__weakref__", "_content", "_digest", "_has_value", "_is_here", "_value")

    def __init__(self, value: T, *, _reference: bytes = b"") -> None:
        self._is_here = self._has_value = not _reference
        self._value = value
        self._digest = _reference[len(_REFERENCE_MARK) :]
        self._content: Content | None = find_content(self._digest) if _reference else None

    @property
    def value(self) -> T:
        """The object.

        Raises:
            SharedMissing: It is not here.
        """
        if self._has_value:
            return self._value
        content = self._content or find_content(self._digest)
        if content is None:
            raise SharedMissing(
                f"the shared object {self._digest.hex()[:8]} is not here",
                hint="Keep the Shared while it is used, and hand it to each task that uses it.",
            )
        self._content = content
        # Kept, as loops ask again and again: a handle is unpickled together with the code that uses it.
        self._value = cast("T", content.value(_active_code()))
        self._has_value = True
        return self._value

    def content(self) -> Content:
        """What travels; made when it is first asked for.

        Raises:
            PackingError: The object cannot be pickled; the text names the part.
            SharedMissing: It came from elsewhere, and is not here.
        """
        if self._content is None:
            with _lock:
                if self._content is None and self._is_here:
                    self._content = Content.of(self._value)
                elif self._content is None:
                    self._content = find_content(self._digest)
        if self._content is None:
            raise SharedMissing(f"the shared object {self._digest.hex()[:8]} is not here any more")
        _note_use()
        return self._content

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        digest = self._digest if not self._is_here and self._content is None else self.content().digest
        return _rebuild, (_REFERENCE_MARK + digest,)

    def __repr__(self) -> str:
        what = type(self._value).__name__ if self._is_here else self._digest.hex()[:8]
        return f"<shared {what}>"


def _rebuild(reference: bytes) -> Shared[Any]:
    handle: Shared[Any] = Shared(None, _reference=reference)
    return handle


def is_alive(digest: bytes) -> bool:
    """Whether anybody in this process may still use the object of this name."""
    return digest in _contents


def find_content(digest: bytes) -> Content | None:
    """The content of this name, if it is in this process."""
    content = _contents.get(digest)
    if content is None:
        content = next((found for store in list(_stores) if (found := store.content(digest)) is not None), None)
    return content


def find_contents(pickled: Frame) -> Iterator[Content]:
    """The shared objects that a pickle refers to, in the order of their names; those within them are left out.

    Costs nothing in a process in which nothing is shared, and elsewhere one search through the bytes.
    """
    if not is_used:
        return
    for digest in sorted(_references(pickled)):
        content = find_content(digest)
        if content is not None:  # otherwise it is gone, or data that looks like a reference; its user will know
            yield content


def _references(pickled: Frame) -> set[bytes]:
    found: set[bytes] = set()
    text = pickled if isinstance(pickled, bytes) else bytes(pickled)
    position = text.find(_REFERENCE_MARK)
    while position >= 0:
        position += len(_REFERENCE_MARK)
        found.add(text[position : position + 16])
        position = text.find(_REFERENCE_MARK, position)
    return found


def with_nested(contents: Iterable[Content]) -> list[Content]:
    """These contents and those within them, each once."""
    found: dict[bytes, Content] = {}
    waiting = list(contents)
    while waiting:
        content = waiting.pop()
        if content.digest not in found:
            found[content.digest] = content
            waiting.extend(content.nested)
    return [found[digest] for digest in sorted(found)]


class SharedStore:
    """The blobs of shared objects that arrived in this process, and what was made of them.

    Args:
        importer: Tells which code is active: ``active`` of a ``BundleImporter``.
    """

    def __init__(self, importer: Any) -> None:
        self._importer = importer
        self._blobs: dict[bytes, Frame | None] = {}  # None once a content holds it
        self._opened: dict[bytes, Content] = {}
        _stores.add(self)

    def __contains__(self, digest: object) -> bool:
        return digest in self._blobs

    @property
    def code(self) -> object:
        """What the classes of an object that is unpickled now are imported from."""
        return self._importer.active

    def add(self, digest: bytes, blob: Frame) -> None:
        """Keep a blob.

        Raises:
            ProtocolError: The bytes are not those that the digest names.
        """
        _note_use()
        if bundle_digest(blob) != digest:
            raise ProtocolError(f"the bytes of the shared blob {digest.hex()} do not match its digest")
        if digest not in self._blobs:
            self._blobs[digest] = blob

    def content(self, digest: bytes) -> Content | None:
        """The object of this name; None if a part of it is not here.

        Raises:
            ProtocolError: Its head is malformed.
        """
        opened = self._opened.get(digest)
        head = self._blobs.get(digest)
        if opened is not None or head is None:
            return opened
        blobs = {each: blob for each, blob in self._blobs.items() if blob is not None}
        try:
            parts = put_together(head, blobs)
        except KeyError:
            return None
        content = self._opened[digest] = Content(digest, parts)
        _contents[digest] = content
        for each in (digest, *read_head(head).pieces):
            self._blobs[each] = None
        return content

    def keep(self, digests: Iterable[bytes]) -> None:
        """Drop all blobs but these, and the objects that were made of others."""
        needed = set(digests)
        self._blobs = {digest: blob for digest, blob in self._blobs.items() if digest in needed}
        self._opened = {digest: content for digest, content in self._opened.items() if digest in needed}


def _active_code() -> object:
    return next((store.code for store in list(_stores)), ())


def refers_to_absent(pickled: bytes) -> bool:
    """Whether a pickle refers to a shared object that is not in this process."""
    return _REFERENCE_MARK in pickled and any(find_content(digest) is None for digest in _references(pickled))

"""The bytes of shared objects: one *head*, and the *pieces* that it says how to put together. Pure.

The marks at the beginning of the blobs cannot be those of a bundle of modules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from concurrence.errors import ProtocolError
from concurrence.wire.codec import Frame, frame_size
from concurrence.wire.digests import bundle_digest
from concurrence.wire.messages import Digest, Number

PIECE_BYTES = 16 * 1024 * 1024
"""Larger objects travel in pieces: the link shows signs of life between them."""

HEAD_MARK: Final = b"\xc1shared head \xc1\x00\x01"
_PIECE_MARK: Final = b"\xc1shared piece\xc1\x00\x01"  # of 16 bytes, as the key: what follows is aligned
_MAX_PIECES: Final = 65_536


class _Head(Struct, frozen=True, array_like=True):
    """How the pieces are put together.

    Attributes:
        key: Hash of the whole content; each piece begins with it, so that no two objects have pieces in common.
        sizes: Bytes of the pickled object and of each of its out-of-band buffers.
        pieces: The pieces of the first, then those of the second, and so on.
    """

    key: Digest
    sizes: Annotated[list[Number], Meta(min_length=1, max_length=_MAX_PIECES)]
    pieces: Annotated[list[Digest], Meta(max_length=_MAX_PIECES)]


class Blob(Struct, frozen=True):
    """One blob with its hash."""

    digest: bytes
    blob: bytes


_encoder = msgspec.msgpack.Encoder()
_head_decoder = msgspec.msgpack.Decoder(_Head)


def is_shared(blob: Frame) -> bool:
    """Whether a blob is a head or a piece, rather than a bundle of modules."""
    return bytes(blob[:16]) in (HEAD_MARK, _PIECE_MARK)


def cut(parts: Sequence[Frame]) -> tuple[Blob, ...]:
    """The head, and the pieces, each once."""
    hashed = blake2b(_encoder.encode([frame_size(part) for part in parts]), digest_size=16)
    for part in parts:
        hashed.update(part)
    prefix = _PIECE_MARK + hashed.digest()
    pieces: dict[bytes, Blob] = {}
    order: list[bytes] = []
    for part in parts:
        view = memoryview(part).cast("B")
        for start in range(0, view.nbytes, PIECE_BYTES):
            blob = b"".join((prefix, view[start : start + PIECE_BYTES]))
            piece = Blob(bundle_digest(blob), blob)
            order.append(piece.digest)
            pieces.setdefault(piece.digest, piece)
    head = HEAD_MARK + _encoder.encode(_Head(hashed.digest(), [frame_size(part) for part in parts], order))
    return (Blob(bundle_digest(head), head), *pieces.values())


def read_head(blob: Frame) -> _Head:
    """What a head says.

    Raises:
        ProtocolError: It is none.
    """
    try:
        return _head_decoder.decode(blob[len(HEAD_MARK) :])
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"the head of a shared object is malformed: {error}") from error


def put_together(head: Frame, blobs: Mapping[bytes, Frame]) -> list[Frame]:
    """The parts in read-only memory; those of one piece are views of it.

    Raises:
        KeyError: A piece is not there.
        ProtocolError: The pieces are not what the head says.
    """
    described = read_head(head)
    counts = [-(-size // PIECE_BYTES) for size in described.sizes]
    if sum(counts) != len(described.pieces):
        raise ProtocolError("the head of a shared object does not fit its pieces")
    parts: list[Frame] = []
    for (start, end), size in zip(pairwise(accumulate(counts, initial=0)), described.sizes, strict=True):
        views = [memoryview(blobs[digest])[32:] for digest in described.pieces[start:end]]
        if sum(view.nbytes for view in views) != size:
            raise ProtocolError("the pieces of a shared object have another size than its head says")
        if len(views) == 1:
            parts.append(views[0].toreadonly())
            continue
        whole = memoryview(bytearray(size))
        position = 0
        for view in views:
            whole[position : position + view.nbytes] = view
            position += view.nbytes
        parts.append(whole.toreadonly())
    return parts

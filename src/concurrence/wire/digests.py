"""The hashes by which code is known: made where it is packed, checked wherever it arrives, without loading it."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from concurrence.wire.codec import Frame
from concurrence.wire.messages import Requirement

_encoder = msgspec.msgpack.Encoder()


def bundle_digest(blob: Frame) -> bytes:
    """The hash by which a bundle is known."""
    return blake2b(blob, digest_size=16).digest()


def function_digest(
    name: str,
    kind: int,
    python: str,
    bundles: list[bytes],
    requirements: list[Requirement],
    blob: Frame,
) -> bytes:
    """The hash by which a function is known: of everything that is sent of it."""
    described = _encoder.encode([name, kind, python, bundles, requirements])
    return blake2b(blob, digest_size=16, key=blake2b(described).digest()).digest()

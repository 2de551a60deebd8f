"""Pictures with a palette as PNG files (ISO/IEC 15948), with nothing but zlib."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

from concurrence.samples.whole_files import whole_file

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BIT_DEPTH, _PALETTE_COLOUR = 8, 3
_MAX_COLOURS = 256


def encode_png(rows: Sequence[bytes], palette: Sequence[tuple[int, int, int]], *, level: int = 9) -> bytes:
    """A picture as the bytes of a PNG file.

    Args:
        rows: The picture from top to bottom, one byte per pixel: the index of its colour.
        palette: The colours as red, green and blue; at most 256.
        level: From 1, quick and large, to 9.

    Raises:
        ValueError: There are no pixels, rows differ in length, or the palette lacks a colour or has too many.
    """
    if not rows or not rows[0] or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("a picture needs at least one row, and rows of one length, of at least one pixel")
    if len(palette) > _MAX_COLOURS:
        raise ValueError(f"{len(palette)} colours are too many: one byte per pixel tells {_MAX_COLOURS} apart")
    if (highest := max(map(max, rows))) >= len(palette):
        raise ValueError(f"a pixel has colour number {highest}, but the palette ends at {len(palette) - 1}")
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), _BIT_DEPTH, _PALETTE_COLOUR, 0, 0, 0)
    colours = b"".join(bytes(colour) for colour in palette)
    pixels = b"".join(b"\0" + row for row in rows)  # each row opens with its filter: none
    chunks = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", zlib.compress(pixels, level)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def write_png(
    path: Path, rows: Sequence[bytes], palette: Sequence[tuple[int, int, int]], *, level: int = 9
) -> None:
    """Write a picture so that ``path`` always holds a whole one: the old, or the new.

    Args:
        path: The file; replaced if it exists.
        rows: As for :func:`encode_png`.
        palette: As for :func:`encode_png`.
        level: As for :func:`encode_png`.

    Raises:
        ValueError: As for :func:`encode_png`.
        OSError: The file cannot be written.
    """
    data = encode_png(rows, palette, level=level)
    with whole_file(path) as file:
        file.write(data)


def _chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of the file: length, kind, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

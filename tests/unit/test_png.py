from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from concurrence.samples.png import encode_png, write_png

RGB = tuple[int, int, int]
PALETTE: list[RGB] = [(0, 0, 0), (255, 0, 0), (1, 2, 3)]
ROWS = [bytes([0, 1, 2, 1]), bytes([2, 2, 0, 0]), bytes([1, 0, 1, 0])]


def chunks(data: bytes) -> dict[bytes, bytes]:
    """The chunks of a PNG file, with signature and checksums verified."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found: dict[bytes, bytes] = {}
    place = 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, place + 8 + length)
        assert checksum == zlib.crc32(kind + body)
        assert kind not in found
        found[kind] = body
        place += 12 + length
    return found


def decode(data: bytes) -> tuple[list[bytes], list[RGB]]:
    """Rows and palette of a PNG file with 8-bit palette pixels and no filter."""
    found = chunks(data)
    assert list(found) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, *kind = struct.unpack(">IIBBBBB", found[b"IHDR"])
    assert kind == [8, 3, 0, 0, 0]
    pixels = zlib.decompress(found[b"IDAT"])
    assert len(pixels) == height * (width + 1)
    lines = [pixels[row * (width + 1) : (row + 1) * (width + 1)] for row in range(height)]
    assert {line[0] for line in lines} == {0}
    colours = found[b"PLTE"]
    palette = [(colours[i], colours[i + 1], colours[i + 2]) for i in range(0, len(colours), 3)]
    return [line[1:] for line in lines], palette


def test_what_is_encoded_can_be_decoded() -> None:
    assert decode(encode_png(ROWS, PALETTE)) == (ROWS, PALETTE)


def test_the_smallest_picture() -> None:
    assert decode(encode_png([b"\0"], PALETTE[:1])) == ([b"\0"], PALETTE[:1])


def test_all_256_colours() -> None:
    palette: list[RGB] = [(i, 255 - i, 7) for i in range(256)]
    assert decode(encode_png([bytes(range(256))], palette)) == ([bytes(range(256))], palette)


@pytest.mark.parametrize(
    ("rows", "palette", "text"),
    [
        ([], PALETTE, "at least one row"),
        ([b""], PALETTE, "at least one pixel"),
        ([b"\0\0", b"\0"], PALETTE, "one length"),
        ([b"\3"], PALETTE, "colour number 3"),
        ([b"\0"], [], "colour number 0"),
        ([b"\0"], PALETTE * 86, "258 colours"),
    ],
)
def test_what_cannot_be_a_picture_is_refused(rows: list[bytes], palette: list[RGB], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        encode_png(rows, palette)


def test_the_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_text("old")
    write_png(path, ROWS, PALETTE)
    assert path.read_bytes() == encode_png(ROWS, PALETTE)
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_png(path, ROWS, PALETTE)
    assert list(tmp_path.iterdir()) == [path]

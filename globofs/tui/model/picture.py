"""A small PNG as coloured half blocks, with nothing but zlib: a picture says more than its size.

Bounded: at most `PIXELS` pixels are unpacked; 8-bit grey, RGB, palette and their alpha forms,
not interlaced. Everything else yields nothing, and the caller describes the file instead.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

PIXELS: Final = 1_500_000
WIDTH: Final = 56  # cells of the picture
CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

Line = tuple[tuple[str, str], ...]


def half_blocks(data: bytes, width: int = WIDTH) -> Iterator[Line]:
    """Lines of `▀`, each span's style `#rrggbb on #rrggbb`."""
    try:
        wide, high, pixels = decode(data)
    except (ValueError, zlib.error, struct.error, IndexError):
        return
    columns = min(width, wide)
    step = wide / columns
    rows = max(1, int(high / step))
    rows += rows % 2
    for row in range(0, rows, 2):
        spans = []
        for column in range(columns):
            x = int((column + 0.5) * step)
            top = pixels[min(high - 1, int((row + 0.5) * step))][x]
            low = pixels[min(high - 1, int((row + 1.5) * step))][x]
            spans.append(("▀", f"rgb:{top}:{low}"))
        yield tuple(spans)


def decode(data: bytes) -> tuple[int, int, list[list[str]]]:
    """Width, height, and rows of `rrggbb`. Raises ValueError for what is not supported."""
    wide, high, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if depth != 8 or interlaced or colour not in CHANNELS or wide * high > PIXELS or not wide:
        raise ValueError("unsupported")
    packed, palette = bytearray(), b""
    place = 8
    while place + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + length]
        if kind == b"IDAT":
            packed += body
        elif kind == b"PLTE":
            palette = body
        place += 12 + length
    size = CHANNELS[colour]
    stride = wide * size
    raw = zlib.decompressobj().decompress(bytes(packed), (stride + 1) * high)
    if len(raw) < (stride + 1) * high:
        raise ValueError("cut short")
    rows = []
    above = bytearray(stride)
    for y in range(high):
        start = y * (stride + 1)
        line = bytearray(raw[start + 1 : start + 1 + stride])
        _unfilter(raw[start], line, above, size)
        rows.append(_colours(line, colour, palette, wide))
        above = line
    return wide, high, rows


def _unfilter(kind: int, line: bytearray, above: bytearray, size: int) -> None:
    if kind == 0:
        return
    for i in range(len(line)):
        left = line[i - size] if i >= size else 0
        up = above[i]
        if kind == 1:
            add = left
        elif kind == 2:
            add = up
        elif kind == 3:
            add = (left + up) // 2
        else:
            corner = above[i - size] if i >= size else 0
            guess = left + up - corner
            near = (abs(guess - left), abs(guess - up), abs(guess - corner))
            add = (left, up, corner)[near.index(min(near))]
        line[i] = (line[i] + add) & 255


def _colours(line: bytearray, colour: int, palette: bytes, wide: int) -> list[str]:
    if colour == 3:
        return [palette[3 * i : 3 * i + 3].hex() or "000000" for i in line]
    size = CHANNELS[colour]
    if size <= 2:
        return [bytes((line[x * size],) * 3).hex() for x in range(wide)]
    return [line[x * size : x * size + 3].hex() for x in range(wide)]

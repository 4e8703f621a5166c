"""Random changes of files, all from one generator of random numbers."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Sequence

# Numbers at which sizes and signs go over.
EDGES = (
    *(0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF),
    *(2**62, 2**63 - 1, 2**64 - 1),
)
WORDS = (
    *("null", "true", "[]", "{}", '""', "0", "-1", "1e999", "-1e999", "NaN", "Infinity", "1e-400", "0.5"),
    *("9" * 400, "9" * 5000, "a" * 300, '"\\ud800"', '"\\u0000"', '"../../../etc/passwd"', '"/etc/passwd"'),
    *("'", '"', ",", "\x00", "\ufeff", "\x1b[2J", "&a", "*a", "? ", "<<: *a", "- - - -", "&lol;"),
    *("!!python/object/apply:os.system ['true']", '<!DOCTYPE x [<!ENTITY lol "lol">]>'),
    *("<object>", "</object>", "]]>", "nan", "inf", "1_0", "0x10", "\u0663", "../..", "*", "[", "a/b"),
    *(f"{2**n}" for n in (31, 32, 53, 63, 64, 128)),
)
DEEP = (("[", "]"), ('{"a":', "}"), ("<a>", "</a>"), ("- ", ""), ("(", ")"))
# A number, a quoted text or a name.
TOKEN = re.compile(rb'-?\d+(?:\.\d+)?(?:e-?\d+)?|"[^"\n]{0,80}"|[A-Za-z_]+')


def mutate(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Returns ``data`` with one to six changes; parts may come from ``others``."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        data = rng.choice(_CHANGES)(data, others, rng)
    return data[: 1 << 20]


def _place(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 2, 4, 8, 16, 64, 256)))


def _flip(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8)) if data else 0):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _noise(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    start, end = _place(data, rng)
    return data[:start] + rng.randbytes(end - start) + data[end:]


def _cut(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    start, end = _place(data, rng)
    return data[:start] if rng.random() < 0.2 else data[:start] + data[end:]


def _repeat(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    start, end = _place(data, rng)
    return data[:start] + data[start:end] * rng.choice((2, 2, 3, 3, 50, 1000)) + data[end:]


def _splice(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    other = rng.choice(others) if others else data
    (start, end), (first, last) = _place(data, rng), _place(other, rng)
    return data[:start] + other[first:last] + data[end:]


def _edge(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    layout = rng.choice(("<B", "<H", "<I", "<Q", ">I", ">Q"))
    size = struct.calcsize(layout)
    start, number = rng.randrange(len(data) + 1), rng.choice(EDGES) & ((1 << 8 * size) - 1)
    return data[:start] + struct.pack(layout, number) + data[start + size :]


def _token(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    found = [match.span() for match in TOKEN.finditer(data[: 1 << 16])]
    if not found:
        return _noise(data, others, rng)
    start, end = rng.choice(found)
    if rng.random() < 0.3:
        first, last = rng.choice(found)
        return data[:start] + data[first:last] + data[end:]
    return data[:start] + rng.choice(WORDS).encode("utf-8", "surrogatepass") + data[end:]


def _nest(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    opening, closing = rng.choice(DEEP)
    depth, (start, end) = rng.choice((2, 5, 5, 100, 100, 2000, 50000)), _place(data, rng)
    nest = (opening * depth).encode() + data[start:end] + (closing * depth).encode()
    return data[:start] + nest + data[end:]


_CHANGES: tuple[Callable[[bytes, Sequence[bytes], random.Random], bytes], ...] = (
    *(_flip, _noise, _cut, _repeat, _splice, _edge, _token, _token, _token, _nest),
)


def shrink(data: bytes, same: Callable[[bytes], bool], tries: int = 400) -> bytes:
    """Returns a part of ``data`` for which ``same`` still holds, as small as so many tries find it.

    Pieces are left out, first halves of it, then ever smaller ones.
    """
    size = max(1, len(data) // 2)
    while tries > 0:
        start = 0
        while start < len(data) and tries > 0:
            shorter = data[:start] + data[start + size :]
            tries -= 1
            if same(shorter):
                data = shorter
            else:
                start += size
        if size == 1:
            break
        size //= 2
    return data

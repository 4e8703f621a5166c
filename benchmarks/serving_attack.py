"""What a server must bear: damaged images, wrong requests, clients that leave or are slow. See serving.py."""

from __future__ import annotations

import contextlib
import io
import random
import socket
from collections import Counter
from collections.abc import Iterator, Sequence

from serving_load import PATH, ask, photos


def mutated(pictures: Sequence[bytes], count: int) -> Iterator[bytes]:
    """Yields damaged pictures: bytes changed, cut out, doubled, or cut off, seldom in front."""
    rng = random.Random(0)
    for _ in range(count):
        data = bytearray(rng.choice(pictures))
        for _ in range(rng.randint(1, 8)):
            place = min(rng.randrange(len(data)), rng.randrange(len(data)))
            length = rng.choice((1, 1, 1, 4, 64))
            kind = rng.randrange(4)
            if kind == 0:
                data[place : place + length] = rng.randbytes(length)
            elif kind == 1 and len(data) > 100:
                del data[place : place + length]
            elif kind == 2:
                data[place:place] = data[place : place + length]
            elif rng.random() < 0.2 and place > 10:
                del data[place:]
        yield bytes(data)


def every_format() -> list[bytes]:
    """Returns a small picture in each of the formats that Pillow writes here."""
    from PIL import Image

    picture = Image.open(io.BytesIO(photos(1, (96, 72))[0]))
    found = []
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF"):
        buffer = io.BytesIO()
        with contextlib.suppress(OSError, KeyError):
            picture.save(buffer, kind)
            found.append(buffer.getvalue())
    return found


def wrong_requests() -> Iterator[tuple[bytes, str, dict[str, str]]]:
    """Yields bodies, paths and headers that no client should send."""
    picture = photos(1, (96, 72))[0]
    for value in ("1e999", "%00", "", "-1", "0.5&url=x"):
        yield picture, f"/v1/detect?score_threshold={value}", {}
    for path in ("/v1/detect/../x", "/v1/detect%", "/v1/detect/"):
        yield picture, path, {}
    for kind in ("", "x", "multipart/form-data", "multipart/form-data; boundary=", "image/png; charset=\xff"):
        yield picture, PATH, {"Content-Type": kind}
    for accept in ("", ";", "*/*;q=", "image/png;q=nan", "a/b", ",,,", "*/*;q=-1"):
        yield picture, PATH, {"Accept": accept}
    nameless = b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--\r\n"
    for part in (b"--x\r\n", nameless, b"--x--", b"\r\n" * 99):
        yield part, PATH, {"Content-Type": "multipart/form-data; boundary=x"}
    head = b'--x\r\nContent-Disposition: form-data; name="\xff"; filename="\xff\x00"\r\n\r\n'
    yield head + picture + b"\r\n--x--\r\n", PATH, {"Content-Type": "multipart/form-data; boundary=x"}


def attack(port: int, count: int) -> Counter[int]:
    """Sends damaged pictures and wrong requests, and returns how often each status was answered."""
    seen: Counter[int] = Counter()
    for body in mutated(every_format(), count):
        seen[ask(port, body)[0]] += 1
    for body, path, headers in wrong_requests():
        seen[ask(port, body, path, **headers)[0]] += 1
    return seen


def leave(port: int, count: int) -> list[socket.socket]:
    """Has clients leave amid their request and before its answer; returns as many that never finish one."""
    picture = photos(1)[0]
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
    slow = []
    for number in range(count):
        for body in (picture, picture[:1000]):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(head + body)
        slow.append(socket.create_connection(("127.0.0.1", port)))
        slow[-1].sendall((head + picture)[: 30 * number])
    return slow

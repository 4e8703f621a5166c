"""Looking at image files without decoding them."""

import io
import os
import threading

import numpy as np
import pytest
from PIL import Image
from small import picture

from gluon_ssd.data.check.image_files import (
    CORRUPT,
    EMPTY,
    FINE,
    MISSING,
    FileFacts,
    look_at,
    same_content,
    scan_files,
)
from gluon_ssd.data.images import stored_size


class Counter:
    """Progress that counts."""

    def __init__(self):
        self.done = 0

    def advance(self, count):
        self.done += count


def encoded(kind, width=64, height=48, **options):
    buffer = io.BytesIO()
    Image.fromarray(picture(width, height)).save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation=6, padding=0):
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010E] = "x" * padding
    return tags


def noise(width, height, kind="JPEG"):
    buffer = io.BytesIO()
    pixels = np.random.RandomState(0).randint(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


THUMBNAIL = encoded("JPEG", 16, 16)


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize(
    ("content", "state", "size"),
    [
        (encoded("JPEG"), FINE, (64, 48)),
        (encoded("JPEG", progressive=True), FINE, (64, 48)),
        (encoded("JPEG", exif=exif()), FINE, (64, 48)),
        (encoded("JPEG", exif=exif(padding=30000)), FINE, (64, 48)),
        (encoded("PNG"), FINE, (64, 48)),
        (encoded("BMP"), FINE, (64, 48)),
        (encoded("JPEG") + b"appended by a camera", FINE, (64, 48)),
        (noise(200, 300), FINE, (200, 300)),
        (noise(200, 300, "PNG"), FINE, (200, 300)),
        (noise(200, 300)[:-2], CORRUPT, (200, 300)),
        (noise(200, 300)[:6000], CORRUPT, (200, 300)),
        (noise(200, 300, "PNG")[:6000], CORRUPT, (200, 300)),
        (encoded("JPEG")[:30], CORRUPT, None),
        (encoded("PNG")[:20], CORRUPT, None),
        (b"", EMPTY, None),
        (b"no picture", CORRUPT, None),
        (b"\xff\xd8", CORRUPT, None),
    ],
)
def test_state_and_size(tmp_path, content, state, size, decode):
    path = tmp_path / "a: b.jpg"
    path.write_bytes(content)
    facts = look_at(path, decode)
    assert (facts.state, facts.size, facts.length) == (state, size, len(content)), facts
    assert bool(facts.why) == (state != FINE)
    assert "a: b" not in facts.why


def test_the_size_in_an_embedded_preview_is_not_the_size():
    data = encoded("JPEG")
    preview = b"\xff\xe1" + (len(THUMBNAIL) + 2).to_bytes(2, "big") + THUMBNAIL
    assert stored_size(data[:2] + preview + data[2:]) == (64, 48)


def test_an_end_marker_in_an_embedded_preview_is_not_the_end(tmp_path):
    data = noise(200, 300)
    preview = b"\xff\xe1" + (len(THUMBNAIL) + 2).to_bytes(2, "big") + THUMBNAIL
    (tmp_path / "cut.jpg").write_bytes(data[:2] + preview + data[2:9000])
    assert look_at(tmp_path / "cut.jpg").state == CORRUPT


@pytest.mark.parametrize("name", ["gone.jpg", "a\0b.jpg", "folder", "pipe"])
def test_what_cannot_be_opened_is_missing(tmp_path, name):
    (tmp_path / "folder").mkdir()
    # Whoever opens a pipe that nobody writes to waits for ever.
    os.mkfifo(tmp_path / "pipe")
    assert look_at(tmp_path / name).state == MISSING


def test_decoding_finds_what_the_header_does_not(tmp_path):
    data = bytearray(encoded("PNG"))
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    (tmp_path / "a.png").write_bytes(data)
    assert look_at(tmp_path / "a.png").state == FINE
    assert look_at(tmp_path / "a.png", decode=True).state == CORRUPT


def test_scanning_keeps_the_order_and_leaves_no_thread(tmp_path):
    before = set(threading.enumerate())
    paths = [tmp_path / f"{k}.jpg" for k in range(600)]
    for k, path in enumerate(paths):
        path.write_bytes(b"" if k % 7 == 0 else b"x" * (k + 1))
    counter = Counter()
    facts = scan_files(paths, 3, counter)
    assert [fact.length for fact in facts] == [0 if k % 7 == 0 else k + 1 for k in range(600)]
    assert counter.done == 600
    assert set(threading.enumerate()) <= before
    assert facts[0] == FileFacts(EMPTY, "0 bytes")


def test_same_content_compares_only_files_of_one_length(tmp_path):
    contents = [b"aa", b"ab", b"aa", b"abc", b"ab", b"aa", b"x"]
    paths = []
    for k, content in enumerate(contents):
        paths.append(tmp_path / str(k))
        paths[-1].write_bytes(content)
    counter = Counter()
    assert same_content(paths, [len(c) for c in contents], 2, counter) == [[0, 2, 5], [1, 4]]
    assert counter.done == 5


def test_a_file_that_vanishes_is_no_double(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(b"same")
    paths = [tmp_path / name for name in "abc"]
    assert same_content(paths, [4, 4, 4], 1, Counter()) == [[0, 1]]

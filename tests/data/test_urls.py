"""Files from URLs: what is fetched, within which limits, and which addresses are never asked."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gluon_ssd.data import urls
from gluon_ssd.errors import UserError

PUBLIC = ("2606:4700:4700::1111", "8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::")
PRIVATE = (
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
    *("224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0"),
    *("fc00::1", "fec0::1", "ff02::1", "2001:db8::1", "4000::1", "::127.0.0.1", "::ffff:127.0.0.1"),
    *("::ffff:169.254.169.254", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "2002:7f00:1::"),
)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.server.asked.append((self.path, self.headers["Host"]))
        if name.startswith("to="):
            self.send_response(302)
            self.send_header("Location", name[3:])
            self.end_headers()
        elif name == "odd":
            self.wfile.write(b"\x1b[31m" + b"!" * 9000 + b"\r\n")
        elif name == "slow":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for _ in range(200):
                self.wfile.write(b"A: 1\r\n")
                time.sleep(0.05)
        else:
            self.send_response(404 if name == "gone" else 200)
            length = {"short": "999", "endless": None, "liar": "3"}.get(name, "5")
            if length:
                self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(b"hello" * (1000 if name == "endless" else 1))

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    """A server of this machine, whose addresses count as public here."""
    monkeypatch.setattr(urls, "is_public", lambda address: address in ("127.0.0.1", "::1"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.daemon_threads, found.block_on_close, found.asked = True, False, []
        found.url = f"http://127.0.0.1:{found.server_port}"
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def refused(url, path, words):
    with pytest.raises(UserError) as caught:
        urls.fetch_url(url, path)
    assert str(caught.value).startswith(f"{url}: ") and words in str(caught.value)
    assert len(str(caught.value)) < 2200
    assert list(path.parent.iterdir()) == []


def test_a_file_is_fetched_also_behind_redirections(server, tmp_path):
    for number, path in enumerate(("photo.jpg", "to=/photo.jpg", "to=/to=/a%20b?c=d e\u00e9#f")):
        urls.fetch_url(f"{server.url}/{path}", tmp_path / str(number))
        assert (tmp_path / str(number)).read_bytes() == b"hello"
    assert ("/photo.jpg", f"127.0.0.1:{server.server_port}") in server.asked


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("gone", "the server answers 404 Not Found"),
        ("odd", "cannot be fetched: \\x1b[31m!!!"),
        ("short", "cannot be fetched: the connection broke off after 5 bytes"),
        ("to=/to=/to=/to=/to=/to=/to=/x", "redirected more than 5 times"),
        ("to=file:///etc/passwd", "file: only http:// and https:// are fetched"),
        ("to=http://10.0.0.1/x", "10.0.0.1 has the address 10.0.0.1, and only public addresses are"),
        ("to=http://0x7f.2/x", "0x7f.2 has the address 127.0.0.2, and only public"),
        ("to=http://[::ffff:10.0.0.1]/x", "and only public addresses are fetched"),
    ],
)
def test_what_cannot_be_fetched(server, tmp_path, path, words):
    refused(f"{server.url}/{path}", tmp_path / "x", words)


def test_a_file_has_a_largest_size_whatever_the_server_announces(server, tmp_path, monkeypatch):
    monkeypatch.setattr(urls, "MOST_BYTES", 2000)
    refused(f"{server.url}/endless", tmp_path / "x", "larger than 0.002 MB, which is the limit")
    urls.fetch_url(f"{server.url}/liar", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"hel"


def test_a_server_that_sends_drop_by_drop_is_left(server, tmp_path, monkeypatch):
    monkeypatch.setattr(urls, "TOTAL_SECONDS", 0.3)
    start = time.monotonic()
    refused(f"{server.url}/slow", tmp_path / "x", "took too long")
    assert time.monotonic() - start < 8


def test_nobody_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(urls, "is_public", lambda address: True)
    monkeypatch.setattr(urls, "SILENT_SECONDS", 0.1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused(f"http://127.0.0.1:{closed.getsockname()[1]}/", tmp_path / "x", "Connection refused")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        refused(f"https://127.0.0.1:{silent.getsockname()[1]}/", tmp_path / "x", "took too long")


def test_a_name_is_looked_up_once_and_all_its_addresses_count(server, tmp_path, monkeypatch):
    """A name server may give a public address to who checks, and a private one to who asks again."""
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    def look_up(host, port, **options):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in answers.pop(0)]

    monkeypatch.setattr(urls.socket, "getaddrinfo", look_up)
    url = f"http://rebound.example:{server.server_port}/photo.jpg"
    urls.fetch_url(url, tmp_path / "x")
    assert answers == [["10.0.0.1"]] and server.asked == [("/photo.jpg", url.split("/")[2])]
    (tmp_path / "x").unlink()
    answers[:] = [["127.0.0.1", "10.0.0.1"]]
    refused(url, tmp_path / "x", "rebound.example has the address 10.0.0.1")


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_an_address_of_ipv6_without_a_port(scheme, port, tmp_path, monkeypatch):
    """Its last part is no port."""
    asked = []

    def look_up(host, port, **options):
        asked.append((host, port))
        return []

    monkeypatch.setattr(urls.socket, "getaddrinfo", look_up)
    refused(f"{scheme}://[2606:4700:4700::1111]/x", tmp_path / "x", "has no address")
    assert asked == [("2606:4700:4700::1111", port)]


@pytest.mark.parametrize(
    "addresses", [dict.fromkeys(PUBLIC, True), dict.fromkeys(PRIVATE, False)], ids=["public", "private"]
)
def test_which_addresses_are_public(addresses):
    assert {address: urls.is_public(address) for address in addresses} == addresses


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://a.example/x", "ftp: only http:// and https://"),
        ("http://", "only http:// and https://"),
        ("http://a.example:99999/x", "out of range"),
        ("http://[::1/x", "Invalid IPv6 URL"),
        ("http://169.254.169.254/latest", "only public addresses"),
        ("http://[::1]:80/x", "only public addresses"),
        ("https://user:word@a.example/x", "user names and passwords are not sent"),
    ],
)
def test_what_is_refused_without_asking_anyone(url, words):
    with pytest.raises(UserError, match=words.replace("[", r"\[")) as caught:
        urls.check_url(url)
    assert str(caught.value).startswith(f"{url}: ")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.example/b/c%20d.jpg?e=f/g.png", "c_d.jpg"),
        ("https://a.example/..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("https://a.example", "image"),
        ("https://a.example/.%2e", "image"),
        (f"https://a.example/{'图' * 90}.jpg", f"{'图' * 46}.jpg"),
    ],
)
def test_names_of_files(url, name):
    assert urls.file_name(url) == name


def test_what_is_a_url():
    known = {"https://a/b.jpg": True, "s3://a/b": True, "C://a/b.jpg": False, "a/b.jpg": False, "-": False}
    assert {text: urls.is_url(text) for text in known} == known

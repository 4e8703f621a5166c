"""Fetches files that a user names by URL, from public addresses alone and within limits."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import string
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit, urlunsplit

from ..errors import UserError, one_line
from ..files import atomic_write
from ..version import __version__

# The largest file, in bytes; the longest time for it, and without a byte of it, in seconds; the most
# redirections.
MOST_BYTES = 100_000_000
TOTAL_SECONDS = 60.0
SILENT_SECONDS = 10.0
MOST_REDIRECTIONS = 5
_REDIRECTIONS = (301, 302, 303, 307, 308)
_BLOCK = 1 << 16
# The addresses of IPv6 that were given out so far. Those of IPv4 that a network translates lie in the other.
_IPV6 = ipaddress.ip_network("2000::/3")
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


def is_url(source: str) -> bool:
    """Returns whether ``source`` is a URL of any kind."""
    # A single letter is a drive of Windows.
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source) is not None


def check_url(url: str) -> None:
    """Raises UserError for a URL that is never fetched, as far as it can be told from the URL alone."""
    try:
        _split(url)
    except ValueError as error:
        raise UserError(f"{url}: {error}") from None


def file_name(url: str) -> str:
    """Returns the last part of a URL's path as a file name that is harmless on every system."""
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    # A character may take four bytes, and systems allow 255 of them with what is put around the name.
    return re.sub(r"[^\w.-]", "_", name)[-50:].lstrip(".") or "image"


def fetch_url(url: str, path: Path) -> None:
    """Writes what ``url`` holds to ``path``, whole or not at all.

    Raises UserError where it cannot be had, is larger than `MOST_BYTES`, takes longer than `TOTAL_SECONDS`,
    is neither http nor https, or leads to an address that is not public.
    """
    deadline = time.monotonic() + TOTAL_SECONDS
    with atomic_write(path) as temporary, temporary.open("wb") as file, _opened(url, deadline) as response:
        size = 0
        while block := response.read(_BLOCK):
            size += len(block)
            if size > MOST_BYTES:
                raise UserError(f"{url}: larger than {MOST_BYTES / 1e6:g} MB, which is the limit")
            file.write(block)
        # Where the connection ends before the file does, or is cut, `read` only returns less.
        if response.length or time.monotonic() >= deadline:
            raise ConnectionError(f"the connection broke off after {size} bytes")


@contextlib.contextmanager
def _opened(url: str, deadline: float) -> Iterator[http.client.HTTPResponse]:
    """Holds the answer with the file, behind any redirections.

    Raises UserError for whatever goes wrong until the block is left.
    """
    place = url
    try:
        for _ in range(MOST_REDIRECTIONS + 1):
            with _asked(place, deadline) as response:
                if response.status not in _REDIRECTIONS:
                    if response.status != 200:
                        # The words are ours, since the server's own could hold anything.
                        words = http.client.responses.get(response.status, "")
                        raise UserError(f"{url}: the server answers {response.status} {words}".rstrip())
                    yield response
                    return
                place = urljoin(place, response.getheader("Location", ""))
        raise UserError(f"{url}: redirected more than {MOST_REDIRECTIONS} times")
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, socket.timeout) or time.monotonic() >= deadline:
            raise UserError(f"{url}: took too long; fetch it by other means and name the file") from None
        # It may quote what the server has sent.
        reason = one_line(getattr(error, "strerror", None) or error)
        raise UserError(f"{url}: cannot be fetched: {reason}") from None


@contextlib.contextmanager
def _asked(url: str, deadline: float) -> Iterator[http.client.HTTPResponse]:
    """Holds the answer of one server, whose connection is cut at the ``deadline``."""
    parts, host = _split(url)
    tls = parts.scheme == "https"
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    # Without a port, http.client would take one from the end of an address of IPv6.
    connection = kind(host, parts.port or kind.default_port)
    sock = _connect(host, connection.port, deadline)
    if tls:
        sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
    # A connection that is open already is used as it is: the name is not looked up again.
    connection.sock = sock
    # The time-out of a socket begins anew with every byte that a slow server sends.
    cut = threading.Timer(max(0.0, deadline - time.monotonic()), _cut, [sock])
    cut.start()
    try:
        connection.request("GET", _target(parts), headers={"User-Agent": f"gluon_ssd/{__version__}"})
        with connection.getresponse() as response:
            yield response
    finally:
        cut.cancel()
        connection.close()


def _split(url: str) -> tuple[SplitResult, str]:
    """Returns the parts of a URL and its host. Raises ValueError for what is never fetched."""
    parts = urlsplit(url)
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"{parts.scheme}: only http:// and https:// are fetched, with the name of a host")
    if parts.port == 0:
        raise ValueError("there is no port 0")
    if "@" in parts.netloc:
        raise ValueError("user names and passwords are not sent; fetch it by other means and name the file")
    if re.fullmatch(r"\d+\.\d+\.\d+\.\d+|.*:.*", host):
        _refuse_private(host, host)
    return parts, host


def _connect(host: str, port: int, deadline: float) -> socket.socket:
    """Returns a connection to ``host``. Raises ValueError where any of its addresses is not public.

    It connects to the very addresses that were checked: asked again, the same name may give others.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, place in found:
        _refuse_private(host, str(place[0]))
    problem = OSError(f"{host} has no address")
    for family, kind, protocol, _, place in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(min(SILENT_SECONDS, max(0.001, deadline - time.monotonic())))
            sock.connect(place)
            return sock
        except OSError as error:
            sock.close()
            problem = error
    raise problem


def _refuse_private(host: str, address: str) -> None:
    if not is_public(address):
        raise ValueError(f"{host} has the address {address}, and only public addresses are fetched from")


def is_public(address: str) -> bool:
    """Returns whether an IP address is one of the internet, not of this machine, its network, or reserved.

    Tests that fetch from a server of their own machine replace this function. There is no flag for it.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        # Addresses of IPv6 that stand for one of IPv4.
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if inner is None and found in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is None:
            return found in _IPV6 and found.is_global
        found = inner
    return found.is_global and not found.is_multicast


def _target(parts: SplitResult) -> str:
    """Returns path and query of a URL, with what may not stand in a request percent-encoded."""
    return quote(urlunsplit(("", "", parts.path or "/", parts.query, "")), safe=string.punctuation)


def _cut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Not the method of a TLS socket, which would take away what another thread is reading with.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)

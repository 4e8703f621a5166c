"""What goes around every request: the access log, the metrics and the token."""

from __future__ import annotations

import contextlib
import hmac
import json
import re
import sys
import time
import uuid
from collections.abc import Awaitable, MutableMapping
from datetime import datetime, timezone
from typing import Any, Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from .metrics import Metrics

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# What anyone may read: the page, what asks for the token, and what a load balancer asks.
OPEN = ("/", "/openapi.json", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Log:
    """One line of JSON per request on standard output, its metrics, and the header ``X-Request-ID``.

    A request's own id is kept where it is harmless, so that it can be followed through several servers.
    """

    def __init__(self, app: App, metrics: Metrics, paths: frozenset[str], quiet: bool) -> None:
        self._app, self._metrics, self._paths, self._quiet = app, metrics, paths, quiet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, sent = time.perf_counter(), 500, 0
        asked = Headers(scope=scope).get("x-request-id", "")
        request_id = asked if _REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - start
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.request(path, status, seconds)
            if not self._quiet:
                self._write(scope, request_id, status, seconds, sent)

    def _write(self, scope: Scope, request_id: str, status: int, seconds: float, sent: int) -> None:
        client = scope.get("client")
        line = {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "id": request_id,
            "client": client[0] if client else None,
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": round(seconds * 1e3, 1),
            "bytes": sent,
            # Set by the application, once it knows.
            "images": scope.get("images", 0),
        }
        # Where nobody reads the log any more, or its disk is full, the server goes on.
        with contextlib.suppress(OSError):
            # In one piece, because other workers write to the same place.
            print(f"{json.dumps(line)}\n", end="", file=sys.stdout, flush=True)


class Token:
    """Serves only requests that bring the token, as ``Authorization: Bearer TOKEN``; see `OPEN`."""

    def __init__(self, app: App, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request, or answers 401."""
        if scope["type"] == "http" and scope["path"] not in OPEN and not self._knows(Headers(scope=scope)):
            headers = {"WWW-Authenticate": "Bearer"}
            refusal = JSONResponse({"error": "a token is needed: Authorization: Bearer TOKEN"}, 401, headers)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _knows(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        # Always takes the same time, so that the token cannot be guessed letter by letter.
        return hmac.compare_digest(given.strip().encode(), self._token) and kind.lower() == "bearer"

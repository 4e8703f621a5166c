"""What a client asks for: its images, the score threshold, and the form of the answer; all of it checked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from ..errors import UserError
from ..values import Bounds, convert_text
from .pictures import Upload
from .settings import Settings

Result = TypeVar("Result")
JSON, JPEG, PNG = "application/json", "image/jpeg", "image/png"
# By media type: what Pillow calls the format, and None for JSON.
ANSWERS = {JSON: None, JPEG: "JPEG", PNG: "PNG"}
# Media types of a body that cannot be an image.
_REFUSED = ("application/json", "text/")
# nginx's status for a client that has left; nobody receives it, and the access log shows it.
CLIENT_LEFT = 499
# A client that is told no before it has sent everything often sees a broken connection instead of the answer.
# So the rest is read and dropped, up to so many times the limit. Who announces more is told at once.
_DROPPED = 4


async def read_uploads(request: Request, settings: Settings) -> list[Upload]:
    """Returns the images of a request, one or several.

    Raises HTTPException: 408 for a body that does not arrive in time, 413 for too much, 415 for what cannot
    be an image, 422 where there is no image.
    """
    kind = request.headers.get("content-type", "").lower()
    if kind.startswith(_REFUSED):
        raise HTTPException(415, "send an image as it is, or images as multipart/form-data")
    limited = Request(request.scope, _Limited(request, settings.max_bytes))
    if kind.startswith("multipart/form-data"):
        uploads = await _in_time(_read_form(limited, settings.max_images), settings)
    else:
        uploads = [Upload("image", await _in_time(limited.body(), settings))]
    if not uploads or not all(upload.data for upload in uploads):
        raise HTTPException(422, "no image: the body, or a file in it, is empty")
    return uploads


async def read_body(request: Request, settings: Settings) -> bytes:
    """Returns the whole body of a request. Raises HTTPException 408 and 413 as `read_uploads` does."""
    limited = Request(request.scope, _Limited(request, settings.max_bytes))
    return await _in_time(limited.body(), settings)


async def _in_time(reading: Awaitable[Result], settings: Settings) -> Result:
    """Returns what is read of a request. Raises HTTPException where it does not come, or not in time."""
    try:
        return await asyncio.wait_for(reading, settings.timeout)
    except asyncio.TimeoutError:
        raise HTTPException(408, f"the request did not arrive within {settings.timeout:g} s") from None
    except (FormParserError, UnicodeDecodeError):
        # Starlette before 1.0 does not answer these itself.
        raise HTTPException(400, "the form cannot be read") from None
    except ClientDisconnect:
        raise HTTPException(CLIENT_LEFT, "the client has left") from None


async def _read_form(request: Request, max_images: int) -> list[Upload]:
    form: FormData
    async with request.form(max_files=max_images, max_fields=max_images) as form:
        uploads = []
        for field, value in form.multi_items():
            if not isinstance(value, UploadFile):
                raise HTTPException(
                    422, f"the field {field!r} is not a file; send the image itself, not where it is"
                )
            uploads.append(Upload(_encodable(value.filename or "image"), await value.read()))
        return uploads


def _encodable(name: str) -> str:
    """Returns a name that UTF-8 can hold: the encoding of a form is the client's choice, as UTF-7 may be."""
    return name.encode("utf-8", "replace").decode("utf-8")


class _Limited:
    """The messages of a request's body, up to a number of bytes."""

    def __init__(self, request: Request, most: int) -> None:
        self._request, self._most, self._seen = request, most, 0

    async def __call__(self) -> Any:
        """Returns the next message. Raises HTTPException 413 where there are more bytes than allowed."""
        message = await self._next()
        if max(self._seen, self._announced()) > self._most:
            while message.get("more_body") and max(self._seen, self._announced()) <= _DROPPED * self._most:
                message = await self._next()
            raise HTTPException(413, f"a request has at most {self._most / 1e6:g} MB")
        return message

    async def _next(self) -> Any:
        message = await self._request.receive()
        self._seen += len(message.get("body", b""))
        return message

    def _announced(self) -> int:
        length = self._request.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else 0


def read_threshold(request: Request, lowest: float, default: float) -> float:
    """Returns the score threshold of a request. Raises HTTPException 400 for a wrong or unknown parameter."""
    unknown = sorted(set(request.query_params) - {"score_threshold"})
    if unknown:
        raise HTTPException(400, f"unknown parameter {unknown[0]!r}; there is score_threshold")
    given = request.query_params.getlist("score_threshold")
    return check_threshold(given[-1], lowest) if given else default


def check_threshold(given: str, lowest: float) -> float:
    """Returns a score threshold as a number. Raises HTTPException 400 unless it is from ``lowest`` to 1."""
    value = convert_text(given, "float", Bounds(low=lowest, below=1))
    if isinstance(value, UserError):
        raise HTTPException(400, f"score_threshold: {value}")
    return float(value)


def chosen_answer(request: Request) -> str:
    """Returns the media type of the answer that the client likes best, JSON where it likes all the same.

    Raises HTTPException 406 where it takes none.
    """
    accepted = request.headers.get("accept", "*/*")
    # Python's sort keeps the order of those that are liked the same.
    wanted = sorted((_weighted(item) for item in accepted.split(",")), key=lambda item: -item[1])
    for kind, weight in wanted:
        for answer in ANSWERS:
            family = answer.split("/")[0]
            if weight > 0 and kind in (answer, f"{family}/*", "*/*"):
                return answer
    raise HTTPException(406, f"answers are {', '.join(ANSWERS)}")


def _weighted(item: str) -> tuple[str, float]:
    kind, *parameters = (part.strip().lower() for part in item.split(";"))
    weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
    try:
        return kind, float(weight)
    except ValueError:
        return kind, 0.0


async def unless_left(request: Request, work: asyncio.Future[Result], seconds: float) -> Result:
    """Returns the result of ``work``, which is cancelled when the client leaves or the time is over.

    The body of the request has to be read by then. Raises HTTPException 499 and 503 for these.
    """
    left: asyncio.Future[None] = asyncio.ensure_future(_departure(request))
    both: list[asyncio.Future[Any]] = [work, left]
    try:
        await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        if left.done():
            raise HTTPException(CLIENT_LEFT, "the client has left")
        message = f"not done within {seconds:g} s; the server is busy"
        raise HTTPException(503, message, headers={"Retry-After": str(max(1, round(seconds)))})
    finally:
        work.cancel()
        left.cancel()


async def _departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

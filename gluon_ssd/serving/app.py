"""The routes of the server, as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ..detections import Detections
from ..errors import UserError
from ..machine import cores
from ..predict import Detector
from .batching import Batcher, Places, QueueFull
from .inference_v2 import HEADER, SERVER, Inference, answer_inference, describe, read_inference
from .metrics import Metrics
from .middleware import Log, Token
from .openapi import document
from .page import page
from .pictures import Reader, TooLarge, Upload, draw
from .requests import ANSWERS, JSON, chosen_answer, read_body, read_threshold, read_uploads, unless_left
from .settings import Settings, read_token


class Service:
    """A detector and what its requests share. ``threshold`` holds for requests that give none."""

    def __init__(self, detector: Detector, threshold: float, settings: Settings) -> None:
        self.detector, self.threshold, self.settings = detector, threshold, settings
        self.metrics = Metrics()
        self.reader = Reader(detector, settings.max_pixels)
        self.batcher = Batcher(detector, self.metrics.batch)
        self.places = Places(settings.queue, self.batcher)
        # Decoding needs the processor, so more threads than cores would only wait for each other.
        self.pool = ThreadPoolExecutor(cores(), "decoder")

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Warms the network up beside the first requests, and in the end waits for what still computes."""
        warming = asyncio.ensure_future(self.warm_up())
        yield
        warming.cancel()
        self.pool.shutdown()
        self.batcher.close()

    async def warm_up(self) -> None:
        """Has the network run once, which builds its graph."""
        with contextlib.suppress(Exception):  # what it was is in `Batcher.problem`
            await asyncio.wrap_future(self.batcher.submit(*self.reader.blank()))

    async def find(self, upload: Upload) -> tuple[Detections, tuple[int, int]]:
        """Returns the detections of an image and its (height, width). Raises UserError for other than one."""
        loop = asyncio.get_running_loop()
        ready = await loop.run_in_executor(self.pool, self.reader.read, upload)
        boxes, scores, class_ids = await asyncio.wrap_future(self.batcher.submit(ready.image, ready.size))
        return Detections(boxes, scores, class_ids, self.detector.classes, upload.name), ready.size

    async def detect(self, request: Request) -> Response:
        """Answers with the detections of one or several images, or with the annotated image of one."""
        answer = chosen_answer(request)
        threshold = read_threshold(request, self.detector.score_threshold, self.threshold)
        uploads = await read_uploads(request, self.settings)
        if ANSWERS[answer] and len(uploads) > 1:
            raise HTTPException(406, "several images are answered as JSON alone")
        return await self.queued(request, uploads, partial(self._answer, uploads, threshold, answer))

    async def queued(
        self, request: Request, uploads: list[Upload], work: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Returns the answer that ``work`` makes while the images have their places in the queue."""
        request.scope["images"] = len(uploads)
        with self.places.take(len(uploads)), self.metrics.waiting(len(uploads)):
            return await unless_left(request, asyncio.ensure_future(work()), self.settings.timeout)

    async def find_all(
        self, uploads: list[Upload], threshold: float
    ) -> list[tuple[Detections, tuple[int, int]]]:
        """Returns what `find` does for each image, without what scores less than the threshold."""
        every = await _all([self.find(upload) for upload in uploads])
        return [(found[found.scores >= threshold], size) for found, size in every]

    async def _answer(self, uploads: list[Upload], threshold: float, answer: str) -> Response:
        every = await self.find_all(uploads, threshold)
        if answer == JSON:
            images = [_as_json(found, size) for found, size in every]
            return JSONResponse(
                {"model": self.settings.name, "score_threshold": threshold, "images": images}
            )
        drawing = partial(draw, uploads[0], every[0][0], str(ANSWERS[answer]))
        content = await asyncio.get_running_loop().run_in_executor(self.pool, drawing)
        return Response(content, media_type=answer)

    async def infer(self, request: Request) -> Response:
        """Answers a request of KServe's protocol with the detections as tensors."""
        self.check_name(request)
        body = await read_body(request, self.settings)
        reading = partial(read_inference, body, request.headers.get(HEADER), self.detector.score_threshold)
        # Base64 takes a while, in which other requests are served.
        asked = await asyncio.get_running_loop().run_in_executor(self.pool, reading, self.settings)
        return await self.queued(request, asked.uploads, partial(self._infer, asked))

    async def _infer(self, asked: Inference) -> Response:
        threshold = self.threshold if asked.threshold is None else asked.threshold
        every = await self.find_all(asked.uploads, threshold)
        return answer_inference(asked, self.settings.name, [found for found, _ in every])

    def check_name(self, request: Request) -> None:
        """Raises HTTPException 404 where the path of a request names another model."""
        if request.path_params["name"] != self.settings.name:
            raise HTTPException(404, f"the model is {self.settings.name!r}")

    async def model_v2(self, request: Request) -> Response:
        """Answers with the inputs and outputs of the model, in KServe's protocol."""
        self.check_name(request)
        return JSONResponse(describe(self.settings.name))

    async def model_ready(self, request: Request) -> Response:
        """Answers whether the model is ready, in KServe's protocol."""
        self.check_name(request)
        return await self.ready(request)

    async def models(self, request: Request) -> Response:
        """Answers with what is served and what is accepted."""
        settings, detector = self.settings, self.detector
        height, width = detector.preprocess.size
        model = {
            "name": settings.name,
            "classes": list(detector.classes),
            "category_ids": [int(number) for number in detector.category_ids],
            "input": {"height": int(height), "width": int(width)},
            "runtime": settings.runtime,
            "precision": settings.precision,
            "score_threshold": self.threshold,
            "lowest_score_threshold": detector.score_threshold,
        }
        limits = {name: getattr(settings, name) for name in ("max_bytes", "max_pixels", "max_images")}
        return JSONResponse({"models": [model], "limits": limits})

    async def ready(self, request: Request) -> Response:
        """Answers whether the network works, which is tried where it has not run yet or has failed."""
        if self.batcher.problem is not None:
            await self.warm_up()
        if not self.batcher.alive or self.batcher.problem is not None:
            return _error(503, "the network does not run; the log tells why")
        return JSONResponse({"status": "ready"})


def create_app(detector: Detector, threshold: float, settings: Settings) -> Starlette:
    """Returns the application. Raises UserError for a token that cannot be read."""
    service = Service(detector, threshold, settings)
    api, html = document(settings, detector.score_threshold), page(detector.classes)
    token = read_token(settings)

    async def alive(request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def numbers(request: Request) -> Response:
        return Response(service.metrics.text(), media_type=service.metrics.content_type)

    async def openapi(request: Request) -> Response:
        return JSONResponse(api)

    async def index(request: Request) -> Response:
        return HTMLResponse(html.text, headers=html.headers)

    async def server_v2(request: Request) -> Response:
        return JSONResponse(SERVER)

    routes = [
        Route("/v1/detect", service.detect, methods=["POST"]),
        Route("/v1/models", service.models),
        Route("/v2", server_v2),
        Route("/v2/health/live", alive),
        Route("/v2/health/ready", service.ready),
        Route("/v2/models/{name}", service.model_v2),
        Route("/v2/models/{name}/ready", service.model_ready),
        Route("/v2/models/{name}/infer", service.infer, methods=["POST"]),
        Route("/healthz", alive),
        Route("/readyz", service.ready),
        Route("/metrics", numbers),
        Route("/openapi.json", openapi),
        Route("/", index),
    ]
    paths = frozenset(route.path.replace("{name}", settings.name) for route in routes)
    around = [Middleware(Log, metrics=service.metrics, paths=paths, quiet=not settings.access_log)]
    if settings.cors:
        allowed = {
            "allow_methods": ["GET", "POST"],
            "allow_headers": ["Authorization", "Content-Type", HEADER],
            # Without this a page cannot read them, and so not where the binary part of an answer begins.
            "expose_headers": [HEADER, "X-Request-Id", "Retry-After"],
        }
        around.append(Middleware(CORSMiddleware, allow_origins=list(settings.cors), **allowed))
    if token is not None:
        around.append(Middleware(Token, token=token))
    handlers: dict[Any, Any] = {
        HTTPException: _refused,
        UserError: _bad_image,
        QueueFull: _busy,
        Exception: _failed,
    }
    app = Starlette(
        routes=routes, middleware=around, exception_handlers=handlers, lifespan=service.lifespan
    )
    # A redirection would lead to the host that the client has named.
    app.router.redirect_slashes = False
    return app


async def _all(work: list[Any]) -> list[Any]:
    """Returns all results. Where one fails, the others are cancelled instead of being computed for nobody."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def _as_json(found: Detections, size: tuple[int, int]) -> dict[str, Any]:
    height, width = size
    return {"name": str(found.source), "width": width, "height": height, "detections": found.to_dict()}


def _error(status: int, text: str, headers: Any = None) -> Response:
    return JSONResponse({"error": text}, status, headers)


async def _refused(request: Request, error: HTTPException) -> Response:
    clearer = {
        "Not Found": "no such address; images go to /v1/detect, and /openapi.json lists all addresses",
        "Method Not Allowed": f"this address takes {(error.headers or {}).get('Allow')}",
    }
    return _error(error.status_code, clearer.get(error.detail, error.detail), error.headers)


async def _bad_image(request: Request, error: UserError) -> Response:
    return _error(413 if isinstance(error, TooLarge) else 422, str(error))


async def _busy(request: Request, error: QueueFull) -> Response:
    return _error(429, str(error), {"Retry-After": str(error.seconds)})


async def _failed(request: Request, error: Exception) -> Response:
    return _error(500, "the server failed; its log tells why")

"""Bodies of requests to a server: sound ones, and what reads them, which needs Starlette."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from sound_files import written


def inference(folder: Path) -> list[Path]:
    """Bodies of requests in the protocol of KServe, as JSON, and with the images behind it."""
    tensor = {"name": "images", "shape": [2], "datatype": "BYTES", "data": ["aGVsbG8=", "YQ=="]}
    outputs = [{"name": "boxes", "parameters": {"binary_data": True}}]
    content = {"id": "7", "inputs": [tensor], "outputs": outputs, "parameters": {"score_threshold": 0.5}}
    packed = {"name": "images", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 9}}
    head = json.dumps({**content, "inputs": [packed]})
    behind = f"{len(head)}LENGTH{head}\x05\0\0\0hello"
    return [written(folder / "body.json", content), written(folder / "behind.json", behind)]


def form(folder: Path) -> list[Path]:
    """The body of a request with two images, as browsers send them."""
    part = 'Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n'
    body = "".join(f"--BOUNDARY\r\n{part}\r\npicture {number}\r\n" for number in range(2))
    return [written(folder / "body.form", f"{body}--BOUNDARY--\r\n")]


def read_inference(folder: Path, path: Path) -> None:
    from gluon_ssd.serving.inference_v2 import read_inference
    from gluon_ssd.serving.settings import Settings

    # Where binary data are behind the JSON, a header tells its length, which is the first line here.
    length, _, body = path.read_bytes().rpartition(b"LENGTH")
    read_inference(body, length.decode("latin-1") if length else None, 0.1, Settings("m"))


def read_form(folder: Path, path: Path) -> None:
    from starlette.requests import Request

    from gluon_ssd.serving.requests import read_uploads
    from gluon_ssd.serving.settings import Settings

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": path.read_bytes(), "more_body": False}

    headers = [(b"content-type", b"multipart/form-data; boundary=BOUNDARY")]
    # Within an application, Starlette answers forms that it cannot read by HTTPException.
    scope = {"type": "http", "method": "POST", "headers": headers, "app": None}
    request = Request(scope, receive)
    asyncio.run(read_uploads(request, Settings("m")))

"""The description of the server that tools read: OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from ..version import __version__
from .settings import Settings

JSON = dict[str, Any]
# What is refused, and how; every refusal is JSON with the one sentence ``error``.
REFUSALS = {
    400: "A wrong or unknown parameter, or a form that cannot be read",
    401: "The token is missing or wrong",
    404: "No such model",
    406: "An answer in such a form does not exist",
    408: "The request did not arrive in time",
    413: "Too many bytes, pixels or images",
    415: "Neither an image nor a form with images",
    422: "Not an image, or a damaged one",
    429: "The queue is full; the header Retry-After says when to try again",
    503: "Not done in time, or not ready",
}


def document(settings: Settings, lowest: float) -> JSON:
    """Returns the document as JSON would hold it. ``lowest`` is the lowest score that can be asked for."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"gluon_ssd: {settings.name}",
            "version": __version__,
            "description": "Finds objects in images.",
        },
        "paths": {
            "/v1/detect": {"post": _detect(settings, lowest)},
            "/v1/models": {"get": _get("What is served, and what is accepted", _ref("Models"), 401)},
            **_protocol_v2(),
            "/healthz": {"get": _get("Whether the process runs", _ref("Status"), token=False)},
            "/readyz": {"get": _get("Whether the network works", _ref("Status"), 503, token=False)},
            "/metrics": {"get": _metrics()},
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        # The empty alternative: a server that was started without a token asks for none.
        "security": [{"token": []}, {}],
    }


def _detect(settings: Settings, lowest: float) -> JSON:
    image = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"file": {"type": "array", "items": image, "minItems": 1}}}
    form["properties"]["file"]["maxItems"] = settings.max_images  # type: ignore[index]
    threshold = {
        "name": "score_threshold",
        "in": "query",
        "description": "Drop what scores less",
        "schema": {"type": "number", "minimum": lowest, "exclusiveMaximum": 1},
    }
    found = {
        "application/json": {"schema": _ref("Found")},
        "image/jpeg": {"schema": image},
        "image/png": {"schema": image},
    }
    refusals = _refusals(*(number for number in REFUSALS if number != 404))
    return {
        "summary": "Finds objects in one image or several",
        "description": "The body is an image, or a form with images as its files. Of one image the "
        "answer may be the annotated image, by Accept.",
        "parameters": [threshold],
        "requestBody": {
            "required": True,
            "content": {
                "image/*": {"schema": image},
                "application/octet-stream": {"schema": image},
                "multipart/form-data": {"schema": {**form, "required": ["file"]}},
            },
        },
        "responses": {"200": {"description": "What was found", "content": found}, **refusals},
    }


def _protocol_v2() -> JSON:
    """Returns the paths of KServe's inference protocol, version 2."""
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    infer = {
        "summary": "Finds objects, in KServe's inference protocol, version 2",
        "description": "The input is `images`, a tensor of encoded images, datatype BYTES: in base64, or as "
        "binary data behind the JSON.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("Inference")}}},
        "responses": {
            "200": {
                "description": "What was found",
                "content": {
                    "application/json": {"schema": {"type": "object"}},
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                },
            },
            **_refusals(*(number for number in REFUSALS if number not in (406, 415))),
        },
    }
    there = {"type": "object"}
    model = "/v2/models/{name}"
    return {
        "/v2": {"get": _get("The server, and the extensions that it knows", there, 401)},
        "/v2/health/live": {"get": _get("Whether the process runs", _ref("Status"), token=False)},
        "/v2/health/ready": {"get": _get("Whether the network works", _ref("Status"), 503, token=False)},
        model: {"get": _get("Inputs and outputs of the model", there, 401, 404), "parameters": [name]},
        f"{model}/ready": {
            "get": _get("Whether the model works", _ref("Status"), 401, 404, 503),
            "parameters": [name],
        },
        f"{model}/infer": {"post": infer, "parameters": [name]},
    }


def _get(summary: str, schema: JSON, *refusals: int, token: bool = True) -> JSON:
    answer = {"description": summary, "content": {"application/json": {"schema": schema}}}
    operation = {"summary": summary, "responses": {"200": answer, **_refusals(*refusals)}}
    return operation if token else {**operation, "security": []}


def _metrics() -> JSON:
    answer = {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"summary": "Metrics in Prometheus' form", "responses": {"200": answer, **_refusals(401)}}


def _refusals(*numbers: int) -> JSON:
    content = {"application/json": {"schema": _ref("Error")}}
    return {str(number): {"description": REFUSALS[number], "content": content} for number in numbers}


def _ref(name: str) -> JSON:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: JSON) -> JSON:
    """Returns the schema of an object all of whose properties are always there."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: JSON, **more: Any) -> JSON:
    return {"type": "array", "items": items, **more}


def _schemas() -> JSON:
    text, number, integer = {"type": "string"}, {"type": "number"}, {"type": "integer"}
    share = {"type": "number", "minimum": 0, "maximum": 1}
    corners = _list(number, minItems=4, maxItems=4, description="left, top, right, bottom in pixels")
    return {
        "Inference": _object(inputs=_list(_ref("Input"), minItems=1, maxItems=1)),
        "Input": _object(
            name={"const": "images"},
            datatype={"const": "BYTES"},
            shape=_list(integer, minItems=1, maxItems=2),
            data=_list({**text, "contentEncoding": "base64"}),
        ),
        "Found": _object(model=text, score_threshold=share, images=_list(_ref("Image"))),
        "Image": _object(name=text, width=integer, height=integer, detections=_list(_ref("Detection"))),
        "Detection": _object(name=text, class_id=integer, score=share, xyxy=corners),
        "Models": _object(
            models=_list(_ref("Model")),
            limits=_object(max_bytes=integer, max_pixels=integer, max_images=integer),
        ),
        "Model": _object(
            name=text,
            classes=_list(text),
            category_ids=_list(integer),
            input=_object(height=integer, width=integer),
            runtime=text,
            precision=text,
            score_threshold=share,
            lowest_score_threshold=share,
        ),
        "Status": _object(status=text),
        "Error": _object(error=text),
    }

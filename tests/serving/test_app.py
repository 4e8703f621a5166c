"""The server's answers: what was found, what is refused and how, and what it tells of itself."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from http_server import in_thread
from PIL import Image
from places import REPOSITORY
from small import picture

from gluon_ssd.serving import openapi
from gluon_ssd.serving.app import create_app
from gluon_ssd.serving.settings import Settings

ALL = "/v1/detect?score_threshold=0.05"


def encoded(width=640, height=420, kind="JPEG", seed=0, **options):
    buffer = io.BytesIO()
    Image.fromarray(picture(width, height, seed)).save(buffer, kind, **options)
    return buffer.getvalue()


def turned_photo():
    exif = Image.Exif()
    exif[274] = 6
    return encoded(exif=exif)


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*sizes):
    """A PNG that announces each of these sizes, and holds the first rows of the first."""
    heads = [png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)) for size in sizes]
    rows = zlib.compress(bytes(100 * (sizes[0][0] + 1)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(heads) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


PHOTOS = {
    "large.jpg": encoded(),
    "turned.jpg": turned_photo(),
    "small.png": encoded(50, 30, "PNG"),
    "a.webp": encoded(kind="WEBP"),
    "one.png": encoded(1, 1, "PNG"),
}


@pytest.mark.parametrize("name", PHOTOS)
def test_an_image_is_answered_as_the_detector_answers_its_file(client, detector, tmp_path, name):
    (tmp_path / name).write_bytes(PHOTOS[name])
    found = detector(tmp_path / name)
    answer = client(ALL, PHOTOS[name], Content_Type="image/*")
    assert answer.status == 200
    (image,) = answer.json["images"]
    assert image["detections"] == found.to_dict()
    assert (image["height"], image["width"]) == found.image.shape[:2]


def test_several_images_are_answered_in_their_order(client):
    names = ["large.jpg", "small.png", "turned.jpg"]
    answer = client.form(ALL, *[("file", name, PHOTOS[name]) for name in names])
    singly = [client(ALL, PHOTOS[name]).json["images"][0] for name in names]
    images = answer.json["images"]
    assert [image.pop("name") for image in images] == names
    for image, alone in zip(images, singly):
        assert (image["width"], image["height"]) == (alone["width"], alone["height"])
        assert [one["name"] for one in image["detections"]] == [one["name"] for one in alone["detections"]]
        scores = [[one["score"] for one in part["detections"]] for part in (image, alone)]
        # A batch of three rounds otherwise than one of one.
        assert scores[0] == pytest.approx(scores[1], abs=2e-5)


@pytest.mark.parametrize(("accept", "kind"), [("image/png", "PNG"), ("image/*", "JPEG")])
def test_the_annotated_image(client, detector, tmp_path, accept, kind):
    (tmp_path / "turned.jpg").write_bytes(PHOTOS["turned.jpg"])
    answer = client(ALL, PHOTOS["turned.jpg"], Accept=accept)
    drawn = Image.open(io.BytesIO(answer.body))
    assert (answer.headers["content-type"], drawn.format) == (f"image/{kind.lower()}", kind)
    plot = detector(tmp_path / "turned.jpg").plot()
    assert np.asarray(drawn).shape == plot.shape
    if kind == "PNG":
        assert np.array_equal(np.asarray(drawn), plot)


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("text/html,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("image/png;q=0.5, application/json", "application/json"),
        ("image/png;q=0.5, application/json;q=0.1", "image/png"),
        ("application/json;q=0, image/jpeg", "image/jpeg"),
    ],
)
def test_the_form_of_the_answer_is_chosen(client, accept, answered):
    assert client(ALL, PHOTOS["small.png"], Accept=accept).headers["content-type"] == answered


def test_the_threshold(client, opened):
    scores = [one["score"] for one in client(ALL, PHOTOS["large.jpg"]).json["images"][0]["detections"]]
    middle = round(scores[len(scores) // 2] + 1e-4, 4)
    for query, least in ((f"?score_threshold={middle}", middle), ("", opened[1])):
        answer = client(f"/v1/detect{query}", PHOTOS["large.jpg"]).json
        found = [one["score"] for one in answer["images"][0]["detections"]]
        assert (answer["score_threshold"], found) == (least, [score for score in scores if score >= least])


REFUSED = {
    "no image": ((ALL, b"hello"), 422, "image: not an image whose size can be read"),
    "empty": ((ALL, b""), 422, "is empty"),
    "truncated": ((ALL, PHOTOS["large.jpg"][:-300]), 422, "truncated"),
    "damaged": ((ALL, PHOTOS["small.png"][:60] + b"\0" * 40 + b"IEND"), 422, "the picture is truncated"),
    "large": ((ALL, b"x" * 300_001), 413, "at most 0.3 MB"),
    "very large": ((ALL, b"x" * 1_100_000), 413, "at most 0.3 MB"),
    "bomb": ((ALL, png((1001, 1000))), 413, "an image of 1001x1000; the server takes up to 1 megapixels"),
    "bomb behind a small size": ((ALL, png((2000, 2000), (9, 9))), 422, "not a picture that can be decoded"),
    "no pixels": ((ALL, png((0, 9))), 422, "not an image whose size"),
    "low threshold": (("/v1/detect?score_threshold=0.01", b"x"), 400, "must be at least 0.05"),
    "no number": (("/v1/detect?score_threshold=nan", b"x"), 400, "expected a number"),
    "unknown parameter": (("/v1/detect?url=http://127.0.0.1/", b"x"), 400, "unknown parameter 'url'"),
    "unknown place": (("/v1/detects", b"x"), 404, "images go to /v1/detect"),
    "method": (("/v1/detect", None), 405, "this address takes POST"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(client, name):
    request, status, words = REFUSED[name]
    answer = client(*request)
    assert answer.status == status and words in answer.json["error"], answer


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "application/json"}, 415),
        ({"Accept": "text/html"}, 406),
        ({"Content_Type": "multipart/form-data"}, 400),
        ({"Content_Type": "multipart/form-data; boundary=x"}, 400),
    ],
)
def test_wrong_headers_are_refused(client, headers, status):
    assert client(ALL, PHOTOS["small.png"], **headers).status == status


def test_wrong_forms_are_refused(client):
    file = ("file", "a.png", PHOTOS["small.png"])
    for parts, status, words in (
        ([("url", "", b"http://127.0.0.1/")], 422, "'url' is not a file; send the image itself"),
        ([("path", "", b"/etc/passwd"), file], 422, "'path' is not a file"),
        ([file] * 4, 400, "Maximum number of files is 3"),
        ([file, ("file", "b.png", b"")], 422, "is empty"),
        ([file, ("file", "../b.png", b"x")], 422, "../b.png: not an image"),
    ):
        answer = client.form(ALL, *parts)
        assert answer.status == status and words in answer.json["error"], answer
    assert client.form(ALL, file, file, Accept="image/png").status == 406


def test_a_name_in_a_strange_encoding_is_answered(client):
    head = b'--x\r\nContent-Disposition: form-data; name="+2AA-"; filename="+2AA-.png"\r\n\r\n'
    kind = "multipart/form-data; boundary=x; charset=utf-7"
    answer = client(ALL, head + PHOTOS["small.png"] + b"\r\n--x--\r\n", Content_Type=kind)
    assert (answer.status, answer.json["images"][0]["name"]) == (200, "?.png")
    field = b'--x\r\nContent-Disposition: form-data; name="+2AA-"\r\n\r\nx\r\n--x--\r\n'
    assert client(ALL, field, Content_Type=kind).status == 422


def test_a_large_image_is_refused_before_it_is_decoded(client, monkeypatch):
    import gluon_ssd.data.records as records
    import gluon_ssd.serving.pictures as pictures

    def decode(*arguments, **options):
        raise AssertionError("decoded")

    for module in (records, pictures):
        monkeypatch.setattr(module, "decode_image", decode)
    assert client(ALL, png((30000, 30000))).status == 413


def test_a_body_of_unknown_length_is_limited_too(client):
    def parts():
        for _ in range(8):
            yield b"x" * 50_000

    assert client(ALL, parts()).status == 413


def test_what_it_tells_of_itself(client, opened, settings):
    models = client("/v1/models").json
    (model,) = models["models"]
    assert (model["name"], tuple(model["classes"])) == ("small", opened[0].classes)
    assert model["lowest_score_threshold"] == 0.05 and model["score_threshold"] == opened[1]
    assert models["limits"] == {"max_bytes": 300_000, "max_pixels": 1_000_000, "max_images": 3}
    assert client("/healthz").json == {"status": "alive"}
    assert client("/readyz").json == {"status": "ready"}


def test_the_document_describes_every_route_and_what_it_answers(client, opened, settings):
    document = client("/openapi.json").json
    routes = {route.path for route in create_app(*opened, settings).routes}
    assert set(document["paths"]) == routes - {"/", "/openapi.json"}
    described = document["paths"]["/v1/detect"]["post"]["responses"]
    answered = {str(status) for _, status, _ in REFUSED.values()} - {"404", "405"}
    assert answered | {"200", "401", "406", "408", "415", "429", "503"} == set(described)
    schemas = document["components"]["schemas"]
    found = client(ALL, PHOTOS["large.jpg"]).json
    for name, value in (
        ("Found", found),
        ("Image", found["images"][0]),
        ("Detection", found["images"][0]["detections"][0]),
        ("Models", client("/v1/models").json),
        ("Model", client("/v1/models").json["models"][0]),
    ):
        assert set(schemas[name]["required"]) == set(value)


@pytest.mark.once
def test_schemathesis_finds_nothing(client, tmp_path):
    tool = shutil.which("schemathesis", path=Path(sys.executable).parent) or shutil.which("schemathesis")
    if tool is None:
        pytest.skip("schemathesis is not installed: pip install schemathesis")
    command = [tool, "run", f"http://127.0.0.1:{client.port}/openapi.json", "--max-examples", "20"]
    # No schema can say that bytes are an image, so the tool takes any bytes for a valid request.
    command += ["--exclude-checks", "positive_data_acceptance", "--generation-database", "none"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def images_counted(lines):
    return next(float(line.split()[1]) for line in lines if line.startswith("gluon_ssd_images_total "))


def test_the_guide_names_every_refusal_and_the_limits():
    guide = (REPOSITORY / "docs" / "serving.md").read_text(encoding="utf-8")
    assert [status for status in openapi.REFUSALS if f"{status}" not in guide] == []
    limits = Settings("x")
    assert f"(default: {limits.timeout:g})" in guide and f"images ({limits.queue})" in guide
    assert f"({limits.max_bytes / 1e6:g} MB)" in guide and f"({limits.max_pixels / 1e6:g} million)" in guide
    assert f"images ({limits.batch_size})" in guide and f"files ({limits.max_images})" in guide


def test_metrics_count_what_happened(opened, settings):
    with in_thread(create_app(*opened, settings)) as client:
        before = client("/metrics").body.decode().splitlines()
        client.form(ALL, *[("file", "a.png", PHOTOS["small.png"])] * 2)
        client(ALL, b"hello")
        client("/nowhere")
        lines = client("/metrics").body.decode().splitlines()
    for line in (
        'gluon_ssd_requests_total{path="/v1/detect",status="200"} 1.0',
        'gluon_ssd_requests_total{path="/v1/detect",status="422"} 1.0',
        'gluon_ssd_requests_total{path="other",status="404"} 1.0',
        "gluon_ssd_images_waiting 0.0",
    ):
        assert line in lines
    # Black images have warmed the network up before.
    assert images_counted(lines) - images_counted(before) == 2


def test_the_access_log_is_a_line_of_json_per_request(opened, settings, capsys):
    with in_thread(create_app(*opened, replace(settings, access_log=True))) as client:
        answer = client(ALL, PHOTOS["small.png"], X_Request_ID="from-the-proxy.1")
        other = client('/x"%0a', X_Request_ID="two\twords")
    _, first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["id"], first["method"], first["path"], first["status"], first["images"]) == (
        "from-the-proxy.1",
        "POST",
        "/v1/detect",
        200,
        1,
    )
    assert first["bytes"] == len(answer.body) and first["client"] == "127.0.0.1" and first["ms"] > 0
    assert second["path"] == '/x"\n' and second["id"] == other.headers["x-request-id"] != "two\twords"


def test_a_line_of_the_access_log_is_written_in_one_piece(opened, settings, monkeypatch):
    pieces = []
    stream = SimpleNamespace(write=pieces.append, flush=lambda: None)
    monkeypatch.setattr("gluon_ssd.serving.middleware.sys", SimpleNamespace(stdout=stream))
    with in_thread(create_app(*opened, replace(settings, access_log=True))) as client:
        client("/none")
    assert [json.loads(piece)["status"] for piece in pieces if piece.endswith("}\n")][-1] == 404
    assert "\n" not in pieces


def test_a_token_is_asked_for(opened, settings, tmp_path):
    (tmp_path / "token").write_text("secret\n")
    asked = replace(settings, token_file=str(tmp_path / "token"), cors=("https://a.example",))
    photo = PHOTOS["small.png"]
    with in_thread(create_app(*opened, asked)) as client:
        for given in ("", "Bearer", "Bearer wrong", "Basic secret", "Bearer secrets", "Bearer \xe4"):
            answer = client(ALL, photo, Authorization=given)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert client(ALL, photo, Authorization="Bearer secret").status == 200
        for path, status in (("/v1/models", 401), ("/metrics", 401), ("/v2", 401), ("/healthz", 200)):
            assert client(path).status == status
        assert client("/").status == client("/readyz").status == client("/openapi.json").status == 200
        # A browser asks for permission without the token.
        asking = {"Origin": "https://a.example", "Access_Control_Request_Method": "POST"}
        assert client("/v1/detect", method="OPTIONS", **asking).status == 200


def test_other_origins_are_let_in_only_where_they_were_named(client, opened, settings):
    asked = {"Origin": "https://a.example"}
    assert "access-control-allow-origin" not in client("/v1/models", **asked).headers
    with in_thread(create_app(*opened, replace(settings, cors=("https://a.example",)))) as other:
        allowed = other("/v1/models", **asked).headers["access-control-allow-origin"]
        assert allowed == "https://a.example"
        refused = other("/v1/models", Origin="https://b.example").headers
        assert "access-control-allow-origin" not in refused

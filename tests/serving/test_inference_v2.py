"""KServe's and Triton's inference protocol: what tritonclient gets from it, and what is refused."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from http_server import in_thread
from PIL import Image
from small import picture

from gluon_ssd.serving.app import create_app

INFER = "/v2/models/small/infer"
LOW = {"score_threshold": 0.05}


def photo(width, height, kind="JPEG"):
    buffer = io.BytesIO()
    Image.fromarray(picture(width, height)).save(buffer, kind)
    return buffer.getvalue()


PHOTOS = [photo(320, 200), photo(60, 90, "PNG")]
TEXTS = [base64.b64encode(image).decode() for image in PHOTOS]


def request(images=TEXTS, **changes):
    tensor = {"name": "images", "datatype": "BYTES", "shape": [len(images)], "data": images}
    return {"inputs": [{**tensor, **changes}], "parameters": LOW}


def found_alone(client, image):
    return client("/v1/detect?score_threshold=0.05", image).json["images"][0]["detections"]


def agree(boxes, scores, class_ids, count, alone):
    assert len(alone) == count > 0
    assert list(class_ids[:count]) == [one["class_id"] for one in alone]
    assert (np.array(class_ids[count:]) == -1).all() and not np.any(scores[count:])
    # A batch of two rounds otherwise than one of one.
    np.testing.assert_allclose(scores[:count], [one["score"] for one in alone], atol=2e-5)
    np.testing.assert_allclose(boxes[:count], [one["xyxy"] for one in alone], atol=0.05)


def test_tensors_in_json_are_what_was_found(client):
    answer = client(INFER, json.dumps({**request(), "id": "7\ud800"}))
    assert answer.status == 200, answer
    assert (answer.json["model_name"], answer.json["id"]) == ("small", "7\ud800")
    outputs = {
        one["name"]: np.array(one["data"]).reshape(one["shape"]).tolist() for one in answer.json["outputs"]
    }
    most = max(outputs["count"])
    assert np.shape(outputs["boxes"]) == (2, most, 4)
    for row, image in enumerate(PHOTOS):
        tensors = (outputs[name][row] for name in ("boxes", "scores", "class_ids", "count"))
        agree(*tensors, found_alone(client, image))


@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient(client, binary):
    triton = pytest.importorskip("tritonclient.http", reason='needs pip install "tritonclient[http]"')
    utils = pytest.importorskip("tritonclient.utils")
    images = PHOTOS if binary else [text.encode() for text in TEXTS]
    given = triton.InferInput("images", [2, 1], "BYTES")
    given.set_data_from_numpy(np.array(images, object).reshape(2, 1), binary_data=binary)
    with triton.InferenceServerClient(f"127.0.0.1:{client.port}") as server:
        assert server.is_server_live() and server.is_server_ready() and server.is_model_ready("small")
        described = server.get_model_metadata("small")
        assert [one["name"] for one in described["inputs"]] == ["images"]
        assert "binary_tensor_data" in server.get_server_metadata()["extensions"]
        names = [one["name"] for one in described["outputs"]]
        wanted = None if binary else [triton.InferRequestedOutput(name, binary_data=False) for name in names]
        found = server.infer("small", [given], outputs=wanted, request_id="a", parameters=LOW)
        assert found.get_response()["id"] == "a"
        for row, image in enumerate(PHOTOS):
            tensors = [found.as_numpy(name)[row] for name in ("boxes", "scores", "class_ids", "count")]
            agree(*tensors, found_alone(client, image))
        nothing = server.infer("small", [given], parameters={"score_threshold": 0.999})
        assert nothing.as_numpy("boxes").shape == (2, 0, 4) and nothing.as_numpy("count").tolist() == [0, 0]
        with pytest.raises(utils.InferenceServerException, match="the model is 'small'"):
            server.infer("other", [given])


def test_outputs_are_chosen(client):
    outputs = [{"name": "count"}, {"name": "scores", "parameters": {"binary_data": True}}]
    answer = client(INFER, json.dumps({**request(TEXTS[:1]), "outputs": outputs}))
    length = int(answer.headers["inference-header-content-length"])
    count, scores = json.loads(answer.body[:length])["outputs"]
    assert count["data"] == [scores["shape"][1]]
    found = np.frombuffer(answer.body[length:], "<f4")
    assert len(found) * 4 == scores["parameters"]["binary_data_size"] == count["data"][0] * 4


JSON_REFUSED = {
    "other input": (request(name="image"), 400, "there is one input, 'images', of datatype BYTES"),
    "pixels": (request(datatype="UINT8"), 400, "there is one input"),
    "no inputs": ({}, 400, "there is one input"),
    "not base64": (request(["*"]), 400, "each one is a string in base64"),
    "numbers": (request([1, 2]), 400, "each one is a string in base64"),
    "no data": (request(data=None), 400, "each one is a string in base64"),
    "shape": (request(shape=[3]), 400, "the shape does not fit 2 images"),
    "long shape": (request(shape=[1, 1, 2]), 400, "the shape is the number of images"),
    "no images": (request([]), 400, "does not fit 0 images"),
    "many": (request(TEXTS * 2), 413, "at most 3 images"),
    "no image": (request([base64.b64encode(b"hello").decode()]), 422, "images[0]: not an image"),
    "threshold": ({**request(), "parameters": {"score_threshold": 0.01}}, 400, "must be at least 0.05"),
    "parameters": ({**request(), "parameters": [1]}, 400, "parameters are a JSON object"),
    "output": ({**request(), "outputs": [{"name": ["count"]}]}, 400, "outputs are count, boxes"),
    "size": (request(parameters={"binary_data_size": 9}), 400, "binary_data_size is not 0"),
    "list": ([1], 400, "not a JSON object"),
}


@pytest.mark.parametrize("name", JSON_REFUSED)
def test_what_is_refused(client, name):
    body, status, words = JSON_REFUSED[name]
    answer = client(INFER, json.dumps(body))
    assert answer.status == status and words in answer.json["error"], answer


@pytest.mark.parametrize(
    ("body", "length", "status", "words"),
    [
        (b"[" * 100_000, None, 400, "is not JSON"),
        (b"{}x", "2x", 400, "Inference-Header-Content-Length: not a number"),
        (b"\xff", None, 400, "is not JSON"),
        (b"x" * 300_001, None, 413, "at most 0.3 MB"),
    ],
)
def test_bodies_that_are_refused(client, body, length, status, words):
    headers = {} if length is None else {"Inference_Header_Content_Length": length}
    answer = client(INFER, body, **headers)
    assert answer.status == status and words in answer.json["error"], answer


def test_binary_data_that_end_amid_an_image_are_refused(client):
    tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 9}}
    head = json.dumps({"inputs": [tensor]}).encode()
    answer = client(INFER, head + b"\x06\0\0\0hello", Inference_Header_Content_Length=str(len(head)))
    assert (answer.status, answer.json["error"]) == (400, "images: the binary data end amid an image")


def test_another_model_is_not_found(client):
    for path in ("/v2/models/other", "/v2/models/other/ready", "/v2/models/small/config"):
        assert client(path).status == 404
    assert client("/v2/models/other/infer", b"{}").status == 404


def test_queue_token_and_metrics_are_those_of_every_request(opened, settings, tmp_path):
    (tmp_path / "token").write_text("secret")
    asked = replace(settings, token_file=str(tmp_path / "token"), queue=3)
    with in_thread(create_app(*opened, asked)) as client:
        assert client("/v2/health/live").status == client("/v2/health/ready").status == 200
        assert client(INFER, b"{}").status == client("/v2/models/small").status == 401
        token = {"Authorization": "Bearer secret"}
        assert client(INFER, json.dumps(request()), **token).status == 200
        lines = client("/metrics", **token).body.decode().splitlines()
    assert f'gluon_ssd_requests_total{{path="{INFER}",status="200"}} 1.0' in lines
    assert "gluon_ssd_images_waiting 0.0" in lines

"""Exports a run to ONNX, and detects with the file by onnxruntime alone, as a program without MXNet would.

Needs `pip install "gluon_ssd[onnx]"`, and what `detect` does needs onnxruntime, NumPy and Pillow:

    python examples/export_onnx.py runs/demo/run photo.jpg
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

import numpy as np
import onnxruntime
from PIL import Image

import gluon_ssd
from gluon_ssd.export import to_onnx


def detect(model: str, photo: str) -> Iterator[tuple[str, float, np.ndarray]]:
    """Yields class, score and left, top, right, bottom in pixels of each object in a photograph."""
    session = onnxruntime.InferenceSession(model)
    about = session.get_modelmeta().custom_metadata_map
    classes, (height, width) = json.loads(about["classes"]), json.loads(about["size"])
    image = Image.open(photo).convert("RGB")
    small = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    names = ["boxes", "scores", "class_ids", "count"]
    boxes, scores, class_ids, count = session.run(names, {"images": small[None]})
    scale = np.array([image.width / width, image.height / height] * 2)
    for row in range(int(count[0])):
        yield classes[int(class_ids[0, row])], float(scores[0, row]), boxes[0, row] * scale


def main() -> None:
    parser = argparse.ArgumentParser(description="Export a run to ONNX, and detect with the file.")
    parser.add_argument("run", help="run folder or checkpoint")
    parser.add_argument("photo", help="image file")
    parser.add_argument("--output", default="model.onnx", help="file to write (default: model.onnx)")
    args = parser.parse_args()
    # The file takes pixels as they are, 0 to 255, and returns boxes instead of raw outputs.
    exported = to_onnx(args.run, args.output, detections=True, preprocess=True)
    print(*exported.lines, sep="\n")
    for name, score, box in detect(args.output, args.photo):
        print(f"{name} {score:.2f} at {box.round().astype(int).tolist()}")


if __name__ == "__main__":
    try:
        main()
    except gluon_ssd.UserError as error:
        sys.exit(f"error: {error}")

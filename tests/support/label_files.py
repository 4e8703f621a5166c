"""Text of label files for the tests of formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

OBJECT = (
    "<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{box[0]}</xmin>"
    "<ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
)
CSV = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,"
    "IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
)


def voc_xml(*objects, name="a.jpg", size=(80, 60), extra=""):
    """An annotation file; each object is (class, (xmin, ymin, xmax, ymax)) or has difficult as a third."""
    rows = [OBJECT.format(name=o[0], box=o[1], difficult=o[2] if len(o) > 2 else 0) for o in objects]
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>" if size else ""
    return f"<annotation><filename>{name}</filename>{sides}{extra}{''.join(rows)}</annotation>"


def labelme(*shapes, path="a.jpg", **more):
    """A file of LabelMe for a picture of 320 x 200 pixels."""
    return json.dumps(
        {"shapes": list(shapes), "imagePath": path, "imageWidth": 320, "imageHeight": 200, **more}
    )


def rows_of(root: Path, split: str) -> list[tuple[Any, ...]]:
    """(image's base name, class name, box, crowd) of every annotation of a COCO folder written here."""
    content = json.loads((root / "annotations" / f"instances_{split}.json").read_text())
    images = {row["id"]: row["file_name"].rpartition("/")[2] for row in content["images"]}
    names = {row["id"]: row["name"] for row in content["categories"]}
    return [
        (images[row["image_id"]], names[row["category_id"]], row["bbox"], row["iscrowd"])
        for row in content["annotations"]
    ]

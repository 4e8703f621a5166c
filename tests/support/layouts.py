"""Files of a data set of cats on pictures of 320 x 200 pixels, and what `convert-data` makes of them."""

import json

from label_files import rows_of, voc_xml

CAT = [200, 20, 100, 60]


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def coco(*names, box=CAT, **more):
    return json.dumps(
        {
            "images": [
                {"id": k, "file_name": n, "width": 320, "height": 200} for k, n in enumerate(names, 1)
            ],
            "annotations": [
                {"id": k, "image_id": k, "category_id": 1, "bbox": box, **more}
                for k in range(1, len(names) + 1)
            ],
            "categories": [{"id": 1, "name": "cat"}],
        }
    )


YOLO_LINE = "0 0.78125 0.25 0.3125 0.3\n"
XML = voc_xml(("cat", (201, 21, 300, 80)), size=(320, 200))
REGION = {
    "shape_attributes": {"name": "rect", "x": 200, "y": 20, "width": 100, "height": 60},
    "region_attributes": {"species": "cat"},
}


def converted(cli, tmp_path, *flags, **expected):
    """Convert ``set`` and compare the images and boxes of each split; returns what was printed."""
    result = cli("convert-data", "set", "out", *flags)
    assert (result.status, result.err) == (0, ""), result
    found = {
        path.stem[len("instances_") :]: rows_of(tmp_path / "out", path.stem[len("instances_") :])
        for path in (tmp_path / "out" / "annotations").iterdir()
    }
    assert {split: sorted(row[0] for row in rows) for split, rows in found.items()} == expected
    assert all(row[2] == CAT for rows in found.values() for row in rows)
    return result.out

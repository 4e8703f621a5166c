#!/usr/bin/env python3
"""MLPerf's subset of OpenImages through fiftyone, as the reference prepares it: images, labels, COCO file.

fiftyone exports the labels; the file then gets iscrowd from IsGroupOf, and categories numbered from 0 in the
order of the list, whatever the version of fiftyone numbers them from.
"""

import argparse
import json
import sys
from pathlib import Path

from gluon_ssd.data.openimages_names import OPENIMAGES_MLPERF_CLASSES

NAME = "openimages-mlperf.json"


def main() -> int:
    """Download and convert the splits that have no COCO file yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("splits", nargs="+", choices=("train", "validation"))
    args = parser.parse_args()
    try:
        import fiftyone
        import fiftyone.zoo
    except ImportError:
        print(
            'error: fiftyone is not installed; pip install "fiftyone==1.2.0", or leave out --with',
            file=sys.stderr,
        )
        return 2
    folder = args.folder.resolve()
    classes = list(OPENIMAGES_MLPERF_CLASSES)
    data = fiftyone.zoo.load_zoo_dataset(
        name="open-images-v6",
        classes=classes,
        splits=args.splits,
        label_types="detections",
        dataset_name="openimages-mlperf",
        dataset_dir=str(folder),
        drop_existing_dataset=True,
    )
    for split in args.splits:
        target = folder / split / "labels" / NAME
        exported = target.with_name("." + NAME)
        data.match_tags(split).export(
            labels_path=str(exported),
            dataset_type=fiftyone.types.COCODetectionDataset,
            label_field="detections",
            classes=classes,
        )
        content = json.loads(exported.read_text(encoding="utf-8"))
        exported.write_text(json.dumps(finish(content, classes)), encoding="utf-8")
        exported.replace(target)
    return 0


def finish(content: dict, classes: list) -> dict:
    """Number the categories from 0 in the order of ``classes``, and mark groups as crowds."""
    number = {
        row["id"]: classes.index(row["name"]) for row in content["categories"] if row["name"] in classes
    }
    content["categories"] = [{"id": k, "name": name, "supercategory": None} for k, name in enumerate(classes)]
    for row in content["annotations"]:
        row["category_id"] = number[row["category_id"]]
        row["iscrowd"] = int(row["IsGroupOf"])
    return content


if __name__ == "__main__":
    sys.exit(main())

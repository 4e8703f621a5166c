"""A data format of one's own, in one file: reading and writing lists of boxes in text.

The format of this example is a folder with ``boxes.txt``, a line per object (image, class, left, top, right,
bottom, in pixels from 0, with tabs between), and the images beside it. Every verb knows it when it is started
from here, training without a conversion included:

    python examples/format.py convert-data SOURCE DESTINATION
    python examples/format.py convert-data DATA_SET DESTINATION --to boxes
    python examples/format.py train --recipe ssd_tiny/demo --data SOURCE
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from gluon_ssd.data.formats import NO, SURE, DataSet, Format, Options, Placer, Sheet, register_format
from gluon_ssd.errors import UserError


@register_format
class Boxes(Format):
    """boxes.txt and the images that it names; all of them train."""

    name = "boxes"
    labels = (".txt",)
    layout = "boxes.txt: image, class, left, top, right, bottom"
    # What the four numbers are; boxes that cannot be that are told of.
    reading = "xyxy"

    def detect(self, root: Path) -> int:
        return SURE if (root / "boxes.txt").is_file() else NO

    def read(self, root: Path, options: Options) -> DataSet:
        names: dict[str, int] = {}
        sheets: dict[str, Sheet] = {}
        text = (root / "boxes.txt").read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), start=1):
            image, label, *sides = line.split("\t")
            if len(sides) != 4:
                raise UserError(f"{root / 'boxes.txt'} line {number}: has {len(sides)} sides; it needs 4")
            # A sheet collects the objects of an image; it reads its size and EXIF orientation, clips and
            # counts.
            if image not in sheets:
                sheets[image] = Sheet(root / image, image, options)
            index = names.setdefault(label, len(names))
            sheets[image].add_values(index, [float(side) for side in sides], self.reading)
        return DataSet(list(names), {"train": [sheet.picture() for sheet in sheets.values()]}, Counter())

    def write(self, data: DataSet, place: Placer, options: Options) -> None:
        lines = []
        for split, pictures in data.splits.items():
            for picture in pictures:
                name = f"{split}_{picture.name}"
                place.put(picture, name)
                for box in picture.boxes:
                    left, top, width, height = box.xywh
                    sides = (left, top, left + width, top + height)
                    lines.append("\t".join((name, data.classes[box.label], *map(str, sides))))
        (place.partial / "boxes.txt").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    from gluon_ssd.cli import main

    sys.exit(main())

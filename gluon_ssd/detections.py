"""What a detector found on one image, to be read, filtered, drawn, saved and passed on."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from PIL import Image, ImageShow

from .data.images import ImageLike, rgb_pixels
from .errors import UserError, import_problem, unknown
from .machine import in_notebook

# The longest side, in pixels, of the picture that a notebook shows and keeps. A photo of 12 megapixels would
# add about 20 MB to the notebook.
NOTEBOOK_SIDE = 1024


class Detection(NamedTuple):
    """One object that was found.

    ``xyxy`` is (left, top, right, bottom) in pixels of the original image, ``score`` is from 0 to 1,
    ``class_id`` is the index of the class and ``name`` its name.
    """

    xyxy: tuple[float, float, float, float]
    score: float
    class_id: int
    name: str


@dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """What was found on one image, in the order of falling score.

    ``xyxy`` is (n, 4) float32: left, top, right, bottom in pixels of the original image, clipped to it.
    ``scores`` is (n,) float32, and ``class_ids`` (n,) int64, indices into ``classes``. ``source`` is the
    path, PIL image or array that the detector was given; the result of a file holds no pixels.

    ``found[0]`` and a loop give one `Detection` each. ``found[:3]``, ``found[found.scores > 0.5]`` and
    ``found[[2, 0]]`` give `Detections`.
    """

    xyxy: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray
    classes: tuple[str, ...]
    source: ImageLike

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Detection: ...

    @overload
    def __getitem__(self, index: slice | np.ndarray | Sequence[int] | Sequence[bool]) -> Detections: ...

    def __getitem__(self, index: Any) -> Detection | Detections:
        if isinstance(index, slice):
            return self._chosen(index)
        places = np.asarray(index)
        if places.ndim == 0 and places.dtype.kind in "iu":
            left, top, right, bottom = self.xyxy[index].tolist()
            score, class_id = float(self.scores[index]), int(self.class_ids[index])
            return Detection((left, top, right, bottom), score, class_id, self.classes[class_id])
        if places.ndim != 1 or (places.dtype.kind not in "biu" and places.size):
            raise TypeError(
                "detections are indexed by an integer, a slice, a boolean mask or a list of integers, "
                f"got {index!r}; for the detections of a class use only(name)"
            )
        # An empty list becomes an array of floats in NumPy, which cannot be an index.
        return self._chosen(places if places.size else places.astype(np.int64))

    def _chosen(self, index: Any) -> Detections:
        boxes, scores, class_ids = (array[index] for array in (self.xyxy, self.scores, self.class_ids))
        return replace(self, xyxy=boxes, scores=scores, class_ids=class_ids)

    def only(self, names: str | Sequence[str]) -> Detections:
        """Returns the detections of one class or of several.

        Raises UserError for a class that the detector does not know.
        """
        wanted = [names] if isinstance(names, str) else list(names)
        for name in wanted:
            if name not in self.classes:
                raise unknown("class", name, self.classes)
        return self[np.isin(self.class_ids, [self.classes.index(name) for name in wanted])]

    @property
    def names(self) -> list[str]:
        """Returns the class name of every detection."""
        return [self.classes[index] for index in self.class_ids]

    @property
    def image(self) -> np.ndarray:
        """Returns the image, (H, W, 3) uint8 RGB.

        A file is read again. Raises UserError when it can no longer be read.
        """
        return rgb_pixels(self.source)

    def plot(self, scale: int = 1) -> np.ndarray:
        """Returns the image with its boxes drawn, (H * scale, W * scale, 3) uint8 RGB.

        The image is enlarged ``scale`` times before the boxes are drawn.
        """
        from .report.draw import draw_boxes

        return draw_boxes(self.image, self.xyxy, self.names, self.scores, self.class_ids, scale=scale)

    def show(self) -> None:
        """Shows the annotated image below the cell of a notebook, or else in the system's image viewer.

        Raises UserError where there is no viewer.
        """
        if in_notebook():
            from IPython.display import display

            display(self)
        elif not ImageShow.show(Image.fromarray(self.plot())):
            raise UserError("no program that shows images is installed; use save() instead")

    def save(self, path: str | Path) -> None:
        """Writes the annotated image to ``path``, in the format of its suffix.

        Raises UserError when the file cannot be written or the suffix is not known.
        """
        from .report.picture_file import write_picture

        write_picture(self.plot(), path)

    def to_dict(self) -> list[dict[str, Any]]:
        """Returns a plain dictionary per detection: ``name``, ``class_id``, ``score`` and ``xyxy``.

        Scores are rounded to five digits, and coordinates to hundredths of a pixel.
        """
        return [
            {
                "name": found.name,
                "class_id": found.class_id,
                "score": round(found.score, 5),
                "xyxy": [round(side, 2) for side in found.xyxy],
            }
            for found in self
        ]

    def to_json(self, indent: int | None = None) -> str:
        """Returns the detections as JSON, as a list of the objects of `to_dict`."""
        return json.dumps(self.to_dict(), indent=indent)

    def to_supervision(self) -> Any:
        """Returns a ``supervision.Detections`` with the class names in ``data["class_name"]``.

        Raises UserError where the package supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise (import_problem(error) or error) from None
        return supervision.Detections(
            xyxy=self.xyxy,
            confidence=self.scores,
            class_id=self.class_ids,
            # With the type, so that an empty array is one of text as well.
            data={"class_name": np.array(self.names, dtype=str)},
        )

    def __str__(self) -> str:
        """Returns what was found in a few words, such as ``2 dog, 1 cat``, the most frequent class first."""
        counts = sorted(Counter(self.names).items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{count} {name}" for name, count in counts) or "nothing found"

    def __repr__(self) -> str:
        return f"<Detections {len(self)}: {self}>"

    def _repr_png_(self) -> bytes:
        """Returns the annotated image as PNG, which a notebook shows for a detection result."""
        picture = Image.fromarray(self.plot())
        picture.thumbnail((NOTEBOOK_SIDE, NOTEBOOK_SIDE))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return buffer.getvalue()

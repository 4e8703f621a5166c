"""What a detector found on one image, to look at, filter, draw, save and hand on."""

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

# The longest side in pixels of what a notebook shows; a photo of 12 megapixels would add some 20 MB to it.
NOTEBOOK_SIDE = 1024


class Detection(NamedTuple):
    """One object: ``xyxy`` is left, top, right, bottom in pixels of the original image, ``score`` 0 to 1."""

    xyxy: tuple[float, float, float, float]
    score: float
    class_id: int
    name: str


@dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """What was found on one image, best first.

    ``xyxy`` (n, 4) float32 left, top, right, bottom in pixels of the original image, clipped to it;
    ``scores`` (n,) float32; ``class_ids`` (n,) int64 index into ``classes``; ``source`` the path, PIL image
    or array that the detector was given. Results of files hold no pixels.

    ``found[0]`` and a loop give one `Detection` each; ``found[:3]``, ``found[found.scores > 0.5]`` and
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
        return self._chosen(places if places.size else places.astype(np.int64))

    def _chosen(self, index: Any) -> Detections:
        boxes, scores, class_ids = (array[index] for array in (self.xyxy, self.scores, self.class_ids))
        return replace(self, xyxy=boxes, scores=scores, class_ids=class_ids)

    def only(self, names: str | Sequence[str]) -> Detections:
        """Returns the detections of one class or of several. Raises UserError for a class there is not."""
        wanted = [names] if isinstance(names, str) else list(names)
        for name in wanted:
            if name not in self.classes:
                raise unknown("class", str(name), self.classes)
        return self[np.isin(self.class_ids, [self.classes.index(name) for name in wanted])]

    @property
    def names(self) -> list[str]:
        """Class name of every detection."""
        return [self.classes[index] for index in self.class_ids]

    @property
    def image(self) -> np.ndarray:
        """The image, (H, W, 3) uint8 RGB. A file is read again. Raises UserError when that fails."""
        return rgb_pixels(self.source)

    def plot(self, scale: int = 1) -> np.ndarray:
        """Returns the image with boxes drawn, uint8 RGB; ``scale`` enlarges it first."""
        from .report.draw import draw_boxes

        return draw_boxes(self.image, self.xyxy, self.names, self.scores, self.class_ids, scale=scale)

    def show(self) -> None:
        """Shows the annotated image below a notebook's cell, elsewhere in the system's image viewer.

        Raises UserError where there is no viewer.
        """
        if in_notebook():
            from IPython.display import display

            display(self)
        elif not ImageShow.show(Image.fromarray(self.plot())):
            raise UserError("no program that shows images is installed; use save() instead")

    def save(self, path: str | Path) -> None:
        """Writes the annotated image; the format follows the suffix. Raises UserError when it cannot."""
        try:
            Image.fromarray(self.plot()).save(path, quality=92)
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: the picture cannot be written: {error}") from None

    def to_dict(self) -> list[dict[str, Any]]:
        """Returns a plain dictionary per detection: ``name``, ``class_id``, ``score``, ``xyxy``."""
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
        """Returns what `to_dict` does as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    def to_supervision(self) -> Any:
        """Returns ``supervision.Detections`` with the class names in ``data["class_name"]``.

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
            data={"class_name": np.array(self.names, dtype=str)},
        )

    def __str__(self) -> str:
        """What was found in a few words: ``2 dog, 1 cat``, the most frequent first."""
        counts = sorted(Counter(self.names).items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{count} {name}" for name, count in counts) or "nothing found"

    def __repr__(self) -> str:
        return f"<Detections {len(self)}: {self}>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        picture = Image.fromarray(self.plot())
        picture.thumbnail((NOTEBOOK_SIDE, NOTEBOOK_SIDE))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return buffer.getvalue()

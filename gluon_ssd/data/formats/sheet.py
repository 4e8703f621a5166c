"""One image while its labels are read: from a format's numbers to boxes in pixels of the upright picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..images import file_header
from ..orientation import is_ambiguous, turn_for, turned_box, upright_size
from ..units import corners
from .model import (
    ASSUMED,
    CLIPPED,
    CROWD,
    DIFFICULT,
    FLAGS,
    IGNORED,
    NO_AREA,
    NO_SIZE,
    OCCLUDED,
    SCALED,
    STORED,
    UPRIGHT,
    WRONG_SIZE,
    Box,
    Options,
    Picture,
)


class Sheet:
    """Collects the objects of one image.

    ``declared`` is the (width, height) that the labels give, None where the format gives none, and (0, 0)
    where it does but these labels do not. If only one of the two frames of the picture, stored or upright,
    has that size, the boxes are for that frame. Otherwise ``options.orientation`` decides, and "auto" means
    ``usual``. ``size`` is the (width, height) that the boxes are for; ``picture`` turns them upright. Raises
    UserError where the file is missing or not an image.
    """

    def __init__(
        self,
        file: Path,
        name: str,
        options: Options,
        declared: tuple[int, int] | None = None,
        usual: str = "upright",
    ) -> None:
        self._file, self._name, self._options = file, name, options
        self._header = file_header(file)
        way = usual if options.orientation == "auto" else options.orientation
        # `turn_for` says how the pixels would have to be turned; 1 means that the boxes are for the pixels as
        # stored.
        self._upright = self._header.orientation == 1 or turn_for(self._header, declared, way) != 1
        self.size = upright_size(self._header) if self._upright else self._header.size
        self._notes: list[str] = []
        self._scale, self._frame = (1.0, 1.0), self.size
        self._settle_size(declared)
        self._note_orientation(declared)
        self._boxes: list[Box] = []
        self._lost: list[tuple[int, str]] = []
        self._values: list[tuple[float, ...]] = []

    def _settle_size(self, declared: tuple[int, int] | None) -> None:
        """Notes that the labels give another size than the file has, and scales the boxes where asked to."""
        if declared is None or declared == self.size:
            return
        if min(declared) <= 0:
            self._notes.append(NO_SIZE)
        elif self._options.other_size == "scale":
            self._scale = self.size[0] / declared[0], self.size[1] / declared[1]
            self._frame = declared
            self._notes.append(SCALED)
        else:
            self._notes.append(WRONG_SIZE)

    def _note_orientation(self, declared: tuple[int, int] | None) -> None:
        """Notes an image that EXIF turns, as an assumption where its size does not prove the frame."""
        if self._header.orientation == 1:
            return
        unsure = declared is not None and (is_ambiguous(self._header) or declared != self.size)
        if unsure and self._options.orientation == "auto":
            self._notes.append(ASSUMED)
        else:
            self._notes.append(UPRIGHT if self._upright else STORED)

    def note(self, *notes: str) -> None:
        """Counts something about this image."""
        self._notes += notes

    def add_values(
        self, label: int, values: Sequence[float], reading: str, origin: int | None = None, **about: object
    ) -> None:
        """Adds an object by the four numbers of its box, read as ``reading`` says unless the caller chose.

        ``origin`` is the number of the first pixel, None as the caller chose. For ``about`` see `add`.
        """
        chosen = self._options.boxes or reading
        start = (self._options.origin or 0) if origin is None else origin
        self._values.append(tuple(values))
        ltrb = corners(values, chosen, self._frame, start)
        # Converting to corners and back loses the last digits, so numbers that need no conversion are kept
        # beside.
        exact = (*ltrb[:2], *values[2:]) if chosen == "xywh" else None
        self.add(label, ltrb, exact=exact, **about)  # type: ignore[arg-type]

    def add_outline(
        self, label: int, values: Sequence[float], reading: str = "xyxy", **about: object
    ) -> None:
        """Adds an object by the box around its outline, which is read as ``reading`` says in any case."""
        ltrb = corners(values, reading, self._frame, self._options.origin or 0)
        self.add(label, ltrb, **about)  # type: ignore[arg-type]

    def add(
        self,
        label: int,
        ltrb: Sequence[float],
        *,
        crowd: bool = False,
        area: float | None = None,
        flags: Iterable[str] = (),
        notes: Iterable[str] = (),
        exact: tuple[float, ...] | None = None,
    ) -> None:
        """Adds an object by its corners in pixels of ``size``; what lies outside is cut off and counted.

        ``flags`` are those of FLAGS that are set, and "ignore". ``exact`` is its x, y, width, height where
        the format has them, kept to the last digit where nothing changes them.
        """
        about = list(notes)
        flags = set(flags)
        if "difficult" in flags:
            about.append(DIFFICULT[self._options.difficult])
            if self._options.difficult == "drop":
                self._lost.append((label, about[-1]))
                return
            crowd = crowd or self._options.difficult == "crowd"
        elif "ignore" in flags:
            about.append(IGNORED)
            crowd = True
        elif crowd:
            about.append(CROWD)
        if "occluded" in flags:
            about.append(OCCLUDED)
        box, clipped = self._clip(ltrb)
        if box is None:
            self._lost.append((label, NO_AREA))
            return
        if clipped:
            about.append(CLIPPED)
        xywh = self._turned(box)
        if exact is not None and all(abs(a - b) < 1e-6 for a, b in zip(xywh, exact)):
            xywh = tuple(exact)  # type: ignore[assignment]
        # The area of an outline was given for the image before it was scaled.
        area = area if self._scale == (1.0, 1.0) else None
        kept = {name: 1 for name in FLAGS if name in flags}
        self._boxes.append(Box(label, xywh, crowd, area, kept, tuple(about)))

    def _clip(self, ltrb: Sequence[float]) -> tuple[Sequence[float] | None, bool]:
        """The part of the box inside the image, None where there is none, and whether anything was cut off.

        A border crossed by less than a hundredth of a pixel is rounding and is not counted.
        """
        (width, height), (wide, high) = self.size, self._scale
        scaled = (ltrb[0] * wide, ltrb[1] * high, ltrb[2] * wide, ltrb[3] * high)
        inside = (max(scaled[0], 0.0), max(scaled[1], 0.0), min(scaled[2], width), min(scaled[3], height))
        if inside[2] <= inside[0] or inside[3] <= inside[1]:
            return None, False
        return inside, max(abs(a - b) for a, b in zip(scaled, inside)) > 0.01

    def _turned(self, ltrb: Sequence[float]) -> tuple[float, float, float, float]:
        """The box as x, y, width, height in the upright picture."""
        if not self._upright:
            ltrb = turned_box(tuple(ltrb), self._header.size, self._header.orientation)  # type: ignore[arg-type]
        left, top, right, bottom = (float(side) for side in ltrb)
        return left, top, right - left, bottom - top

    def lose(self, label: int, reason: str) -> None:
        """Counts an object that is left out."""
        self._lost.append((label, reason))

    def picture(self) -> Picture:
        """Returns the image with its objects, upright."""
        width, height = upright_size(self._header)
        turned = self._header.orientation != 1
        return Picture(
            self._file,
            self._name,
            width,
            height,
            self._boxes,
            turned,
            tuple(self._notes),
            tuple(self._lost),
            tuple(self._values),
            self._frame,
        )

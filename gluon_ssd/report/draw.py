"""Boxes with labels on images, images beside each other, contact sheets. Images are RGB uint8 (h, w, 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .labels import (
    Colour,
    Label,
    Rectangle,
    draw_labels,
    fitted,
    font,
    label_text,
    place_label,
)

# Okabe and Ito's colours for all kinds of colour vision (their black is left out), then lighter and darker
# companions in the same spirit. Neighbours differ in lightness as well as in hue.
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (170, 221, 140),
    (136, 46, 114),
    (68, 221, 214),
    (170, 110, 40),
    (176, 176, 255),
)
_SHEET = (250, 250, 250)
_CAPTION = (60, 60, 60)


def palette_colour(class_id: int) -> Colour:
    """Returns the RGB colour of a class, the same in every picture.

    Colours repeat after `len(PALETTE)` classes.
    """
    return PALETTE[int(class_id) % len(PALETTE)]


def draw_boxes(
    image: np.ndarray,
    xyxy: np.ndarray,
    names: Sequence[str] | None = None,
    scores: np.ndarray | None = None,
    class_ids: np.ndarray | None = None,
    *,
    colours: Sequence[Colour] | None = None,
    line_width: int | None = None,
    font_size: int | None = None,
    scale: int = 1,
) -> np.ndarray:
    """Draws boxes with their labels on a copy of an image.

    `image` is RGB uint8 (h, w, 3). `xyxy` (n, 4) are left, top, right, bottom in pixels; parts outside the
    image are cut off, and boxes that are wholly outside or not finite are left out. `names` are n strings,
    one for each box (not for each class). `scores` (n,) are written beside the names, and better boxes are
    drawn on top. `class_ids` (n,) are ints that choose the colours; without them every distinct name gets a
    colour of its own. `colours` are RGB by class id, instead of `PALETTE`. `line_width` and `font_size` are
    in pixels and follow the image's size where not given. `scale` enlarges the image first (not the
    coordinates given), for sharp labels on a small image.

    Returns RGB uint8 (h * scale, w * scale, 3). Raises ValueError for another type of image, or lengths that
    do not match.
    """
    _check_image(image)
    boxes = np.asarray(xyxy, np.float64).reshape(-1, 4) * scale
    _check_lengths(len(boxes), names=names, scores=scores, class_ids=class_ids)
    ids = _colour_ids(len(boxes), names, class_ids)
    table = list(colours) if colours else PALETTE
    height, width = image.shape[0] * scale, image.shape[1] * scale
    line = line_width or max(1 if min(height, width) < 96 else 2, round(max(height, width) / 230))
    size = font_size or _font_size(height, width)

    canvas = image.copy() if scale == 1 else _resize(image, height, width)
    drawn: list[tuple[int, Rectangle]] = []
    for index in _painting_order(boxes, scores):
        corners = _pixel_corners(boxes[index], height, width)
        if corners is not None:
            _frame(canvas, corners, table[ids[index] % len(table)], line)
            drawn.append((index, corners))
    labels: list[Label] = []
    # Labels are placed after all frames, the best box first, so that it gets the best place.
    for index, corners in reversed(drawn):
        text = label_text(index, names, scores)
        label = place_label(text, corners, table[ids[index] % len(table)], size, (height, width), labels)
        if label is not None:
            labels.append(label)
    return draw_labels(canvas, labels) if labels else canvas


def side_by_side(
    truth: np.ndarray, prediction: np.ndarray, titles: tuple[str, str] = ("ground truth", "prediction")
) -> np.ndarray:
    """Returns two images next to each other under their titles, RGB uint8, as high as the taller one."""
    _check_image(truth)
    _check_image(prediction)
    height = max(truth.shape[0], prediction.shape[0])
    pair = [_resize(i, height, max(1, round(i.shape[1] * height / i.shape[0]))) for i in (truth, prediction)]
    size = max(10, round(height / 22))
    gap, strip = max(4, size // 2), 2 * size
    sheet = Image.new("RGB", (pair[0].shape[1] + pair[1].shape[1] + 3 * gap, height + strip + gap), _SHEET)
    left = gap
    for picture, title in zip(pair, titles):
        sheet.paste(Image.fromarray(picture), (left, strip))
        _caption(sheet, title, (left, 0, left + picture.shape[1], strip), size)
        left += picture.shape[1] + gap
    return np.array(sheet)


def contact_sheet(
    images: Sequence[np.ndarray],
    columns: int = 4,
    cell: tuple[int, int] = (240, 320),
    captions: Sequence[str] | None = None,
) -> np.ndarray:
    """Returns images in a grid, row by row, each fitted into a cell of (height, width) pixels; RGB uint8.

    Images keep their proportions and are enlarged at most fourfold. Without images the sheet is one empty
    cell. Raises ValueError where captions and images differ in number or columns is below 1.
    """
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    _check_lengths(len(images), captions=captions)
    height, width = cell
    gap, size = max(6, width // 40), max(10, height // 18)
    strip = 2 * size if captions else 0
    columns = max(1, min(columns, len(images)))
    rows = max(1, -(-len(images) // columns))
    extent = (columns * (width + gap) + gap, rows * (height + strip + gap) + gap)
    sheet = Image.new("RGB", extent, _SHEET)
    for index, picture in enumerate(images):
        _check_image(picture)
        row, column = divmod(index, columns)
        left, top = gap + column * (width + gap), gap + row * (height + strip + gap)
        scale = _fit(picture, cell)
        small = _resize(picture, max(1, int(picture.shape[0] * scale)), max(1, int(picture.shape[1] * scale)))
        offset = ((width - small.shape[1]) // 2, (height - small.shape[0]) // 2)
        sheet.paste(Image.fromarray(small), (left + offset[0], top + offset[1]))
        if captions:
            _caption(sheet, captions[index], (left, top + height, left + width, top + height + strip), size)
    return np.array(sheet)


def sheet_font(image: np.ndarray, cell: tuple[int, int]) -> int:
    """Returns the font size of labels on an image that `contact_sheet` is to fit into a cell (height, width).

    On the sheet a label takes a fifteenth of the cell's height, whatever the size of the image.
    """
    return max(10, round(cell[0] / 15 / _fit(image, cell)))


def _fit(image: np.ndarray, cell: tuple[int, int]) -> float:
    """Returns the factor by which `contact_sheet` changes an image's size."""
    return min(cell[0] / image.shape[0], cell[1] / image.shape[1], 4.0)


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """Returns an image, RGB uint8, whose longer side is at most ``side`` pixels."""
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    return _resize(image, max(1, round(height * scale)), max(1, round(width * scale)))


def _font_size(height: int, width: int) -> int:
    """Returns the size of labels that are read where the whole image is shown, whatever its size.

    Whoever shows it fits its longer side, of which a label is a fortieth. A label takes at most a sixth of
    the shorter one.
    """
    return max(10, min(round(max(height, width) / 40), min(height, width) // 6))


def _check_image(image: np.ndarray) -> None:
    shape, dtype = getattr(image, "shape", None), getattr(image, "dtype", None)
    if dtype != np.uint8 or shape is None or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise ValueError(f"an image must be RGB uint8 (height, width, 3), got {dtype} {shape}")


def _check_lengths(count: int, **given: Sequence | np.ndarray | None) -> None:
    for what, values in given.items():
        if values is not None and len(values) != count:
            raise ValueError(f"{what} has {len(values)} entries for {count} items; it needs one for each")


def _colour_ids(count: int, names: Sequence[str] | None, class_ids: np.ndarray | None) -> list[int]:
    if class_ids is not None:
        return [int(i) for i in class_ids]
    seen: dict[str, int] = {}
    return [seen.setdefault(name, len(seen)) for name in names] if names is not None else [0] * count


def _painting_order(boxes: np.ndarray, scores: np.ndarray | None) -> np.ndarray:
    """Better boxes come last; without scores large ones come first, so that small ones stay visible."""
    if scores is not None:
        return np.argsort(np.nan_to_num(np.asarray(scores, np.float64)), kind="stable")
    finite = np.nan_to_num(boxes)
    areas = (finite[:, 2] - finite[:, 0]) * (finite[:, 3] - finite[:, 1])
    return np.argsort(-areas, kind="stable")


def _pixel_corners(box: np.ndarray, height: int, width: int) -> Rectangle | None:
    """First and one-past-last columns and rows of a box, at least one each; None outside the image."""
    if not np.isfinite(box).all():
        return None
    left, top, right, bottom = (float(v) for v in box)
    if right < left or bottom < top or left >= width or top >= height or right <= 0 or bottom <= 0:
        return None
    x0, y0 = min(max(round(left), 0), width - 1), min(max(round(top), 0), height - 1)
    return x0, y0, max(min(round(right), width), x0 + 1), max(min(round(bottom), height), y0 + 1)


def _frame(canvas: np.ndarray, corners: Rectangle, colour: Colour, line: int) -> None:
    """Draws a frame inside the box, with a faint dark edge outside that shows on any ground."""
    x0, y0, x1, y1 = corners
    height, width = canvas.shape[:2]
    for x in (x0 - 1, x1):
        if 0 <= x < width:
            canvas[max(y0 - 1, 0) : y1 + 1, x] //= 2
    for y in (y0 - 1, y1):
        if 0 <= y < height:
            canvas[y, x0:x1] //= 2
    canvas[y0 : min(y0 + line, y1), x0:x1] = colour
    canvas[max(y1 - line, y0) : y1, x0:x1] = colour
    canvas[y0:y1, x0 : min(x0 + line, x1)] = colour
    canvas[y0:y1, max(x1 - line, x0) : x1] = colour


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    shrinks = height < image.shape[0]
    method = Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC
    return np.array(Image.fromarray(image).resize((width, height), method))


def _caption(sheet: Image.Image, text: str, box: Rectangle, size: int) -> None:
    text, fitting, _ = fitted(" ".join(str(text).split()), size, box[2] - box[0])
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    ImageDraw.Draw(sheet).text(middle, text, fill=_CAPTION, font=font(fitting), anchor="mm")

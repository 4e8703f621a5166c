"""A window that shows a video while it is read."""

from __future__ import annotations

import os
import sys

import numpy as np

from ..errors import UserError

_ENDS = (ord("q"), 27)


class Window:
    """Shows pictures. Raises UserError where there is no display, or OpenCV was built without windows."""

    def __init__(self, title: str) -> None:
        import cv2

        if sys.platform.startswith("linux") and not (
            os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        ):
            raise UserError("--show: there is no display here; the annotated video is a file without it")
        self._title = title
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL)
        except cv2.error:
            raise UserError(
                "--show: this OpenCV has no windows; pip uninstall opencv-python-headless, and "
                "pip install opencv-python"
            ) from None

    def show(self, pixels: np.ndarray) -> bool:
        """Shows a picture, RGB uint8 (H, W, 3). Returns False once the user has pressed q or Esc."""
        import cv2

        cv2.imshow(self._title, np.ascontiguousarray(pixels[:, :, ::-1]))
        return (cv2.waitKey(1) & 0xFF) not in _ENDS

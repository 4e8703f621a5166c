"""What a server is told: what it serves, how, and what it accepts. Nothing heavy is imported here."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..files import as_path
from ..runtimes.choices import detector_options

if TYPE_CHECKING:
    from ..predict import Detector

# The environment variable that holds the token, where no file does.
TOKEN = "GLUON_SSD_SERVE_TOKEN"
# The variable by which the settings reach the worker processes, which uvicorn starts.
_SETTINGS = "GLUON_SSD_SERVE_SETTINGS"


@dataclass(frozen=True)
class Settings:
    """What a server is told.

    ``source``, ``runtime``, ``precision``, ``device`` and the thresholds are those of `Detector`; an answer
    leaves out what scores less than ``score_threshold`` unless its request says otherwise. ``queue`` is the
    largest number of images that are accepted and not yet answered. ``timeout`` is the longest time in
    seconds that a request may take to arrive, and again to be answered. ``max_bytes`` is the largest request,
    ``max_pixels`` the largest image, and ``max_images`` the most images of one request. The token is in
    ``token_file``, or in the environment variable GLUON_SSD_SERVE_TOKEN. ``cors`` are the origins whose pages
    may use the server.
    """

    source: str
    score_threshold: float | None = None
    iou_threshold: float | None = None
    max_detections: int | None = None
    runtime: str = "auto"
    precision: str = "fp32"
    device: str = "auto"
    batch_size: int = 8
    queue: int = 128
    timeout: float = 30.0
    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000
    max_images: int = 16
    token_file: str | None = None
    cors: tuple[str, ...] = ()
    access_log: bool = True
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_images > self.queue:
            raise UserError(
                f"a request of {self.max_images} images never fits into a queue of {self.queue}; "
                "raise --queue or lower --max-images"
            )

    @property
    def name(self) -> str:
        """Returns the name of the model: that of its file or folder."""
        return Path(self.source).resolve().name


def to_environment(settings: Settings, environment: dict[str, str] | os._Environ[str] = os.environ) -> None:
    """Puts the settings where `from_environment` finds them in another process."""
    environment[_SETTINGS] = json.dumps(asdict(settings))


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Returns the settings that the process was started with."""
    values: dict[str, Any] = json.loads(environment[_SETTINGS])
    # JSON knows no tuples.
    for key in ("cors", "plugins"):
        values[key] = tuple(values[key])
    return Settings(**values)


def read_token(settings: Settings) -> str | None:
    """Returns the token that a request has to bring; None where anyone is served.

    Raises UserError for a file that cannot be read, and for a token that no request could bring.
    """
    if settings.token_file is None:
        token, where = os.environ.get(TOKEN), TOKEN
    else:
        where = settings.token_file
        try:
            token = as_path(where).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{where}: the token cannot be read ({error})") from None
    if token is None:
        return None
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(f"{where}: a token is one word of printable ASCII, and not empty")
    return token


def open_detector(settings: Settings) -> tuple[Detector, float]:
    """Returns the detector, and the score threshold of answers to requests that give none.

    The detector itself finds what scores less, too, so that a request may ask for it. Raises UserError as
    `Detector` does.
    """
    from ..predict import Detector

    asked, options = settings.score_threshold, detector_options(settings)
    detector = Detector(settings.source, **options)
    if asked is None:
        return detector, max(detector.score_threshold, detector.best_threshold)
    if asked < detector.score_threshold:
        detector = Detector(settings.source, asked, **options)
    return detector, asked


def limit_decoders(max_pixels: int) -> None:
    """Has OpenCV and Pillow refuse larger images by themselves, where a file has deceived our look at it.

    OpenCV reads its limit when it is imported, so that this has to come before.
    """
    from PIL import Image

    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(max_pixels)
    # A damaged image is told to the client; OpenCV would write several lines on each into the log.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    # Pillow refuses what has more than twice this number, and would warn of what has more than once.
    Image.MAX_IMAGE_PIXELS = max_pixels // 2
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)

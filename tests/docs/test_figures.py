"""The figures of the pages are those that docs/make_figures.py draws, and the text counts what they show."""

import importlib.util
import io

import numpy as np
import pytest
from PIL import Image
from places import REPOSITORY


@pytest.fixture(scope="module")
def figures():
    spec = importlib.util.spec_from_file_location("make_figures", REPOSITORY / "docs/make_figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figures_are_drawn_by_the_script(figures):
    for name in figures.FIGURES:
        path = REPOSITORY / "docs/images" / name
        assert path.stat().st_size < 100_000
        drawn = Image.open(io.BytesIO(figures.drawn(name))).convert("RGB")
        kept = Image.open(path).convert("RGB")
        # Fonts and codecs differ between machines in a few pixels.
        assert drawn.size == kept.size
        assert np.abs(np.subtract(drawn, kept, dtype=np.int16)).mean() < 4


def test_the_text_counts_what_the_figure_shows(figures, monkeypatch):
    monkeypatch.setattr(figures, "side_by_side", lambda first, second, titles: titles)
    assert figures.matching() == ("7 objects", "37 of 8,732 default boxes")
    page = (REPOSITORY / "docs/how-ssd-works.md").read_text(encoding="utf-8")
    assert "![seven objects, and the 37 of 8,732 default boxes that take them](images/matching.png)" in page

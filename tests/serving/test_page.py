"""The page at /, in Chromium."""

from __future__ import annotations

import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from http_server import in_thread
from PIL import Image
from small import picture

from gluon_ssd.serving.app import create_app
from gluon_ssd.serving.batching import Batcher
from gluon_ssd.serving.page import page as page_of

# None of this depends on the version of Python.
pytestmark = pytest.mark.once
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
WIDTHS = (1280, 390)
# What `Found` below finds: scores fall, and the last is seen only with the slider far to the left.
SCORES = (0.95, 0.8, 0.5, 0.1)


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with playwright.sync_playwright() as started:
        path = found or started.chromium.executable_path
        if not Path(path).is_file():
            pytest.skip("no Chromium: apt install chromium, or playwright install chromium")
        # Chromium does not start its sandbox for root, as whom containers run.
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served(opened, settings):
    """The server, with detections that a test can name: two circles, a square and a star."""

    def found(self, jobs):
        boxes = np.array([[9, 9, 40, 40], [50, 50, 90, 70], [1, 1, 8, 8], [60, 2, 99, 30]], np.float32)
        for job in jobs:
            job.result.set_result((boxes, np.array(SCORES, np.float32), np.array([0, 1, 0, 3])))
        self.problem = None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batcher, "_compute", found)
        with in_thread(create_app(opened[0], 0.3, settings)) as client:
            yield client


@pytest.fixture
def page(browser, served):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    shown = context.new_page()
    problems = []
    shown.on("pageerror", lambda error: problems.append(str(error)))
    # A page that asks for anything from elsewhere fails: the policy in its headers says so here.
    policy = "Content Security Policy"
    shown.on("console", lambda line: problems.append(line.text) if policy in line.text else None)
    shown.goto(f"http://127.0.0.1:{served.port}/")
    yield shown
    context.close()
    assert problems == []


def file(name="a'photo.png", kind="image/png", data=None):
    buffer = io.BytesIO()
    Image.fromarray(picture(100, 80)).save(buffer, "PNG")
    return {"name": name, "mimeType": kind, "buffer": data or buffer.getvalue()}


def upload(page, **what):
    page.set_input_files("#file", file(**what))
    page.wait_for_selector("#result:not([hidden])")


def boxes(page):
    return page.locator(".box span").all_inner_texts()


def move(page, score):
    page.locator("#score").fill(str(score))


def test_an_upload_the_slider_and_the_classes(page, served):
    upload(page)
    assert boxes(page) == ["circle 0.50", "square 0.80", "circle 0.95"]
    assert page.inner_text("#status") == "3 of 4 objects shown: 2 circle, 1 square."
    # Both act without the server.
    page.route("**/*", lambda route: route.abort())
    move(page, 0.05)
    assert boxes(page)[0] == "star 0.10"
    move(page, 0.9)
    assert boxes(page) == ["circle 0.95"] and page.inner_text("#score-value") == "0.90"
    move(page, 0.05)
    page.get_by_label("circle").uncheck()
    assert boxes(page) == ["star 0.10", "square 0.80"]
    assert page.locator("#rows tr").count() == 2
    frame, box = page.locator("#frame").bounding_box(), page.locator(".box").last.bounding_box()
    scale = frame["width"] / 100
    assert [box["x"] - frame["x"], box["y"] - frame["y"], box["width"], box["height"]] == pytest.approx(
        [50 * scale, 50 * scale, 40 * scale, 20 * scale], abs=1
    )


def test_the_json_and_the_command_line(page, served):
    upload(page)
    move(page, 0.9)
    page.get_by_text("JSON", exact=True).click()
    shown = json.loads(page.inner_text("#json"))
    assert (shown["name"], shown["width"], shown["height"]) == ("a'photo.png", 100, 80)
    assert [one["score"] for one in shown["detections"]] == [0.95]
    assert page.inner_text("#curl") == (
        r"curl --data-binary '@a'\''photo.png' -H 'Content-Type: image/png' "
        f"'http://127.0.0.1:{served.port}/v1/detect?score_threshold=0.9'"
    )
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.inner_text("#curl")


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_an_image_is_pasted_and_dropped(page, kind):
    event, where = {"paste": ("ClipboardEvent", "clipboardData"), "drop": ("DragEvent", "dataTransfer")}[kind]
    page.evaluate(
        """([kind, event, where, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "p.png", { type: "image/png" }));
            const happened = new window[event](kind, { [where]: data, bubbles: true, cancelable: true });
            document.body.dispatchEvent(happened);
        }""",
        [kind, event, where, list(file()["buffer"])],
    )
    page.wait_for_selector("#result:not([hidden])")
    assert len(boxes(page)) == 3


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"name": "notes.txt", "kind": "text/plain", "data": b"hello"}, "notes.txt is not an image."),
        ({"name": "broken.png", "data": b"hello"}, "broken.png: not an image whose size can be read"),
        ({"name": "large.png", "data": b"x" * 400_000}, "large.png has 0.4 MB; the server takes up to 0.3"),
    ],
)
def test_a_wrong_file_is_said_and_the_next_one_works(page, what, words):
    upload(page)
    page.set_input_files("#file", file(**what))
    page.locator("#problem").get_by_text(words).wait_for()
    assert not page.is_visible("#result") and page.inner_text("#status") == ""
    upload(page)
    assert page.inner_text("#problem") == ""


def test_everything_is_reached_by_the_keyboard(page):
    upload(page)
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"camera", "score", "INPUT", "curl", "copy", "SUMMARY"} <= set(reached)
    page.focus("#score")
    page.keyboard.press("End")
    assert page.inner_text("#score-value") == "0.99" and boxes(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off_and_axe_finds_no_violation(page, width, scheme):
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    upload(page)
    page.get_by_text("JSON", exact=True).click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    axe = os.environ.get("GLUON_SSD_AXE")
    if not axe:
        pytest.skip("GLUON_SSD_AXE is not set to axe.min.js of axe-core")
    # By the debugger's way, which the page's policy does not bind.
    page.evaluate(Path(axe).read_text(encoding="utf-8"))
    violations = page.evaluate("axe.run()")["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in violations] == []


def test_a_server_with_a_token_asks_for_it(browser, opened, settings, tmp_path):
    (tmp_path / "token").write_text("secret")
    asked = replace(settings, token_file=str(tmp_path / "token"))
    with in_thread(create_app(*opened, asked)) as client:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{client.port}/")
        for word in ("wrong", "secret"):
            page.get_by_label("Token of this server").fill(word)
            page.keyboard.press("Enter")
            if word == "wrong":
                page.get_by_text("That token is wrong.").wait_for()
        page.get_by_text("No image yet.").wait_for()
        upload(page)
        assert '-H "Authorization: Bearer $TOKEN"' in page.inner_text("#curl")
        page.close()


def test_the_page_needs_nothing_from_elsewhere():
    text, headers = page_of(("</script>", "b"))
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not any(part in text for part in ("http://", "https://", "</script><", "src=", "@import"))

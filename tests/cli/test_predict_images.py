"""`predict` and `val` on real files: what is written, what it means, and pictures of every kind."""

import contextlib
import io
import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from small import picture, refused

from gluon_ssd.data.shapes import SHAPES
from gluon_ssd.errors import UserError

LOW = ("--score-threshold", 0.01, "--max-detections", 10)


@pytest.fixture
def photos(tmp_path):
    """Pictures of every kind, by name."""
    folder = tmp_path / "photos"
    folder.mkdir()
    image = picture(64, 48)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(folder / "colour.jpg")
    Image.fromarray(image).convert("L").save(folder / "grey.jpg")
    Image.fromarray(image).convert("CMYK").save(folder / "cmyk.jpg")
    cv2.imwrite(str(folder / "deep.png"), image.astype(np.uint16) * 257)
    Image.fromarray(image[:1, :1]).save(folder / "pixel.png")
    Image.fromarray(image).save(folder / "turned.jpg", exif=exif)
    return folder


def results(folder):
    return json.loads((folder / "detections.json").read_text())["annotations"]


def test_a_folder_of_every_kind(cli, small_run, photos, tmp_path):
    result = cli("predict", photos, "--weights", small_run, "--output", "out", *LOW)
    assert (result.status, result.err) == (0, "")
    names = ["cmyk.jpg", "colour.jpg", "deep.png", "grey.jpg", "pixel.png", "turned.jpg"]
    lines = result.out.splitlines()
    assert [line.split(": ")[0] for line in lines[:-1]] == [f"{photos}/{name}" for name in names]
    assert lines[-1] == f"6 images, {len(results(tmp_path / 'out'))} detections in out/"
    sizes = {}
    for name in names:
        with Image.open(tmp_path / "out/images" / name) as image:
            sizes[name] = image.size
    assert sizes == {**dict.fromkeys(names, (64, 48)), "pixel.png": (1, 1), "turned.jpg": (48, 64)}


def test_boxes_of_a_turned_photo_are_in_the_upright_frame(cli, small_run, photos, tmp_path):
    upright = tmp_path / "upright.png"
    Image.fromarray(np.asarray(Image.open(photos / "turned.jpg").transpose(Image.Transpose.ROTATE_270))).save(
        upright
    )
    cli("predict", photos / "turned.jpg", "--weights", small_run, "--output", "one", *LOW)
    cli("predict", upright, "--weights", small_run, "--output", "two", *LOW)
    one, two = results(tmp_path / "one"), results(tmp_path / "two")
    assert len(one) == len(two) > 0
    for a, b in zip(one, two):
        # Two libraries decode the JPEG; their rounding differs by a level here and there.
        np.testing.assert_allclose(a["bbox"], b["bbox"], atol=1)
        assert a["category_id"] == b["category_id"]
        assert a["bbox"][0] + a["bbox"][2] <= 48.01 and a["bbox"][1] + a["bbox"][3] <= 64.01
    with Image.open(tmp_path / "one/images/turned.jpg") as image:
        assert image.getexif().get(0x0112) is None


def test_results_are_accepted_by_pycocotools(cli, small_run, shapes, tmp_path):
    annotation = ("--annotation", shapes / "annotations/instances_val.json")
    flags = ("--weights", small_run, "--output", "out", *annotation, *LOW)
    result = cli("predict", f"{shapes}/val/*.jpg", *flags)
    assert result.status == 0
    with contextlib.redirect_stdout(io.StringIO()):
        found = COCO(str(shapes / "annotations/instances_val.json")).loadRes(
            str(tmp_path / "out/detections.json")
        )
    assert sorted(found.imgToAnns) == [1, 2, 3, 4]
    assert all(len(rows) == 10 for rows in found.imgToAnns.values())
    assert {row["category_id"] for row in found.anns.values()} <= set(range(1, len(SHAPES) + 1))


def test_one_file_and_the_default_folder(cli, small_run, photos, tmp_path):
    assert cli("predict", photos / "grey.jpg", "--weights", small_run / "last").status == 0
    assert (tmp_path / "runs/predict-1/images/grey.jpg").is_file()
    assert cli("predict", photos / "grey.jpg", "--weights", small_run).status == 0
    assert (tmp_path / "runs/predict-2/detections.json").is_file()


def test_urls_are_fetched_only_where_they_are_allowed(cli, small_run, photos, tmp_path, monkeypatch):
    from gluon_ssd.data import urls

    def fetch(url, path):
        if "gone" in url:
            raise UserError(f"{url}: the server answers 404 Not Found")
        shutil.copyfile(photos / "colour.jpg", path)

    monkeypatch.setattr(urls, "fetch_url", fetch)
    names = ("https://a.example/one.jpg", "https://b.example/one.jpg", "https://a.example/gone.jpg")
    flags = ("--weights", small_run, "--output", "out", *LOW)
    asked = cli("predict", *names, *flags)
    refused(asked, f"error: {names[0]}: is a URL, which only predict --allow-url fetches")
    result = cli("predict", names[0], photos / "grey.jpg", *names, *flags, "--allow-url")
    assert (result.status, result.err) == (2, f"error: {names[2]}: the server answers 404 Not Found\n")
    files = ["out/downloads/one.jpg", f"{photos}/grey.jpg", "out/downloads/one-2.jpg"]
    lines = result.out.splitlines()
    assert lines[1] == f"{names[1]}: fetched as one-2.jpg"
    assert [line.split(": ")[0] for line in lines[2:-1] if "threshold" not in line] == files
    assert sorted(path.name for path in (tmp_path / "out/downloads").iterdir()) == ["one-2.jpg", "one.jpg"]
    refused(cli("predict", "http://10.0.0.1/x.jpg", *flags, "--allow-url"), "only public addresses")
    # Where nothing came, nothing is written.
    nothing = cli("predict", names[2], "--weights", small_run, "--output", "new", "--allow-url")
    assert (nothing.status, (tmp_path / "new").exists()) == (2, False)


def test_nothing_found(cli, small_run, photos, tmp_path):
    quiet = ("--score-threshold", 0.999, "--output", "out")
    result = cli("predict", photos / "grey.jpg", "--weights", small_run, *quiet)
    assert result.out.startswith(f"{photos}/grey.jpg: nothing found\n")
    assert results(tmp_path / "out") == []
    assert (tmp_path / "out/images/grey.jpg").is_file()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "the file is empty (0 bytes)"),
        (b"no picture\n", "not a picture that can be decoded"),
        (None, "the picture is truncated (300 bytes)"),
    ],
)
def test_a_broken_picture_among_good_ones(cli, small_run, photos, tmp_path, content, part):
    whole = (photos / "colour.jpg").read_bytes()
    (photos / "bad.jpg").write_bytes(whole[:300] if content is None else content)
    result = cli("predict", photos, "--weights", small_run, "--output", "out", *LOW)
    refused(result, f"{photos}/bad.jpg: ", part)
    assert result.out.splitlines()[-1].startswith("6 images, ")
    assert len(list((tmp_path / "out/images").iterdir())) == 6
    assert not (tmp_path / "out/images/bad.jpg").exists()


def test_the_pictures_themselves_are_not_written_over(cli, small_run, photos, tmp_path):
    (tmp_path / "mine").mkdir()
    photos.rename(tmp_path / "mine/images")
    before = (tmp_path / "mine/images/grey.jpg").read_bytes()
    result = cli("predict", "mine/images", "--weights", small_run, "--output", "mine")
    refused(result, "mine/images/cmyk.jpg: is one of the images to read; choose another --output")
    assert (tmp_path / "mine/images/grey.jpg").read_bytes() == before


def test_batch_size_makes_no_difference(cli, small_run, photos, tmp_path):
    for size in (1, 6):
        flags = ("--batch-size", size, "--output", f"out{size}", *LOW)
        assert cli("predict", photos, "--weights", small_run, *flags).status == 0
    for one, other in zip(results(tmp_path / "out1"), results(tmp_path / "out6")):
        assert (one["file_name"], one["category_id"]) == (other["file_name"], other["category_id"])
        np.testing.assert_allclose(one["bbox"], other["bbox"], atol=0.02)


@pytest.mark.usefixtures("drawn_plots")
def test_val_of_a_run_and_of_a_checkpoint(cli, small_run, tmp_path):
    run = shutil.copytree(small_run, tmp_path / "mine")
    shutil.rmtree(run / "val")
    result = cli("val", run)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("4 images evaluated, ")
    page = f"{run}/report.html"
    assert result.out.endswith(f"results in {run}/val, all of them on one page: {page}\n")
    assert sorted(path.name for path in (run / "val").iterdir()) == [
        "confidence.png",
        "confusion.png",
        "detections.json",
        "per_class.csv",
        "pr_curves.png",
        "report.json",
        "samples.jpg",
        "scores.json",
    ]
    scores = json.loads((run / "val/scores.json").read_text())
    trained = json.loads((small_run / "val/scores.json").read_text())
    assert scores["images"] == 4
    assert scores["map"] == pytest.approx(trained["map"], abs=1e-6)
    header = (run / "val/per_class.csv").read_text().splitlines()[0]
    assert header == "class,objects,ap,ap50,f1,score_threshold"
    # A file anywhere, its results where it is told.
    shutil.copy(run / "checkpoints/last.ckpt", tmp_path / "mine.ckpt")
    result = cli("val", "mine.ckpt", "--split", "train", "--limit", 3, "--output", "out")
    assert result.out.startswith("3 images evaluated, ")
    assert json.loads((tmp_path / "out/scores.json").read_text())["images"] == 3


def test_val_takes_the_annotations_the_run_was_trained_with(cli, shapes, tmp_path):
    shutil.copy(shapes / "annotations/instances_val.json", tmp_path / "mine.json")
    (tmp_path / "empty").mkdir()
    keys = {"train-annotation": shapes / "annotations/instances_train.json", "train-images": shapes / "train"}
    keys.update({"val-annotation": tmp_path / "mine.json", "val-images": shapes / "val"})
    flags = [text for key, value in keys.items() for text in (f"--{key}", value)]
    train = ("train", "--recipe", "ssd_tiny/smoke", "--max-steps", 1, "--output", "run")
    assert cli(*train, *flags, "--data", tmp_path / "empty").status == 0
    assert cli("val", "run").out.startswith("4 images evaluated, ")


def test_images_without_detections_count(cli, small_run, tmp_path):
    result = cli("val", small_run, "--score-threshold", 0.999, "--output", "out")
    assert result.status == 0
    assert result.out.startswith("4 images evaluated, 0 detections\n")
    scores = json.loads((tmp_path / "out/scores.json").read_text())
    assert (scores["images"], scores["map"], scores["ar_100"]) == (4, 0.0, 0.0)


def test_a_temporary_folder_is_made_for_urls_alone(cli, small_run, photos, monkeypatch):
    """One would stay where the process is killed."""
    monkeypatch.setattr("tempfile.TemporaryDirectory", None)
    result = cli("predict", photos / "grey.jpg", "--weights", small_run, "--output", "out")
    assert (result.status, result.err) == (0, "")

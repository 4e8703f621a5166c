"""Ids in results: those of the user's annotation file, by way of the checkpoint or of --annotation."""

import contextlib
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from small import picture, refused

from gluon_ssd.data.shapes import SHAPES

LOW = ("--score-threshold", 0.05)


@pytest.fixture(scope="module")
def renumbered(shapes, tmp_path_factory):
    """A run on `shapes` with every category id lowered by one and the images numbered from 100."""
    from gluon_ssd.recipe import load_recipe
    from gluon_ssd.training.train import run_training

    root = tmp_path_factory.mktemp("ids")
    shutil.copytree(shapes, root / "set")
    for path in (root / "set" / "annotations").iterdir():
        content = json.loads(path.read_text())
        for row in content["annotations"]:
            row.update(category_id=row["category_id"] - 1, image_id=row["image_id"] + 99)
        for row in content["categories"]:
            row["id"] -= 1
        for row in content["images"]:
            row["id"] += 99
        path.write_text(json.dumps(content))
    changes = {"data": str(root / "set"), "output": str(root / "run"), "batch_size": 4, "max_steps": 2}
    run_training(load_recipe("ssd_tiny/smoke", changes), quiet=True)
    return root


def scored(annotation, results):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotation))
        evaluation = COCOeval(truth, truth.loadRes(str(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def test_category_ids_travel_into_the_checkpoint(cli, renumbered, tmp_path):
    result = cli("predict", renumbered / "set/val", "--weights", renumbered / "run", "--output", "out", *LOW)
    assert result.status == 0
    content = json.loads((tmp_path / "out/detections.json").read_text())
    assert [row["id"] for row in content["categories"]] == list(range(len(SHAPES)))
    assert [row["name"] for row in content["categories"]] == list(SHAPES)
    # Image ids are its own, and it says so.
    assert "image ids are of this file alone" in content["info"]["description"]
    assert [row["id"] for row in content["images"]] == [1, 2, 3, 4]
    assert {row["image_id"] for row in content["annotations"]} <= {1, 2, 3, 4}


def test_pycocotools_gives_of_predicts_file_what_val_prints(cli, renumbered, tmp_path):
    annotation = renumbered / "set/annotations/instances_val.json"
    run = renumbered / "run"
    assert cli("val", run, "--output", "val", *LOW).status == 0
    flags = ("--weights", run, "--annotation", annotation, "--output", "out", *LOW)
    assert cli("predict", renumbered / "set/val", *flags).status == 0
    expected = json.loads((tmp_path / "val/scores.json").read_text())
    found = scored(annotation, tmp_path / "out/detections.json")
    assert found[0] == pytest.approx(expected["map"], abs=1e-6)
    assert found[8] == pytest.approx(expected["ar_100"], abs=1e-6)
    assert scored(annotation, tmp_path / "val/detections.json")[0] == pytest.approx(expected["map"], abs=1e-3)


def test_classes_of_an_annotation_file_go_by_name(cli, renumbered, tmp_path):
    content = json.loads((renumbered / "set/annotations/instances_val.json").read_text())
    content["categories"] = [{"id": 70 + k, "name": name} for k, name in enumerate(reversed(SHAPES))]
    content["annotations"] = []
    (tmp_path / "mine.json").write_text(json.dumps(content))
    flags = ("--weights", renumbered / "run", "--annotation", "mine.json", "--output", "out", *LOW)
    assert cli("predict", renumbered / "set/val", *flags).status == 0
    rows = json.loads((tmp_path / "out/detections.json").read_text())
    ids = {name: 70 + k for k, name in enumerate(reversed(SHAPES))}
    assert rows and all(row["category_id"] == ids[row["category_name"]] for row in rows)
    assert {row["image_id"] for row in rows} <= {100, 101, 102, 103}


def test_images_that_the_annotation_file_lacks(cli, renumbered, tmp_path):
    annotation = renumbered / "set/annotations/instances_val.json"
    (tmp_path / "photos").mkdir()
    Image.fromarray(picture(64, 48)).save(tmp_path / "photos/other.jpg")
    flags = ("--weights", renumbered / "run", "--annotation", annotation, *LOW)
    refused(cli("predict", "photos", *flags), "names none of the images")
    shutil.copy(renumbered / "set/val/000001.jpg", tmp_path / "photos")
    result = cli("predict", "photos", *flags, "--output", "out")
    assert result.status == 0 and "1 images are not in " in result.out
    rows = json.loads((tmp_path / "out/detections.json").read_text())
    assert {row["file_name"] for row in rows} <= {"000001.jpg"}


def test_classes_of_a_checkpoint_that_are_asked_for_alone(cli, renumbered, tmp_path):
    flags = ("--weights", renumbered / "run", *LOW, "--only")
    assert cli("predict", renumbered / "set/val", *flags, SHAPES[1], "--output", "out").status == 0
    rows = json.loads((tmp_path / "out/detections.json").read_text())["annotations"]
    assert {row["category_name"] for row in rows} == {SHAPES[1]}
    refused(cli("predict", renumbered / "set/val", *flags, "hexagonn"), "unknown class 'hexagonn'")


def test_a_training_of_some_classes_alone(cli, renumbered, tmp_path):
    chosen = (SHAPES[2], SHAPES[0])
    flags = ("--recipe", "ssd_tiny/smoke", "--max-steps", 1, "--batch-size", 2, "--output", "run")
    result = cli("train", *flags, "--data", renumbered / "set", "--only", *chosen)
    assert (result.status, result.err) == (0, ""), result
    assert cli("predict", renumbered / "set/val", "--weights", "run", "--output", "out").status == 0
    categories = json.loads((tmp_path / "out/detections.json").read_text())["categories"]
    assert categories == [{"id": 2, "name": SHAPES[2]}, {"id": 0, "name": SHAPES[0]}]
    refused(
        cli("train", *flags[:-1], "new", "--data", renumbered / "set", "--only", "circel"),
        "unknown class 'circel'; did you mean",
    )


def test_files_of_a_folder_that_are_left_out_are_counted(cli, renumbered, tmp_path):
    (tmp_path / "photos").mkdir()
    for suffix in ("jpg", "jfif", "webp", "gif", "ppm", "tif"):
        kind = {"jfif": "JPEG"}.get(suffix)
        Image.fromarray(picture(64, 48)).save(tmp_path / "photos" / f"{suffix}.{suffix}", kind)
    for name in ("notes.txt", "a.heic", "b.HEIC", ".hidden.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    result = cli("predict", "photos", "--weights", renumbered / "run", "--output", "out", *LOW)
    assert (result.status, result.err) == (0, ""), result
    assert result.out.splitlines()[0] == (
        "photos: 4 files left out, which are no images that can be decoded (2 .heic, 1 .txt, 1 hidden; .heic "
        "needs: pip install pillow-heif)"
    )
    assert result.out.splitlines()[-1].startswith("6 images, ")
    written = sorted(path.name for path in (tmp_path / "out/images").iterdir())
    assert written == ["gif.png", "jfif.png", "jpg.jpg", "ppm.png", "tif.tif", "webp.webp"]


def test_the_pictures_of_another_run_are_not_mixed_with(cli, renumbered, tmp_path):
    arguments = ("predict", renumbered / "set/val", "--weights", renumbered / "run", "--output", "out")
    assert cli(*arguments).status == 0
    before = (tmp_path / "out/detections.json").read_bytes()
    refused(
        cli(*arguments, "--score-threshold", 0.9), "out: holds the results of another run; choose another"
    )
    assert (tmp_path / "out/detections.json").read_bytes() == before


def test_photos_of_every_kind_of_file_are_turned_alike(cli, renumbered, tmp_path):
    (tmp_path / "photos").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ("jpg", "png", "tif", "webp"):
        options = {"quality": 100} if suffix in ("jpg", "webp") else {}
        Image.fromarray(picture(64, 48)).save(
            tmp_path / "photos" / f"{suffix}.{suffix}", exif=exif, **options
        )
    assert cli("predict", "photos", "--weights", renumbered / "run", "--output", "out", *LOW).status == 0
    images = json.loads((tmp_path / "out/detections.json").read_text())["images"]
    assert [(row["width"], row["height"]) for row in images] == [(48, 64)] * 4
    drawn = [np.asarray(Image.open(path).convert("RGB")) for path in (tmp_path / "out/images").iterdir()]
    assert {image.shape for image in drawn} == {(64, 48, 3)}


def test_val_of_the_test_split(cli, renumbered, tmp_path):
    shutil.copytree(renumbered / "set", tmp_path / "set")
    shutil.copy(
        tmp_path / "set/annotations/instances_val.json", tmp_path / "set/annotations/instances_test.json"
    )
    (tmp_path / "set/val").rename(tmp_path / "set/test")
    result = cli("val", renumbered / "run", "--data", "set", "--split", "test", "--output", "out")
    assert (result.status, result.err) == (0, ""), result
    assert "4 images evaluated" in result.out

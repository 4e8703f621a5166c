"""scripts/datasets/download_openimages_mlperf.sh with a mirror of two images, and a stand-in for fiftyone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from label_files import CSV
from places import REPOSITORY
from range_server import RangeServer
from small import picture

from gluon_ssd.data.openimages_names import OPENIMAGES_MLPERF_CLASSES

SCRIPT = REPOSITORY / "scripts" / "datasets" / "download_openimages_mlperf.sh"
FIFTYONE = """
import json, types, sys
class View:
    def match_tags(self, split): return self
    def export(self, labels_path, dataset_type, label_field, classes):
        assert (dataset_type, label_field) == ("COCO", "detections")
        rows = [{"id": k, "name": name} for k, name in enumerate(classes, start=1)]
        boxes = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "IsGroupOf": True}]
        json.dump({"images": [], "categories": rows, "annotations": boxes}, open(labels_path, "w"))
def load_zoo_dataset(name, classes, splits, label_types, dataset_dir, **rest):
    print(name, len(classes), splits, label_types, dataset_dir)
    return View()
zoo = types.ModuleType("fiftyone.zoo"); zoo.load_zoo_dataset = load_zoo_dataset
sys.modules["fiftyone.zoo"] = zoo
types = types.SimpleNamespace(COCODetectionDataset="COCO")
"""


def run(*arguments, folder, **environment):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PATH": path, "GLUON_SSD_MIRROR": "", **environment}
    return subprocess.run(
        [SCRIPT, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def mirror(tmp_path):
    root = tmp_path / "mirror"
    lines = "".join(f"/m/{k},{name}\n" for k, name in enumerate(OPENIMAGES_MLPERF_CLASSES))
    for path, text in {
        "v5/validation-annotations-bbox.csv": CSV + "i,x,/m/3,1,0,0.5,0,1,0,0,1,0,0\n",
        "v5/class-descriptions-boxable.csv": lines,
        "2018_04/bbox_labels_600_hierarchy.json": "{}",
        "2018_04/validation/validation-images-with-rotation.csv": "ImageID\ni\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "validation").mkdir()
    cv2.imwrite(str(root / "validation" / "i.jpg"), picture(80, 60))
    return root


def test_from_the_csv_files_and_again(tmp_path, mirror):
    done = run("set", "--only", "validation", folder=tmp_path, GLUON_SSD_MIRROR=str(mirror))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "set/validation/data: 1 images, 1 of them fetched now",
        "set/validation/labels/openimages-mlperf.json: 1 images, 1 boxes",
        "set/info.json: 1 images",
    ]
    info = json.loads((tmp_path / "set" / "info.json").read_text())
    assert (info["name"], info["num_samples"], len(info["classes"])) == ("open-images-v6", 1, 264)
    assert info["downloaded_splits"] == {"validation": {"split": "validation", "num_samples": 1}}
    target = tmp_path / "set" / "validation" / "labels" / "openimages-mlperf.json"
    row = json.loads(target.read_text())["annotations"][0]
    assert (row["category_id"], row["bbox"], row["iscrowd"]) == (3, [0, 0, 40, 60], 1)
    assert sorted(path.name for path in (tmp_path / "set" / "validation" / "metadata").iterdir()) == [
        "classes.csv",
        "hierarchy.json",
        "image_ids.csv",
    ]
    done = run("set", "--only", "validation", folder=tmp_path, GLUON_SSD_MIRROR="/nowhere")
    assert done.stdout == "# set/validation/labels/openimages-mlperf.json is complete\n"
    target.unlink()
    (tmp_path / "mirror" / "v5" / "validation-annotations-bbox.csv").unlink()
    done = run("-d", "set", "--only=validation", folder=tmp_path, GLUON_SSD_MIRROR=str(mirror))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-3] == "set/validation/data: 1 images, 0 of them fetched now"


def test_a_file_that_is_whole_but_has_not_got_its_name_is_taken(tmp_path, mirror):
    labels = tmp_path / "set" / "validation" / "labels"
    labels.mkdir(parents=True)
    content = (mirror / "v5" / "validation-annotations-bbox.csv").read_text()
    (labels / "detections.csv.part").write_text(content)
    with RangeServer(mirror) as server:
        done = run("set", "--only", "validation", folder=tmp_path, GLUON_SSD_MIRROR=server.url)
    assert done.returncode == 0, done.stderr
    assert server.asked[0] == ("/v5/validation-annotations-bbox.csv", f"bytes={len(content)}-")
    assert (labels / "detections.csv").read_text() == content


def test_an_image_that_cannot_be_had_ends_it(tmp_path, mirror):
    (mirror / "validation" / "i.jpg").unlink()
    done = run("set", "--only", "validation", folder=tmp_path, GLUON_SSD_MIRROR=str(mirror))
    assert (done.returncode, done.stdout) == (2, "")
    message = f"error: {mirror}/validation/i.jpg: No such file or directory; run again to go on\n"
    assert done.stderr == message


def test_dry_run_prints_every_step_and_does_nothing(tmp_path):
    done = run("--dry-run", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.strip() for line in done.stdout.splitlines()]
    root = "/datasets/open-images-v6"
    assert lines[1] == (
        "curl --fail --location --progress-bar --continue-at - --output "
        f"{root}/validation/labels/detections.csv.part "
        "https://storage.googleapis.com/openimages/v5/validation-annotations-bbox.csv"
    )
    script = SCRIPT.with_name("openimages_mlperf.py")
    bucket = "https://open-images-dataset.s3.amazonaws.com"
    assert lines[-3].endswith(f"{script} images {root}/train {bucket}/train --workers 32")
    assert lines[-2].endswith(f"{script} labels {root}/train")
    assert lines[-1].endswith(f"{script} info {root}")
    assert sum("oidv6-train-annotations-bbox.csv" in line for line in lines) == 1
    done = run("--dry-run", "--with", "fiftyone", "set", folder=tmp_path)
    assert done.stdout.strip().endswith("fiftyone_openimages.py set validation train")
    assert list(tmp_path.iterdir()) == []


def test_through_fiftyone(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "fiftyone.py").write_text(FIFTYONE)
    (tmp_path / "set" / "validation" / "labels").mkdir(parents=True)
    path = f"{tmp_path}/lib:{REPOSITORY}"
    done = run("set", "--only", "validation", "--with=fiftyone", folder=tmp_path, PYTHONPATH=path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"open-images-v6 264 ['validation'] detections {tmp_path}/set\n"
    content = json.loads((tmp_path / "set" / "validation" / "labels" / "openimages-mlperf.json").read_text())
    assert content["categories"][0] == {"id": 0, "name": "Airplane", "supercategory": None}
    assert (content["annotations"][0]["category_id"], content["annotations"][0]["iscrowd"]) == (0, 1)


def test_without_fiftyone(tmp_path):
    done = run("set", "--with", "fiftyone", folder=tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr
        == 'error: fiftyone is not installed; pip install "fiftyone==1.2.0", or leave out --with\n'
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dryrun"], "unknown argument --dryrun (see: download_openimages_mlperf.sh --help)"),
        (["--only", "val"], "--only is train or validation, not val"),
        (["--with", "csvs"], "--with is csv or fiftyone, not csvs"),
        (["--workers=0"], "--workers is a number from 1, not 0"),
        (["--workers"], "--workers needs a value"),
    ],
)
def test_mistakes(tmp_path, arguments, message):
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {message}\n")


def test_help(tmp_path):
    done = run("--help", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--with fiftyone" in done.stdout

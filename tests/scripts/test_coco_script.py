"""scripts/datasets/download_coco2017.sh with a small COCO and a server of our own."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from places import REPOSITORY
from range_server import RangeServer

FOLDER = REPOSITORY / "scripts" / "datasets"
SCRIPT = FOLDER / "download_coco2017.sh"
PATHS = ("annotations/annotations_trainval2017.zip", "zips/val2017.zip", "zips/train2017.zip")


def run(script, *arguments, folder, **environment):
    env = {**os.environ, "GLUON_SSD_MIRROR": "", **environment}
    return subprocess.run(
        [script, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def small(tmp_path):
    """The script with the sizes and sums of a tiny COCO, its zip files in a folder, and gluon-ssd."""
    mirror, old = tmp_path / "mirror", SCRIPT.read_text()
    start, end = old.index('readonly PIECES="\n'), old.index('\n"\n')
    rows = []
    for path in PATHS:
        (mirror / path).parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(mirror / path, "w") as archive:
            folder = Path(path).stem.split("_")[0]
            content = json.dumps({"images": [], "annotations": [], "categories": []})
            names = (
                [f"instances_{s}2017.json" for s in ("train", "val")] if "ann" in path else ["1.jpg", "2.jpg"]
            )
            for name in names:
                archive.writestr(f"{folder}/{name}", content if "ann" in path else "x" * 1000)
        data = (mirror / path).read_bytes()
        rows.append(f"{folder} {len(names)} {path} {len(data)} {hashlib.md5(data).hexdigest()}")
    (tmp_path / "scripts/datasets").mkdir(parents=True)
    script = tmp_path / "scripts/datasets" / SCRIPT.name
    script.write_text(old[:start] + 'readonly PIECES="\n' + "\n".join(rows) + old[end:])
    script.chmod(0o755)
    shutil.copy(FOLDER / "fetch.sh", script.parent)
    shutil.copy(FOLDER.parent / "shell.sh", tmp_path / "scripts")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "gluon-ssd"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m gluon_ssd "$@"\n')
    program.chmod(0o755)
    return script, mirror, {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "GLUON_SSD_MIRROR": str(mirror)}


def test_dry_run_prints_every_step_and_does_nothing(tmp_path):
    done = run(SCRIPT, "--dry-run", "/data/coco", "--only", "val", folder=tmp_path)
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    host, part = "http://images.cocodataset.org", "/data/downloads/val2017.zip.part"
    assert lines[9:] == [
        "mkdir -p /data/downloads",
        f"curl --fail --location --progress-bar --continue-at - --output {part} {host}/zips/val2017.zip",
        f"md5sum {part}  # must be 442b8da7639aecaf257c1dceb8ba8c80",
        f"mv {part} /data/downloads/val2017.zip",
        "mkdir -p /data/coco",
        "touch /data/coco/val2017.unzipping",
        "unzip -q -o /data/downloads/val2017.zip -d /data/coco",
        "rm /data/coco/val2017.unzipping",
        "rm /data/downloads/val2017.zip",
        "gluon-ssd prepare-json --keep-keys /data/coco/annotations/instances_val2017.json "
        "/data/coco/annotations/bbox_only_instances_val2017.json",
    ]
    assert lines[1].endswith(f"{host}/annotations/annotations_trainval2017.zip")
    assert list(tmp_path.iterdir()) == []
    everything = run(SCRIPT, "--dry-run", folder=tmp_path).stdout
    assert "--output /datasets/downloads/train2017.zip.part" in everything
    assert "cced6f7f71b7629ddf16f17bbcfab6b2" in everything


def test_help(tmp_path):
    done = run(SCRIPT, "--help", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--keep-zips" in done.stdout and "GLUON_SSD_MIRROR" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dryrun"], "unknown argument --dryrun (see: download_coco2017.sh --help)"),
        (["--only"], "--only needs a value"),
        (["--only", "test"], "--only is train or val, not test"),
        (["a", "b"], "a second DESTINATION b (see: download_coco2017.sh --help)"),
    ],
)
def test_mistakes(tmp_path, arguments, message):
    done = run(SCRIPT, *arguments, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {message}\n")


def test_everything_once_and_no_more(tmp_path, small):
    script, mirror, environment = small
    done = run(script, "set", folder=tmp_path, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "annotations",
        "train2017",
        "val2017",
    ]
    assert sorted(path.name for path in (tmp_path / "set" / "annotations").iterdir()) == [
        f"{kind}instances_{split}2017.json" for kind in ("bbox_only_", "") for split in ("train", "val")
    ]
    assert list((tmp_path / "downloads").iterdir()) == []
    shutil.rmtree(mirror)
    done = run(script, "set", folder=tmp_path, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["complete"] * 5


def test_one_split_and_its_zip_file_kept(tmp_path, small):
    script, _, environment = small
    done = run(
        script, "--only=val", "--keep-zips", "set", "--downloads", "zips", folder=tmp_path, **environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == ["annotations", "val2017"]
    assert sorted(path.name for path in (tmp_path / "zips").iterdir()) == [
        "annotations_trainval2017.zip",
        "val2017.zip",
    ]


def test_a_folder_unzipped_by_half_is_unzipped_again(tmp_path, small):
    script, _, environment = small
    run(script, "set", "--keep-zips", folder=tmp_path, **environment)
    broken = tmp_path / "set" / "val2017" / "2.jpg"
    broken.write_text("x")
    (tmp_path / "set" / "val2017.unzipping").touch()
    (tmp_path / "set" / "train2017" / "1.jpg").unlink()
    done = run(script, "set", "--keep-zips", folder=tmp_path, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(broken.read_text()) == 1000
    assert (tmp_path / "set" / "train2017" / "1.jpg").is_file()
    assert not (tmp_path / "set" / "val2017.unzipping").exists()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_was_cut_off_goes_on(tmp_path, small, ranges):
    script, mirror, environment = small
    with RangeServer(mirror) as server:
        environment["GLUON_SSD_MIRROR"] = server.url
        server.cut = 100
        done = run(script, "set", "--only", "val", folder=tmp_path, **environment)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].endswith(
            "cannot be downloaded; run again to go on, or set GLUON_SSD_MIRROR"
        )
        part = tmp_path / "downloads" / "annotations_trainval2017.zip.part"
        assert part.stat().st_size == 100
        server.cut, server.ranges, server.asked = None, ranges, []
        done = run(script, "set", "--only", "val", folder=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert server.asked[0] == (f"/{PATHS[0]}", "bytes=100-")
    assert (tmp_path / "set" / "annotations" / "bbox_only_instances_val2017.json").is_file()


def test_wrong_content_is_told_of_and_not_kept(tmp_path, small):
    script, mirror, environment = small
    data = bytearray((mirror / PATHS[1]).read_bytes())
    data[5] ^= 1
    (mirror / PATHS[1]).write_bytes(data)
    done = run(script, "set", folder=tmp_path, **environment)
    assert done.returncode == 2
    message = (
        f"error: {PATHS[1]}: what came ({len(data)} bytes) is not the published file ({len(data)} bytes, MD5 "
    )
    assert done.stderr.startswith(message)
    assert list((tmp_path / "downloads").iterdir()) == []
    assert not (tmp_path / "set" / "val2017").exists()
    (tmp_path / "downloads" / "val2017.zip").write_text("a page")
    done = run(script, "set", folder=tmp_path, **environment)
    assert done.stderr.startswith("error: ./downloads/val2017.zip: not the published file (")

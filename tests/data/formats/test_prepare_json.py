"""gluon-ssd prepare-json and its script against the outputs of the published script."""

import json
import subprocess
import sys

import pytest
from places import REPOSITORY, VECTORS
from small import refused

GOLDEN = VECTORS / "golden" / "prepare_json"
PRINTED = json.loads((GOLDEN / "stdout.json").read_text())
FORMS = {
    "output_default": [],
    "output_keep_keys": ["--keep-keys"],
    "output_pretty": ["--pretty-print"],
    "output_keep_keys_pretty": ["-k", "-p"],
}


@pytest.mark.parametrize("name", FORMS)
def test_the_output_is_the_published_scripts_byte_for_byte(cli, tmp_path, name):
    result = cli("prepare-json", *FORMS[name], GOLDEN / "input.json", "new/out.json")
    assert result == (0, PRINTED[name], "")
    assert (tmp_path / "new" / "out.json").read_bytes() == (GOLDEN / f"{name}.json").read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.json"]


def script(*arguments):
    command = [sys.executable, REPOSITORY / "scripts" / "datasets" / "prepare_json.py", *arguments]
    done = subprocess.run(command, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_script_takes_the_published_arguments(tmp_path):
    done = script("--keep-keys", GOLDEN / "input.json", tmp_path / "out.json")
    assert done == (0, PRINTED["output_keep_keys"], "")
    assert (tmp_path / "out.json").read_bytes() == (GOLDEN / "output_keep_keys.json").read_bytes()
    gone = tmp_path / "gone.json"
    message = f"error: {gone}: cannot be read (No such file or directory); check the path\n"
    assert script(gone, tmp_path / "no.json") == (2, "", message)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"images": [', "not JSON (line 1, column 13"),
        ("[]", "lacks the key 'images'"),
        ('{"images": [], "annotations": [3], "categories": []}', "annotations[0] must be an object"),
        ('{"images": [], "annotations": []}', "lacks the key 'categories'"),
        ('{"images": 1, "annotations": [], "categories": []}', "'images' must be a list"),
    ],
)
def test_a_file_that_is_not_cocos_is_refused_and_nothing_written(cli, tmp_path, text, part):
    (tmp_path / "in.json").write_text(text)
    refused(cli("prepare-json", "in.json", "out.json"), "in.json", part)
    assert [path.name for path in tmp_path.iterdir()] == ["in.json"]


def test_a_target_that_cannot_be_written_is_one_line(cli, tmp_path):
    (tmp_path / "file").write_text("")
    refused(cli("prepare-json", GOLDEN / "input.json", "file/out.json"), "file/out.json: cannot be written")

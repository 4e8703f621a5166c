"""Every script and configuration, three steps on a CPU with its own network, by one process and by two.

It takes half an hour and has a name that pytest passes over: `make smoke` runs it.
"""

import pytest

from .conftest import FOLDER, trained

SCRIPTS = sorted(path.name for path in FOLDER.glob("*_*gpu_*.sh")) + sorted(
    path.name for path in FOLDER.glob("*_*x*x*.sh")
)
CONFIGS = sorted(path.name for path in (FOLDER / "configs").glob("config_*.sh"))


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script(run, coco128, tmp_path, script, processes):
    if processes > 1:
        pytest.importorskip("horovod")
    run(f'"$TRAIN/{script}" --smoke --gpus {processes} --data {coco128}')
    trained(tmp_path / "out")


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("config", CONFIGS)
def test_every_configuration(run, coco128, tmp_path, config, processes):
    if processes > 1:
        pytest.importorskip("horovod")
    line = f'source "$TRAIN/configs/{config}"; "$TRAIN/run_and_time.sh" --smoke --gpus {processes}'
    run(line, DATASET_DIR=str(coco128))
    trained(tmp_path / "out")


@pytest.mark.parametrize("type_name", ["float32", "float16"])
def test_inference(run, coco128, type_name):
    run(f'"$TRAIN/ssd_resnet50_4gpu_fp32_65epochs.sh" --smoke --data {coco128}')
    done = run(f'"$TRAIN/ssd_resnet50_infer.sh" --smoke --data {coco128} --input_data_type {type_name}')
    assert "4 images evaluated" in done.stdout

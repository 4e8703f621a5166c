"""scripts/train: timed runs, jobs of Slurm and docker, binding, and the mistakes of whoever starts them."""

import os
import shlex
import shutil
import signal
import subprocess
import sys

import pytest
from dry_run import recipe_of, split, translated, words
from places import REPOSITORY

FOLDER = REPOSITORY / "scripts" / "train"


def test_run_and_time_takes_the_published_variables(shell):
    names = {"DGXNGPU": "2", "BATCHSIZE": "4", "EVALBATCHSIZE": "3", "NUMEPOCHS": "2", "DATASET_DIR": "/d"}
    names.update(EXTRA_PARAMS="--lr=0.1\n--lr-decay-epochs 1", PRETRAINED_BACKBONE="none", MLPERF_LOG="0")
    done = shell(
        '"$TRAIN/run_and_time.sh" --dry-run --max-steps 1', SEED="5", ASYNC_EVAL="0", BIND="off", **names
    )
    launcher, arguments = split(words(done), "gluon_ssd.main")
    assert launcher == ["horovodrun", "-np", "2", "python", "-u", "-m"]
    recipe = recipe_of(translated(arguments))
    assert (recipe.batch_size, recipe.eval_batch_size, recipe.epochs, recipe.data) == (4, 3, 2, "/d")
    assert (recipe.lr, recipe.decay_epochs, recipe.max_steps, recipe.seed) == (0.1, (1,), 1, 5)
    assert not recipe.mlperf_log and not recipe.async_val and recipe.pretrained_backbone is None


def test_run_and_time_reports_seconds_once_and_passes_the_status_on(shell, tmp_path):
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho ran $MLPERF_SUBMISSION_PLATFORM\nexit ${FAKE_STATUS:-0}\n")
    fake.chmod(0o755)
    line = 'source "$TRAIN/configs/config_PG.sh"; "$TRAIN/run_and_time.sh" --gpus 1'
    done = shell(line, PYTHON=str(fake), SUBMITTER="me")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[1] == "ran PG" and lines[0].startswith("STARTING TIMING RUN AT 20")
    name, benchmark, _, seconds, submitter, started = lines[-1].split(",")
    assert (name, benchmark, submitter) == ("RESULT", "SINGLE_STAGE_DETECTOR", "me")
    assert 0 <= int(seconds) < 60 and started == lines[0][len("STARTING TIMING RUN AT ") :]
    assert shell(line, PYTHON=str(fake), SLURM_PROCID="1").stdout == "ran PG\n"
    done = shell(line, PYTHON=str(fake), FAKE_STATUS="3")
    assert done.returncode == 3 and "RESULT" not in done.stdout


@pytest.mark.usefixtures("sigint")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_run_and_time_waits_for_a_training_that_is_told_to_end(tmp_path, number, send):
    """Whether the script alone gets the signal, as from docker, or its whole group, as from a terminal."""
    fake = tmp_path / "python"
    fake.write_text(
        f"#!{sys.executable}\nimport signal, sys, time\n"
        "def save(number, frame):\n    time.sleep(0.5)\n    print('saved', flush=True)\n"
        "    sys.exit(128 + number)\n"
        "for number in (signal.SIGINT, signal.SIGTERM):\n    signal.signal(number, save)\n"
        # A signal just before a sleep would be seen only after it.
        "print('begun', flush=True)\nwhile True:\n    time.sleep(0.1)\n"
    )
    fake.chmod(0o755)
    command = [FOLDER / "run_and_time.sh", "--gpus", "1"]
    env = {**os.environ, "PYTHON": str(fake), "BIND": "off", "BENCHMARK": "ssd"}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)
    lines = iter(process.stdout.readline, "begun\n")
    assert [line.split()[0] for line in lines] == ["STARTING"]
    send(process.pid, number)
    rest, _ = process.communicate(timeout=30)
    assert (rest, process.returncode) == ("saved\n", 128 + number)


def test_slurm_job_repeats_clears_caches_and_mounts(shell):
    values = {"DRY_RUN": "1", "NEXP": "2", "CONT": "img:1", "DATADIR": "/data", "LOGDIR": "/logs"}
    line = 'source "$TRAIN/configs/config_DGXA100_multi_8x8x24x2.sh"; "$TRAIN/run.sub"'
    done = shell(line, BACKBONE_DIR="/pre", **values)
    lines = [shlex.split(text) for text in done.stdout.splitlines()]
    assert done.returncode == 0 and all(words[0] in ("srun", "env") for words in lines), done.stderr
    trainings = [words for words in lines if "--ntasks=64" in words]
    assert len(trainings) == 2 and len([words for words in lines if "drop_caches=3" in words[-1]]) == 2
    mounts = next(word for word in trainings[0] if word.startswith("--container-mounts="))
    assert (
        mounts
        == "--container-mounts=/data/coco2017:/datasets/coco2017,/logs:/results,/pre:/pretrained,"
        f"{REPOSITORY}:/workspace/ssd"
    )
    assert trainings[0][-1] == "/workspace/ssd/scripts/train/run_and_time.sh"
    assert "--container-image=img:1" in lines[1] and "--nodes=8" in lines[1]
    assert len(shell(f"{line} --dry-run", **{**values, "DRY_RUN": "0"}).stdout.splitlines()) == len(lines)
    values.update(CONT="", CLEAR_CACHES="0", NEXP="1")
    lines = shell(line, **values).stdout.splitlines()
    assert (
        len(lines) == 2 and lines[1].endswith(str(FOLDER / "run_and_time.sh")) and "container" not in lines[1]
    )


def test_slurm_job_describes_tests_and_checks_where_it_is_asked(shell):
    values = {"DRY_RUN": "1", "NEXP": "2", "CONT": "img:1", "CLEAR_CACHES": "0", "DATESTAMP": "d"}
    values.update(DESCRIBE="1", NCCL_TEST="1", CHECK_COMPLIANCE="1")
    done = shell('source "$TRAIN/configs/config_DGXA100_multi_8x8x24x2.sh"; "$TRAIN/run.sub"', **values)
    lines = [shlex.split(text) for text in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert lines[2][-2:] == ["gluon-ssd", "doctor"] and "--nodes=1" in lines[2]
    assert "all_reduce_perf_mpi" in lines[3] and "--ntasks=64" in lines[3]
    assert [words[-1] for words in lines if "mlperf-check" in words] == [
        f"/results/ssd_8x8x24_d_{number}" for number in (1, 2)
    ]
    done = shell('BENCHMARK=ssd NCCL_TEST=yes "$TRAIN/run.sub" --dry-run')
    assert (done.returncode, done.stderr) == (2, "error: NCCL_TEST=yes: must be 0 or 1\n")


def test_variables_of_the_libraries_reach_the_container(shell):
    values = {"NCCL_SOCKET_IFNAME": "ib0", "UCX_TLS": "rc", "OMPI_MCA_btl": "^openib", "PASSWORD": "x"}
    values.update(CONT="img", SBATCH_NETWORK="sharp", DGXNGPU="8", BATCHSIZE="2", LR="1e-4")
    for job in ("run.sub", "run_with_docker.sh"):
        text = shell(f'"$TRAIN/{job}" --dry-run', **values).stdout
        given = {word.removeprefix("--env=") for word in shlex.split(text)}
        assert {"NCCL_SOCKET_IFNAME=ib0", "UCX_TLS=rc", "OMPI_MCA_btl=^openib"} <= given
        assert "PASSWORD" not in text


def test_data_sets_and_caches_are_found_as_each_readme_has_them(shell, tmp_path):
    weights = "resnext50_32x4d-7cdf4587.pth"
    (tmp_path / "images/train/labels").mkdir(parents=True)
    (tmp_path / "torch/hub/checkpoints").mkdir(parents=True)
    (tmp_path / "torch/hub/checkpoints" / weights).write_text("")
    values = {"DATADIR": "images", "TORCH_HOME": "torch", "DGXNGPU": "1", "BATCHSIZE": "2", "LR": "1e-4"}
    command = shell('"$TRAIN/run_and_time.sh" --dry-run', **values)
    recipe = recipe_of(translated(split(words(command), "gluon_ssd.main")[1]))
    assert recipe.data == f"{tmp_path}/images"
    assert recipe.pretrained_backbone == f"{tmp_path}/torch/hub/checkpoints/{weights}"
    done = shell('"$TRAIN/run.sub"', SLURM_JOB_ID="1", **{**values, "DATADIR": "torch"})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"error: DATADIR=torch: no train/labels in {tmp_path}/torch, or nothing ")


def test_a_job_does_not_start_without_its_images(shell, tmp_path, stand_ins):
    """A folder that was made for a download that never came is no data set either."""
    values = {"DGXNGPU": "1", "BATCHSIZE": "2", **stand_ins, "DATADIR": "images", "NEXP": "1"}
    openimages = ("train/labels", "train/data", "validation/labels", "validation/data")
    for benchmark, parts, option in (
        ("retinanet", openimages, "--syn-dataset 9"),
        ("ssd", ("annotations", "train2017", "val2017"), "--use-tfrecord"),
    ):
        values["BENCHMARK"], folder = benchmark, tmp_path / "images"
        (folder / parts[0]).mkdir(parents=True)
        for part in parts:
            done = shell('"$TRAIN/run_with_docker.sh"', **values)
            assert done.returncode == 2 and f"no {part} in {folder}, or nothing in it; give" in done.stderr
            shutil.rmtree(folder / part, ignore_errors=True)
            fill(folder / part)
        assert shell('"$TRAIN/run_with_docker.sh"', **values).returncode == 0
        shutil.rmtree(folder)
        assert shell('"$TRAIN/run_with_docker.sh"', EXTRA_PARAMS=option, **values).returncode == 0


# What a task of the training sees; what clears caches and unpacks images looks at nothing.
SRUN = """
for last; do :; done
case $last in
*run_and_time.sh) set -- $DATASET_DIR $PRETRAINED_BACKBONE $RESULTS_DIR $BATCHSIZE $SEED $DATESTAMP \\
    $MLPERF_CACHE_CLEARED "$SUBMITTER" $EXTRA_PARAMS "$@" ;;
esac
"""


def fill(folder):
    """Makes a folder with one file in it."""
    folder.mkdir(parents=True)
    (folder / "any").write_text("")


@pytest.fixture
def stand_ins(tmp_path):
    """Settings of a job whose srun and docker write down what they are asked for, one line each, in calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in {"srun": SRUN, "docker": ""}.items():
        (folder / name).write_text(f'#!/bin/sh\n{body}\necho {name} "$@" >> {tmp_path}/calls\n')
    for name in ("sudo", "sync"):
        (folder / name).write_text("#!/bin/sh\n")
    for program in folder.iterdir():
        program.chmod(0o755)
    for part in ("annotations", "train2017", "val2017"):
        fill(tmp_path / "data" / "coco2017" / part)
    return {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "CONT": "img",
        "DATADIR": "data",
        "LOGDIR": "my logs",
        "NEXP": "2",
    }


def calls(folder):
    """What the stand-ins wrote down since the last look."""
    lines = (folder / "calls").read_text().splitlines()
    (folder / "calls").unlink()
    return lines


def test_slurm_job_gives_its_tasks_what_they_need(shell, tmp_path, stand_ins):
    values = {**stand_ins, "SLURM_JOB_ID": "9", "SLURM_JOB_NUM_NODES": "1", "SEED": "5"}
    done = shell('source "$TRAIN/configs/config_PG.sh"; "$TRAIN/run.sub"', **values)
    assert done.returncode == 0, done.stderr
    given = "srun /datasets/coco2017 /pretrained/resnet34-333f7ec4.pickle /results 114 5 9_2 1  --lr-warmup"
    assert calls(tmp_path)[-1].startswith(given)
    logs = sorted((tmp_path / "my logs").glob("*.log"))
    assert [log.name for log in logs] == ["ssd_1x4x114_9_1.log", "ssd_1x4x114_9_2.log"]
    assert logs[1].read_text() == "Beginning trial 2 of 2\n"


@pytest.mark.parametrize("job", ["run.sub", "run_with_docker.sh"])
def test_lines_of_a_dry_run_do_what_the_job_does(shell, tmp_path, stand_ins, job):
    """Pasted one by one into a shell that knows nothing of the configuration."""
    line = f'source "$TRAIN/configs/config_PG.sh"; "$TRAIN/{job}"'
    values = {**stand_ins, "DATESTAMP": "d", "SEED": "5", "SUBMITTER": "my group"}
    done = shell(line, SLURM_JOB_ID="9", **values)
    assert done.returncode == 0, done.stderr
    wanted = [call for call in calls(tmp_path) if not call.startswith("docker container rm")]
    done = shell(f"{line} --dry-run", SLURM_JOB_ID="9", **values)
    assert (done.returncode, done.stderr) == (0, "") and not (tmp_path / "calls").exists()
    for command in done.stdout.splitlines():
        assert shell(command, PATH=values["PATH"]).returncode == 0, command
    assert calls(tmp_path) == wanted
    assert [("my group" in call, "--lr=0.003157" in call) for call in wanted].count((True, True)) == 2


def test_slurm_runs_a_copy_of_the_job_and_the_original_is_found(shell, tmp_path, stand_ins):
    repository = tmp_path / "my repository"
    shutil.copytree(REPOSITORY / "scripts", repository / "scripts")
    spool = tmp_path / "slurm_script"
    shutil.copy(FOLDER / "run.sub", spool)
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.write_text(
        f'#!/bin/sh\necho "JobId=$3\n   Command={repository}/scripts/train/run.sub --dry-run"\n'
    )
    scontrol.chmod(0o755)
    done = shell(f"{spool} --dry-run", SLURM_JOB_ID="9", **{**stand_ins, "CONT": "", "BENCHMARK": "ssd"})
    assert (done.returncode, done.stderr) == (0, "")
    assert shlex.split(done.stdout.splitlines()[-1])[-1] == f"{repository}/scripts/train/run_and_time.sh"


def test_docker_job(shell):
    values = {"NEXP": "2", "DATADIR": "/data", "LOGDIR": "/logs", "PRETRAINED_DIR": "/pre", "CONT": "img:2"}
    line = 'source "$TRAIN/configs/config_PG.sh"; "$TRAIN/run_with_docker.sh" --dry-run'
    done = shell(line, SEED="3", **values)
    assert done.returncode == 0, done.stderr
    lines = [shlex.split(text) for text in done.stdout.splitlines()]
    start, trainings = lines[0], [words for words in lines if words[:2] == ["docker", "exec"]]
    mounts = [start[number + 1] for number, word in enumerate(start) if word == "--volume"]
    data = "/data/coco2017:/datasets/coco2017"
    assert mounts == [f"{REPOSITORY}:/workspace/ssd", data, "/logs:/results", "/pre:/pretrained"]
    assert start[-3:] == ["img:2", "sleep", "infinity"] and "--gpus" in start
    assert len(trainings) == 2 and trainings[0][-1] == "scripts/train/run_and_time.sh"
    given = dict(word[len("--env=") :].split("=", 1) for word in trainings[1] if word.startswith("--env="))
    assert given["EXTRA_PARAMS"].startswith("--lr-warmup-epoch=3 --lr=0.003157 ")
    assert (given["GPUS_PER_NODE"], given["BATCHSIZE"], given["SEED"]) == ("4", "114", "3")
    assert given["PRETRAINED_BACKBONE"] == "/pretrained/resnet34-333f7ec4.pickle"
    assert given["DATESTAMP"].endswith("_2") and given["MLPERF_CACHE_CLEARED"] == "1"
    assert "--gpus" not in shell(f"{line} --cpu", **values).stdout
    done = shell(line.replace("PG", "DGXA100_multi_8x8x24x2"), **values)
    assert done.returncode == 2 and done.stderr == "error: 8 hosts: this starts one; use run.sub\n"


@pytest.fixture
def machine(tmp_path):
    """A PATH with numactl, and with an lscpu that tells of 16 cores of 2 threads on 4 NUMA nodes."""
    folder = tmp_path / "machine"
    folder.mkdir()
    facts = "Socket(s): 2\nCore(s) per socket: 8\nThread(s) per core: 2\nNUMA node(s): 4\n"
    for name, body in {
        "lscpu": f'printf "{facts}"',
        "numactl": 'echo numactl "$@"',
        "ibstat": "echo a; echo b",
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("flags", "rank", "wanted"),
    [
        ("", 0, "numactl --cpunodebind=0 --membind=0 -- echo hi"),
        ("", 5, "numactl --cpunodebind=2 --membind=2 -- echo hi"),
        ("--cpu exclusive", 7, "numactl --physcpubind=14-15,30-31 --membind=3 -- echo hi"),
        ("--cpu=exclusive,nosmt --mem off", 1, "numactl --physcpubind=2-3 -- echo hi"),
        ("--cpu off --mem=off", 1, "echo hi"),
    ],
)
def test_bind(shell, machine, flags, rank, wanted):
    line = f'"$TRAIN/bind.sh" --dry-run {flags} -- echo hi'
    done = shell(line, PATH=machine, HOROVOD_LOCAL_RANK=str(rank), GPUS_PER_NODE="8")
    assert " ".join(words(done)) == wanted
    more = {"OMPI_COMM_WORLD_LOCAL_RANK": str(rank), "OMPI_COMM_WORLD_LOCAL_SIZE": "8", "GPUS_PER_NODE": "1"}
    assert " ".join(words(shell(line, PATH=machine, **more))) == wanted
    line = '"$TRAIN/bind.sh" --cpu off --mem off --ib single -- printenv UCX_NET_DEVICES'
    assert shell(line, PATH=machine, SLURM_LOCALID="7", GPUS_PER_NODE="8").stdout == "b:1\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"$TRAIN/ssd_resnet34_1gpu_fp16.sh" --gpus 0', "--gpus and --nodes: expected numbers from 1"),
        ('"$TRAIN/ssd_resnet34_1gpu_fp16.sh" --gpus all', "--gpus and --nodes: expected numbers from 1"),
        (
            '"$TRAIN/ssd_resnet34_1gpu_fp16.sh" --data',
            "--data: expected a value (see: ssd_resnet34_1gpu_fp16.sh --help)",
        ),
        (
            '"$TRAIN/ssd_resnet34_1gpu_fp16.sh" --launcher ssh',
            "--launcher ssh: must be one of horovodrun, mpirun, ",
        ),
        ('BENCHMARK=yolo "$TRAIN/run_and_time.sh" --dry-run', "BENCHMARK=yolo: must be ssd or retinanet"),
        ('BENCHMARK=ssd BATCHSIZE=many "$TRAIN/run_and_time.sh"', "BATCHSIZE=many: expected a number from 1"),
        ('DGXNNODES=0 "$TRAIN/run.sub"', "NODES (DGXNNODES, PGNNODES)=0: expected a number from 1"),
        ('NEXP=0 "$TRAIN/run_with_docker.sh"', "NEXP=0: expected a number from 1"),
        ('ASYNC_EVAL=yes "$TRAIN/run_and_time.sh"', "ASYNC_EVAL=yes: must be 0 or 1"),
        ('DRY_RUN=yes "$TRAIN/run.sub"', "DRY_RUN=yes: must be 0 or 1"),
        ('GLUON_SSD_SMOKE=yes "$TRAIN/retinanet_1x8x32.sh"', "GLUON_SSD_SMOKE=yes: must be 0 or 1"),
        (
            'BENCHMARK=ssd LAUNCHER=srun "$TRAIN/run_and_time.sh" --gpus 2',
            "LAUNCHER=srun: must be horovodrun or mpirun",
        ),
        ('BENCHMARK=ssd BIND=none "$TRAIN/run_and_time.sh"', "BIND=none: must be off or flags of bind.sh"),
        ('BENCHMARK=ssd "$TRAIN/run.sub"', "not in a Slurm job; start it with sbatch -N 1 run.sub"),
        ('"$TRAIN/run_with_docker.sh" --gpu', "unknown argument --gpu (see: run_with_docker.sh --help)"),
        ('"$TRAIN/bind.sh"', "give a command (see: bind.sh --help)"),
        ('"$TRAIN/bind.sh" echo', "no local rank in the environment; start it by horovodrun, mpirun or srun"),
        ('LOCAL_RANK=2 GPUS_PER_NODE=2 "$TRAIN/bind.sh" echo', "local rank 2, but 2 GPUs on this host"),
        ('"$TRAIN/bind.sh" --cpu all echo', "--cpu all: must be node, exclusive, exclusive,nosmt or off"),
    ],
)
def test_mistakes_are_one_line(shell, line, message):
    done = shell(line)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith(f"error: {message}"), done
    assert done.stderr.count("\n") == 1


def test_the_example_of_the_container_exists():
    launch = (REPOSITORY / "scripts" / "docker" / "launch.sh").read_text()
    assert (
        "scripts/train/ssd_resnet34_1gpu_fp16.sh" in launch
        and (FOLDER / "ssd_resnet34_1gpu_fp16.sh").is_file()
    )

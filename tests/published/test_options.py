"""The table of published options: every row, what becomes of it, and what happens to options nobody has."""

import re

import pytest
from option_rows import ROWS

from gluon_ssd.cli.main import build_parser
from gluon_ssd.errors import UserError
from gluon_ssd.published import OPTIONS, SYSTEMS, translate
from gluon_ssd.recipe import Recipe
from gluon_ssd.values import convert_text

# Values for recipe keys that do not take 1.
EXAMPLES = {"momentum": "0.9", "score_threshold": "0.1", "input_size": "64"}


def parsed(arguments):
    """The arguments in our own parser, which must know all of them."""
    args, extras = build_parser().parse_known_args(list(arguments))
    assert extras == []
    return args


def contains(arguments, wanted):
    """Whether the options of ``wanted`` are in ``arguments`` with just these values."""
    options = [f" {text}".split(" --") for text in (" ".join(arguments), wanted)]
    return set(options[1][1:]) <= {option.strip() for option in options[0]}


@pytest.mark.parametrize(("system", "published", "ours"), ROWS, ids=[" ".join(row[:2]) for row in ROWS])
def test_row(system, published, ours):
    result = translate(published.split(), system)
    plain = translate([], system)
    parsed(result.arguments)
    if ours:
        assert contains(result.arguments, ours), result.line
    else:
        assert result.arguments == plain.arguments
        mode = published.startswith(("--mode ", "--iterations"))
        assert len(result.notes) == (0 if mode else 1), result.notes
        assert mode or result.notes[0].startswith(published.split()[0] + ": not needed; ")


def test_every_option_of_the_table_has_a_row_here():
    tested = {(system, text.split("=")[0]) for system, published, _ in ROWS for text in published.split()}
    # Evaluation is tested below.
    tested.add(("retinanet", "--test-only"))
    for row in OPTIONS:
        assert tested & {(system, name) for system in row.systems for name in row.names}, row.names


@pytest.mark.parametrize("system", [item.name for item in SYSTEMS])
def test_names_of_an_option_are_unique_and_mean_the_same(system):
    rows = [row for row in OPTIONS if system in row.systems]
    names = [name for row in rows for name in row.names]
    assert len(names) == len(set(names))
    for row in rows:
        value = next(iter(dict(row.values)), EXAMPLES.get(row.target, "1"))
        values = [value] * (1 if row.arity in ("*", "?") else int(row.arity))
        if row.target != "@mode":
            lines = {translate([name, *values], system).line for name in row.names}
            assert len(lines) == 1, lines


def test_targets_are_recipe_keys_and_constants_fit_them():
    types = Recipe.__dataclass_fields__
    for row in OPTIONS:
        assert bool(row.why) == (row.target in ("", "@nothing")), row
        if row.target and not row.target.startswith("@"):
            item = types[row.target]
            ours = [row.constant] if row.arity == 0 else [ours for _, ours in row.values]
            for text in ours if item.type != "bool" else []:
                problem = convert_text(text, str(item.type), item.metadata["bounds"])
                assert not isinstance(problem, UserError), (row.names, problem)


@pytest.mark.parametrize(
    ("published", "system"),
    [
        ("--warmup 300 --bs 64 --fp16 --data /coco/", "dali"),
        ("--warmup 300 --bs 64 --data /coco/", "dle"),
        ("--bs 32 --warmup 300 --data /c --iterations -1 --pyamp --json-summary t.json", "sample"),
        ("--epochs 3 --batch-size 8 --seed 1", "dle"),
        ("--data-layout channels_last --batch-size 8", "dle"),
        ("--data-layout NHWC --batch-size 8", "ssd_main"),
        ("--precision fp16 --bn-group 2 --lr 0.003", "ssd_main"),
        ("--lr-warmup-epoch=5 --lr=0.003157 --weight-decay=1.3e-4 --dali-workers=8", "ssd_main"),
        ("--coco-root /c --max-steps 3 --model ssd_tiny", "ssd_main"),
        ("--lr 0.0001 --output-dir=/results --dataset-path /oi", "retinanet"),
        ("--jit --apex-adam --dali --lr 0.0001", "retinanet"),
        ("--modeldir /model/x.pt --input_data_type float16 --bs 64 --mode evaluation", "sample"),
    ],
)
def test_options_tell_the_system(published, system):
    assert translate(published.split()).system.name == system


def test_defaults_are_those_of_the_system():
    assert translate(["--data", "/coco"]).line == (
        "gluon-ssd train --recipe ssd_resnet50/dle --precision amp --layout NHWC --dynamic-loss-scale "
        "--data /coco --warmup-steps 0"
    )
    assert translate(["--no-amp", "--data", "/coco"]).line == (
        "gluon-ssd train --recipe ssd_resnet50/dle --precision fp32 --layout NHWC --data /coco "
        "--warmup-steps 0"
    )
    assert translate(["--coco-root", "/coco"]).line == (
        "gluon-ssd train --recipe ssd_resnet34/mlperf_fp16 --data /coco --colour dali --eval-every 5 "
        "--nms-candidates 200"
    )
    assert translate([], "dali").line == (
        "gluon-ssd train --recipe ssd_resnet50/dle --precision amp --dynamic-loss-scale --colour dali "
        "--data-pipeline dali --warmup-steps 0 --eval-epochs 4 22 32 38 43 49 54 60 65"
    )
    assert translate([], "sample").line == (
        "gluon-ssd train --recipe ssd_resnet50/dle --warmup-steps 0 --eval-epochs"
    )
    assert " --data /datasets/coco2017 " in translate([], "ssd_main").line
    assert translate(["--dataset-path", "/oi"]).line == (
        "gluon-ssd train --recipe retinanet_resnext50_32x4d/mlperf --precision amp --layout NHWC "
        "--dynamic-loss-scale --data /oi"
    )


def test_the_later_of_two_options_wins():
    assert contains(translate(["--amp", "--no-amp"], "dle").arguments, "--precision fp32")
    assert contains(translate(["--no-amp", "--amp"], "dle").arguments, "--precision amp")


def test_flags_of_ours_pass():
    line = "--coco-root /c --max-steps 3 --limit-val 4 --freeze 0 1 --resume --recipe ssd_tiny/smoke"
    args = parsed(translate(line.split()).arguments)
    assert (args.max_steps, args.limit_val, args.freeze, args.resume) == (3, 4, [0, 1], True)
    assert args.recipe == "ssd_tiny/smoke"


def test_an_evaluation_is_val():
    published = "--modeldir m.ckpt --input_data_type float16 --bs 64 --mode evaluation --data /coco --lr 0.1"
    result = translate(published.split())
    assert result.line == "gluon-ssd val m.ckpt --batch-size 64 --data /coco --precision fp16"
    assert result.notes == ("--lr: plays no part in an evaluation",)
    args = parsed(result.arguments)
    assert (args.checkpoint, args.batch_size, args.data, args.precision) == ("m.ckpt", 64, "/coco", "fp16")
    result = translate(["--test-only", "--resume", "r.ckpt", "--dataset-path", "/oi", "--workers", "3"])
    assert result.line == "gluon-ssd val r.ckpt --data /oi --workers 3 --max-detections 300"
    published = "--mode val --resume-from a.ckpt --coco-root /c --nms-valid-thresh 0.01 -j 2"
    result = translate(published.split())
    assert contains(result.arguments, "--score-threshold 0.01") and contains(
        result.arguments, "--dali-workers 2"
    )
    parsed(result.arguments)


def test_a_folder_of_tfrecords_alone_is_not_used():
    result = translate(["--tfrecord-root", "/tf"], "ssd_main")
    assert result.arguments == translate([], "ssd_main").arguments
    assert result.notes == ("--tfrecord-root: not used without --use-tfrecord",)


def test_an_evaluation_in_mixed_precision_computes_as_trained():
    result = translate(["--amp", "--ebs", "32", "--data", "/c", "--mode", "evaluation", "--checkpoint", "a"])
    assert result.line == "gluon-ssd val a --batch-size 32 --data /c"
    assert result.notes == ("--amp: an evaluation computes as the checkpoint was trained",)
    result = translate(["--test-only", "--resume", "a", "--dataset-path", "/oi"], "retinanet")
    assert result.line == "gluon-ssd val a --data /oi --max-detections 300" and result.notes == ()


def test_a_benchmark_of_inference_is_an_evaluation_of_made_up_images():
    line = "--backbone resnet50 --mode benchmark-inference --bs 64 --data /c --benchmark-iterations 5"
    result = translate([*line.split(), "--checkpoint", "a"], "dle")
    assert result.line == "gluon-ssd val a --batch-size 64 --limit 1600 --data-pipeline synthetic"
    parsed(result.arguments)


def test_an_evaluation_of_some_batches():
    line = "--test-only --resume a --dataset-path /d -e 4 --max-eval-iters-per-epoch 5"
    result = translate(line.split())
    assert result.line == "gluon-ssd val a --batch-size 4 --data /d --limit 20 --max-detections 300"
    assert result.notes == ()


def test_an_evaluation_reads_tfrecords():
    published = "--mode val --resume-from a --use-tfrecord --tfrecord-root /tf"
    result = translate(published.split())
    assert result.line == "gluon-ssd val a --data /tf --nms-candidates 200" and result.notes == ()


def test_steps_of_a_benchmark_without_one_are_said_to_be_idle():
    result = translate(["--benchmark-iterations", "5"], "dle")
    assert result.notes == ("--benchmark-iterations: not used without --mode benchmark-training",)


def test_a_checkpoint_in_training_says_what_it_does_not_do():
    (note,) = translate(["--checkpoint", "a.ckpt"], "dle").notes
    assert note.startswith("--checkpoint: training starts from its weights; ") and "--resume" in note
    (note,) = translate(["--checkpoint", "a", "--modeldir", "b", "--mode", "evaluation"], "sample").notes
    assert note == "--modeldir: not needed beside --checkpoint"


@pytest.mark.parametrize(
    ("published", "message"),
    [
        (
            "--coco-root /c --lr-warm-epochs 3",
            "unknown flag '--lr-warm-epochs'; did you mean --lr-warmup-epoch",
        ),
        ("--bs x", "--bs: expected an integer, got 'x'"),
        ("--mode benchmark-training --benchmark-warmup x", "--benchmark-warmup: expected an integer"),
        ("--evaluation -1", "--evaluation: must be at least 1, got -1"),
        ("--evaluation 3.5", "--evaluation: expected an integer, got '3.5'"),
        ("--bs 0", "--bs: must be at least 1, got 0"),
        ("--warmup", "argument --warmup: expected one argument"),
        ("--data_pipeline tf", "--data_pipeline: must be one of dali, no_dali, got 'tf'"),
        ("--coco-root /c --target-map x", "--target-map: expected a number, got 'x'"),
        ("--coco-root /c --start-epoch 0", "--start-epoch: must be at least 1, got 0"),
        ("--coco-root /c --data-shape 512", "--data-shape: must be one of 300, got '512'"),
        (
            "--mode evaluation --data /c",
            "an evaluation needs a checkpoint: --checkpoint FILE (or a run folder)",
        ),
        (
            "--mode benchmark-inference --bs 64",
            "an evaluation needs a checkpoint: --checkpoint FILE (or a run folder)",
        ),
        ("--system ssd_man --lr 3", "unknown system 'ssd_man'; did you mean ssd_main?"),
        ("--lr 3 --system", "--system: expected a name"),
        ("--data /c stray", "unknown argument 'stray'"),
        ("--jit --max-iters-per-epoch x", "--max-iters-per-epoch: expected a number, got 'x'"),
        ("--pyamp --start_eval_at x", "--start_eval_at: expected an integer, got 'x'"),
        ("--jit --syn-dataset 3", "--syn-dataset: must be one of 0, 1, 2, got '3'"),
    ],
)
def test_mistakes_are_one_line(published, message, capsys):
    from gluon_ssd.main import main

    assert main(published.split()) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"error: {message}") and err.count("\n") == 1 and out == ""


def test_dry_run_prints_the_line_and_the_notes(capsys):
    from gluon_ssd.main import main

    assert main(["--dry-run", "--bs", "64", "--no-amp", "--data", "/my data", "--local_rank", "1"]) == 0
    out, err = capsys.readouterr()
    assert out == (
        "gluon-ssd train --recipe ssd_resnet50/dle --precision fp32 --layout NHWC --data '/my data' "
        "--batch-size 64 --warmup-steps 0\n"
    )
    assert err == "--local_rank: not needed; Horovod knows the rank\n"


def test_help_lists_the_options_of_the_system_and_loads_no_network(python, capsys):
    from gluon_ssd.main import main

    assert main(["--help", "--system", "ssd_main"]) == 0
    out = capsys.readouterr().out
    # Python 3.13 writes VALUE once, behind all spellings.
    assert re.search("--lr-warmup-epochs( VALUE)?, --lr-warmup-epoch VALUE", out)
    assert "= --warmup-epochs" in out
    assert "--modeldir" not in out and "example:" in out
    code = "import sys; from gluon_ssd.main import main; main(['--help']); assert 'mxnet' not in sys.modules"
    assert python(code).status == 0


def test_a_published_command_trains(shapes, tmp_path, monkeypatch, capfd):
    from gluon_ssd.main import main

    monkeypatch.chdir(tmp_path)
    published = f"--coco-root {shapes} --results run --batch-size 2 --eval-batch-size 2 --lr-warmup-epoch=1"
    ours = "--recipe ssd_tiny/smoke --max-steps 2 --device cpu"
    assert main(f"{published} {ours}".split()) == 0
    out, err = capfd.readouterr()
    assert "options of ssd_main: gluon-ssd train --recipe ssd_tiny/smoke" in err
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file() and "results in run" in out
    assert (
        main(f"--mode evaluation --checkpoint run --data {shapes} --bs 3 --input_data_type float16".split())
        == 0
    )
    assert "4 images evaluated" in capfd.readouterr().out


def test_other_epochs_leave_the_published_schedule_where_it_was():
    """Ours would move with them; the published systems decay, warm up and evaluate at the same epochs."""
    arguments = translate(["--epochs", "80", "--val-interval", "10"], "ssd_main").arguments
    assert contains(arguments, "--epochs 80 --decay-epochs 44 55 --warmup-epochs 0.655 --eval-every 10")
    arguments = translate(["--epochs", "33", "--warmup", "300"], "dle").arguments
    wanted = "--decay-epochs 43 54 --warmup-steps 300 --eval-epochs 22 32 38 43 49 54 60 65"
    assert contains(arguments, wanted)
    assert "--decay-epochs" not in translate(["--epochs", "65"], "dle").arguments

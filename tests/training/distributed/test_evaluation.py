"""However many processes share the images, the evaluation is the same to the last byte."""

import json

import pytest
from launching import need_horovod, run

from gluon_ssd.data.shapes import make_shapes


@pytest.fixture(scope="module")
def results(small_run, tmp_path_factory):
    """Per number of ranks: what it printed, the detections' file, the scores."""
    need_horovod()
    folder = tmp_path_factory.mktemp("evaluation")
    data = make_shapes(folder / "data", train=1, val=4, size=(96, 128))
    flags = ("--data", data, "--batch-size", 2, "--score-threshold", 0.01)
    found = {}
    for size in (1, 3, 5):
        output = folder / str(size)
        printed = run(size, "-m", "gluon_ssd", "val", small_run, *flags, "--output", output)
        scores = json.loads((output / "scores.json").read_text())
        scores.pop("seconds")
        found[size] = printed, (output / "detections.json").read_bytes(), scores
    return found


# The evaluation of a training, which may leave it to some of its ranks.
SHARED = """
import sys
import gluon_ssd
from gluon_ssd.data.opening import open_dataset
from gluon_ssd.training.distributed import connect
from gluon_ssd.training.evaluate import evaluate, share, write_evaluation
from pathlib import Path

run, data, output, ranks = sys.argv[1:]
world = connect()
with world.together():
    detector = gluon_ssd.Detector(gluon_ssd.load(run), score_threshold=0.01)
    dataset = open_dataset(data, "val", classes=detector.net.classes)
    evaluation = evaluate(detector, dataset, batch_size=2, world=world, ranks=int(ranks) or None)
    print(f"rank {world.rank}: {len(share(range(7), world, int(ranks) or None))}, {evaluation.scores.map}")
    if world.first:
        write_evaluation(evaluation, dataset, Path(output))
"""


def test_the_same_by_fewer_ranks_than_there_are(small_run, tmp_path):
    need_horovod()
    data = make_shapes(tmp_path / "data", train=1, val=7, size=(96, 128))
    printed, found = {}, {}
    for size, ranks in ((1, 0), (3, 2), (2, 5)):
        printed[size] = run(size, "-c", SHARED, small_run, data, tmp_path / str(size), ranks)
        found[size] = (tmp_path / str(size) / "detections.json").read_bytes()
    assert found[3] == found[2] == found[1] and len(json.loads(found[1])) > 100
    score = printed[1].split(", ")[1].strip()
    assert sorted(printed[3].splitlines()) == [f"rank {k}: {n}, {score}" for k, n in enumerate((4, 3, 0))]
    assert sorted(printed[2].splitlines()) == [f"rank {k}: {n}, {score}" for k, n in enumerate((4, 3))]


@pytest.mark.parametrize("size", [3, 5])
def test_the_same_json_and_map(results, size):
    """Three ranks have two images, one and one; of five ranks one has none."""
    _, detections, scores = results[1]
    assert results[size][1] == detections
    assert results[size][2] == scores


def test_there_was_something_to_compare(results):
    printed, detections, scores = results[1]
    assert len(json.loads(detections)) > 100
    assert len({row["image_id"] for row in json.loads(detections)}) == 4
    assert scores["images"] == 4 and scores["map"] >= 0
    assert "4 images evaluated" in printed


def test_only_rank_0_speaks(results):
    assert [text.count("results in") for text, _, _ in results.values()] == [1, 1, 1]

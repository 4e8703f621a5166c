"""What is settled before a training starts: its schedule and its target in words, and its data."""

import pytest
from small import write_set

from gluon_ssd.data import published_sets
from gluon_ssd.recipe import Recipe, load_recipe
from gluon_ssd.training.plan import plan_lines

OWN = "the target mAP of this recipe was published for another data set and does not end this training"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"decay_epochs": [2, 3, 4]}, "lr does not decay after epoch 3 or 4, because the run has 3 epochs"),
        ({"warmup_epochs": 3}, "the warm-up of 3 epochs does not end within the run of 3 epochs"),
        (
            {"warmup_steps": 30},
            "the warm-up of 30 steps does not end within the run of 30 steps (3 epochs)",
        ),
        (
            {"eval_every": 4},
            "the only evaluation is at the end: eval_every is 4, and the run has 3 epochs",
        ),
        ({"eval_epochs": [2, 5]}, "no evaluation after epoch 5, because the run has 3 epochs"),
    ],
)
def test_what_takes_no_effect_is_said(changes, line):
    fine = {"epochs": 3, "decay_epochs": (2,), "warmup_epochs": 1, "eval_every": 3}
    assert plan_lines(Recipe(**fine), 10) == []
    recipe = Recipe(**{**fine, **changes})
    assert plan_lines(recipe, 10) == [f"warning: {line}"]
    # Who cuts a run short knows that its schedule is longer.
    assert plan_lines(recipe.override({"max_steps": 2}), 10) == []


@pytest.mark.parametrize("never", [{"eval_every": 0}, {"eval_epochs": ()}])
def test_a_target_that_nothing_is_compared_with(never):
    fine = {"epochs": 3, "decay_epochs": (2,), "warmup_epochs": 1, "target_map": 0.5}
    assert plan_lines(Recipe(**fine, **never), 10) == [
        "warning: nothing is evaluated, so no mAP reaches 0.5 (target_map)"
    ]


def test_a_cosine_has_no_decays_to_warn_of():
    recipe = Recipe(epochs=3, decay_epochs=(44, 55), eval_every=1, lr_schedule="cosine")
    assert plan_lines(recipe, 10) == []


def test_steps_beyond_the_end_of_the_run_hide_no_warning():
    recipe = Recipe(epochs=3, decay_epochs=(2, 4), eval_every=3, max_steps=30)
    assert plan_lines(recipe, 10) == [
        "warning: lr does not decay after epoch 4, because the run has 3 epochs"
    ]
    assert plan_lines(recipe.override({"max_steps": 29}), 10) == []


def test_a_cosine_that_is_cut_short_is_said():
    recipe = Recipe(epochs=3, eval_every=1, lr_schedule="cosine", max_steps=20)
    (line,) = plan_lines(recipe, 10)
    assert line.startswith("warning: max_steps ends the run after 20 of the 30 steps over which the cosine")
    assert plan_lines(recipe.override({"max_steps": 30}), 10) == []


def test_every_recipe_of_the_zoo_has_a_schedule_that_takes_effect():
    from gluon_ssd.resources import recipe_names

    for name in recipe_names():
        lines = plan_lines(load_recipe(name), 1000)
        assert not any("warning" in line for line in lines), (name, lines)


@pytest.fixture
def own(tmp_path):
    """A data set that every detection of which is right, for a network that detects nothing."""
    return write_set(tmp_path / "own")


def start(cli, data, *flags):
    """What the two-step training of a published recipe says."""
    common = ("--model", "ssd_tiny", "--batch-size", 2, "--max-steps", 2, "--workers", 1, "--eval-every", 1)
    return cli("train", "--recipe", "ssd_resnet34/mlperf", "--data", data, *common, *flags)


def test_a_published_target_does_not_end_a_training_on_own_data(cli, own):
    outcome = start(cli, own)
    assert outcome.status == 0
    assert OWN in outcome.out
    assert "reached the target" not in outcome.out


def test_it_ends_one_on_the_published_data(cli, own, monkeypatch):
    monkeypatch.setitem(published_sets.PUBLISHED, "COCO 2017", (("cat", "dog"), 4))
    assert "ends early once the mAP reaches 0.23 (target_map)" in start(cli, own).out


def test_a_target_of_the_user_ends_any_training(cli, own):
    outcome = start(cli, own, "--target-map", "0")
    assert "reached the target mAP 0.0 in epoch 1" in outcome.out
    assert OWN not in outcome.out
    assert "ends early once the mAP reaches 0.1" in start(cli, own, "--target-map", "0.1").out


def test_a_published_data_set_is_known_by_its_classes_and_the_size_of_its_validation_split():
    coco = published_sets.COCO_CLASSES
    assert published_sets.published_set(coco, 5000) == "COCO 2017"
    assert published_sets.published_set(sorted(coco), 4952) == "COCO 2017"
    assert published_sets.published_set(coco, 128) is None
    assert published_sets.published_set(coco[:79], 5000) is None
    assert published_sets.published_set(published_sets.OPENIMAGES_MLPERF_CLASSES, 24781)


def test_more_epochs_of_a_run_do_not_change_its_schedule(cli, own):
    flags = ("--recipe", "ssd_tiny/demo", "--data", own, "--batch-size", 2, "--max-steps", 1, "--workers", 1)
    assert cli("train", *flags, "--epochs", 10, "--eval-every", 0, "--output", "run").status == 0
    assert cli("train", "--resume", "--output", "run", "--epochs", 20, "--max-steps", 2).status == 0
    assert Recipe.from_yaml("run/recipe.yaml").decay_epochs == (8, 9)


def test_a_folder_of_another_format_is_converted_once(cli, own, monkeypatch):
    from gluon_ssd.data.formats import opening

    assert cli("convert-data", own, "yolo", "--to", "yolo", "--images", "copy").status == 0
    read, calls = opening.read_dataset, []

    def counted(*args, **options):
        calls.append(args)
        return read(*args, **options)

    monkeypatch.setattr(opening, "read_dataset", counted)
    outcome = start(cli, "yolo", "--eval-every", 1)
    assert outcome.status == 0 and "on 4 images" in outcome.out
    assert len(calls) == 1

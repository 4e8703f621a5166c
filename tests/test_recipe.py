from dataclasses import fields

import pytest
import yaml

from gluon_ssd import resources
from gluon_ssd.errors import UserError
from gluon_ssd.recipe import Recipe, load_recipe


def write(path, text):
    path.write_text(text)
    return path


def failure(call, *args):
    with pytest.raises(UserError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_are_valid_and_every_key_is_described():
    recipe = Recipe()
    assert recipe.to_dict()["decay_epochs"] == [44, 55]
    assert all(item.metadata["help"] for item in fields(Recipe))


def test_a_recipe_does_not_change():
    with pytest.raises(AttributeError):
        Recipe().epochs = 3


def test_yaml_round_trip():
    recipe = Recipe(model="ssd_tiny", decay_epochs=(3, 5), eval_epochs=(1,), target_map=0.5, data="/data")
    again = Recipe.from_dict(yaml.safe_load(recipe.to_yaml()))
    assert again == recipe
    assert again.decay_epochs == (3, 5)


def test_yaml_of_the_defaults_holds_every_key():
    assert list(yaml.safe_load(Recipe().to_yaml())) == [item.name for item in fields(Recipe)]


def test_numbers_that_yaml_takes_for_text(tmp_path):
    path = write(tmp_path / "r.yaml", "weight_decay: 5e-4\nlr: 1\ndecay_epochs: [2, 3]\n")
    recipe = Recipe.from_yaml(path)
    assert (recipe.weight_decay, recipe.lr, recipe.decay_epochs) == (0.0005, 1.0, (2, 3))
    assert isinstance(recipe.lr, float)


def test_an_empty_file_is_the_defaults(tmp_path):
    assert Recipe.from_yaml(write(tmp_path / "r.yaml", "")) == Recipe()


def test_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert Recipe(data="~/coco").data == "/home/someone/coco"


def multiplied_lists(levels):
    """The lists of the "billion laughs": each holds the one before nine times."""
    rest = [f"&a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return ", ".join(["&a0 [x, x, x, x, x, x, x, x, x]", *rest])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batchsize: 8", "unknown key 'batchsize'; did you mean batch_size, eval_batch_size"),
        ("Batch-Size: 8", "unknown key 'Batch-Size'; did you mean batch_size"),
        ("batch_size: eight", "key 'batch_size': expected an integer, got 'eight'"),
        ("batch_size: 8.5", "key 'batch_size': expected an integer, got 8.5"),
        ("batch_size: true", "key 'batch_size': expected an integer, got True"),
        ("batch_size:", "key 'batch_size': expected an integer, got nothing"),
        ("lr: fast", "key 'lr': expected a number, got 'fast'"),
        ("lr: .nan", "key 'lr': expected a number, got nan"),
        ("lr: 0", "key 'lr': must be greater than 0, got 0.0"),
        ("epochs: 0", "key 'epochs': must be at least 1, got 0"),
        ("momentum: 1", "key 'momentum': must be less than 1, got 1.0"),
        ("target_map: 23", "key 'target_map': must be at most 1, got 23.0"),
        ("decay_epochs: [3, x]", "key 'decay_epochs': expected a list of integers, got [3, 'x']"),
        ("decay_epochs: [0]", "key 'decay_epochs': must be at least 1, got 0"),
        ("eval_epochs: often", "key 'eval_epochs': expected a list of integers or null, got 'often'"),
        ("resume: 1", "key 'resume': expected true or false, got 1"),
        ("data: 7", "key 'data': expected a text or null, got 7"),
        ("precision: fp8", "key 'precision': must be one of fp32, amp, fp16, got 'fp8'; did you mean fp32?"),
        ("- epochs", "a recipe is a list of 'key: value' lines, found a list"),
        ("epochs: 3\n  lr: [", "not valid YAML at line 2"),
        ("lr: 1" + "0" * 310, "key 'lr': expected a number, got too large a number: 1000"),
        ("lr: 0x" + "f" * 5000, "key 'lr': expected a number, got too large a number: one of thousands"),
        ("epochs: 0x" + "f" * 5000, "key 'epochs': expected an integer, got too large a number: one of"),
        ("decay_epochs: [1, 0x1" + "0" * 16 + "]", "key 'decay_epochs': expected a list of integers, got to"),
        ("data: 0x" + "f" * 5000, "key 'data': expected a text or null, got one of thousands of digits"),
        ("data: 2026-99-99", "holds a value that YAML cannot read: month must be in 1..12"),
        ("data: " + "[" * 5000, "holds a value that YAML cannot read: maximum recursion depth exceeded"),
        (f"epochs: [{multiplied_lists(7)}]", "aliases (*name) stand for more values than can be"),
        ("epochs: &a [*a]", "aliases (*name) stand for more values than can be read"),
        ("epochs: [&a [1, 2], *a]", "key 'epochs': expected an integer, got [[1, 2], [1, 2]]"),
    ],
)
def test_what_does_not_fit_names_file_and_key(tmp_path, text, message):
    path = write(tmp_path / "mine.yaml", text)
    error = failure(Recipe.from_yaml, path)
    assert error.startswith(f"{path}: ")
    assert message in error


def test_a_recipe_that_is_not_there(tmp_path):
    assert failure(load_recipe, str(tmp_path / "no.yaml")) == f"{tmp_path}/no.yaml: no such recipe file"


def test_a_recipe_that_is_a_folder(tmp_path):
    assert "cannot read the recipe" in failure(Recipe.from_yaml, tmp_path)


def test_a_recipe_that_is_not_text(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_bytes(b"\xff\xfe\x00lr")
    assert failure(Recipe.from_yaml, path).startswith(f"{path}: ")


def test_in_python_too():
    assert failure(lambda: Recipe(epochs="3")) == "recipe key 'epochs': expected an integer, got '3'"


def test_overrides_win_and_name_their_source():
    recipe = load_recipe("ssd_resnet34/smoke", {"epochs": 7})
    assert (recipe.epochs, recipe.batch_size) == (7, 8)
    assert failure(recipe.override, {"epoch": 7}) == (
        "command line: unknown key 'epoch'; did you mean epochs, start_epoch, eval_epochs?"
    )


@pytest.mark.parametrize("name", ["ssd_resnet43/mlperf", "ssd_resnet34/mlprf", "SSD_ResNet34/MLPerf"])
def test_unknown_recipe_suggests_the_nearest(name):
    error = failure(load_recipe, name)
    assert error.startswith(f"unknown recipe {name!r}; did you mean ssd_resnet34/mlperf")


@pytest.mark.parametrize("name", resources.recipe_names())
def test_every_shipped_recipe(name):
    """At most 15 lines; the header says command, hardware, duration and score; there is a smoke variant."""
    recipe = load_recipe(name)
    assert recipe.model == name.split("/")[0]
    lines = resources.recipe_path(name).read_text().splitlines()
    header = "\n".join(line for line in lines if line.startswith("#"))
    assert len(lines) <= 15
    assert all(word in header for word in ("gluon-ssd", "Hardware:", "Duration:", "Expected mAP:"))
    assert {f"{recipe.model}/smoke", f"{recipe.model}/finetune"} <= set(resources.recipe_names())


def test_the_mlperf_recipe_has_the_published_numbers():
    recipe = load_recipe("ssd_resnet34/mlperf")
    assert (recipe.lr, recipe.weight_decay, recipe.momentum) == (0.0025, 0.0005, 0.9)
    assert (recipe.decay_epochs, recipe.decay_factor, recipe.target_map) == ((44, 55), 0.1, 0.23)
    assert recipe.effective_lr(processes=8) == pytest.approx(0.02)


def test_effective_lr_follows_the_global_batch():
    recipe = Recipe(lr=0.0025, batch_size=16, accumulate=4)
    assert recipe.global_batch(processes=2) == 128
    assert recipe.effective_lr(processes=2) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"epochs": 7, "eval_every": 3}, [3, 6, 7]),
        ({"epochs": 7, "eval_every": 0}, []),
        ({"epochs": 7, "eval_epochs": [2, 5]}, [2, 5]),
    ],
)
def test_when_it_evaluates(keys, expected):
    recipe = Recipe(**keys)
    assert [epoch for epoch in range(1, recipe.epochs + 1) if recipe.evaluates_after(epoch)] == expected


def test_a_schedule_keeps_its_shape_when_the_epochs_change():
    recipe = load_recipe("ssd_tiny/demo", {"epochs": 15})
    # 38 and 46 of 50, a warm-up of 1 and an evaluation every 10 of 50.
    assert (recipe.decay_epochs, recipe.warmup_epochs, recipe.eval_every) == ((11, 14), 0.3, 3)
    assert load_recipe("ssd_tiny/demo", {"epochs": 100}).decay_epochs == (76, 92)
    assert load_recipe("ssd_tiny/demo", {"epochs": 1}).decay_epochs == ()
    dle = load_recipe("ssd_resnet50/dle", {"epochs": 13})
    assert (dle.decay_epochs, dle.warmup_steps) == ((9, 11), 60)
    assert dle.eval_epochs == (4, 6, 8, 9, 10, 11, 12, 13)


def test_what_is_given_with_the_epochs_does_not_follow_them():
    changes = {"epochs": 15, "decay_epochs": [38], "warmup_epochs": 2, "eval_every": 5}
    recipe = load_recipe("ssd_tiny/demo", changes)
    assert (recipe.decay_epochs, recipe.warmup_epochs, recipe.eval_every) == ((38,), 2, 5)


def test_a_file_with_epochs_alone_decays_within_them(tmp_path):
    recipe = Recipe.from_yaml(write(tmp_path / "r.yaml", "epochs: 26\n"))
    # 44 and 55 of 65; evaluations are every 5 epochs whatever the number of epochs.
    assert (recipe.decay_epochs, recipe.warmup_epochs, recipe.eval_every) == ((18, 22), 0.26, 5)


@pytest.mark.parametrize(
    ("recipe", "given", "replaced"),
    [
        ("ssd_resnet34/mlperf", {"target_map": 0.2}, {"published_target": False}),
        ("ssd_resnet50/dle", {"warmup_epochs": 2}, {"warmup_steps": None}),
        ("ssd_resnet50/dle", {"eval_every": 3}, {"eval_epochs": None}),
        ("ssd_resnet50/dle", {"warmup_factor": 2}, {"warmup_start": None}),
    ],
)
def test_a_key_that_is_given_replaces_what_the_recipe_has_in_its_place(recipe, given, replaced):
    before, after = load_recipe(recipe), load_recipe(recipe, given)
    assert {key: getattr(after, key) for key in replaced} == replaced
    assert all(getattr(before, key) != value for key, value in replaced.items())


def test_decays_replace_a_cosine():
    cosine = Recipe(lr_schedule="cosine")
    assert cosine.override({"decay_epochs": [3]}).lr_schedule == "step"
    assert cosine.override({"decay_epochs": [3], "lr_schedule": "cosine"}).lr_schedule == "cosine"


def test_weights_replace_a_backbone_and_the_other_way_round():
    recipe = Recipe(pretrained_backbone="published")
    assert recipe.override({"weights": "a.ckpt"}).pretrained_backbone is None
    assert recipe.override({"weights": None}).pretrained_backbone == "published"
    assert Recipe(weights="a.ckpt").override({"pretrained_backbone": "b"}).weights is None


def test_targets_of_the_zoo_are_published_and_those_of_a_file_of_the_user_are_not(tmp_path):
    assert load_recipe("ssd_resnet34/mlperf").published_target
    assert not load_recipe("ssd_tiny/demo").published_target
    own = write(tmp_path / "mine.yaml", resources.recipe_path("ssd_resnet34/mlperf").read_text())
    assert (load_recipe(own).target_map, load_recipe(own).published_target) == (0.23, False)


def test_a_schedule_of_any_length_takes_no_memory():
    assert Recipe(epochs=50, decay_epochs=(38, 46)).override({"epochs": 2**50}).decay_epochs == (
        round(38 * 2**50 / 50),
        round(46 * 2**50 / 50),
    )


def test_a_recipe_that_is_a_link_to_an_endless_file(tmp_path):
    (tmp_path / "a.yaml").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="a.yaml: cannot read the recipe: is a pipe or device, not a file"):
        Recipe.from_yaml(tmp_path / "a.yaml")

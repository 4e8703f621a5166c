"""Cards and recipes: complete, fresh, and true to what is published."""

import re

import pytest

from gluon_ssd import list_models
from gluon_ssd.cli.main import build_parser
from gluon_ssd.model_zoo import model_row
from gluon_ssd.recipe import load_recipe
from gluon_ssd.report import cards
from gluon_ssd.resources import card_path, recipe_names, recipe_path
from gluon_ssd.training.build import augmentation
from gluon_ssd.weights import WEIGHTS

DETECTORS = list_models("detector")
# What no other system publishes.
OURS = ("ssd_tiny", "ssdlite320_efficientnet_lite0", "ssdlite512_efficientnet_lite2")
COCO_IMAGES = 117_266  # of train2017, those with objects


def test_computed_parts_are_fresh():
    stale = [str(path) for path, text in cards.documents().items() if path.read_text() != text]
    assert not stale, f"run: python -m gluon_ssd.report.cards ({', '.join(stale)})"


@pytest.mark.parametrize("name", list_models())
def test_every_model_has_a_card(name):
    text = card_path(name).read_text()
    assert text.startswith(f"# {name}\n")
    assert "Reference" in text
    known = set(recipe_names())
    assert set(re.findall(r"--recipe (\S+)", text)) <= known
    for file in re.findall(r"`((?:tests|benchmarks|scripts)/\S+?\.(?:py|sh))", text):
        assert (card_path(name).parents[2] / file).is_file(), file


def section(name, title):
    """A section of a card, without its title."""
    found = re.search(
        rf"^## {title}\n+(.*?)(?=^## |\Z)", card_path(name).read_text(), re.DOTALL | re.MULTILINE
    )
    assert found, f"{name}: no section {title}"
    return found[1]


@pytest.mark.parametrize("name", [name for name in DETECTORS if name not in OURS])
def test_a_detectors_card_is_complete(name):
    assert "|" in section(name, "Published hyper-parameters")
    expected = section(name, "Expected mAP")
    assert re.search(r"0\.\d\d", expected) and re.search("MLPerf|DeepLearningExamples|torchvision", expected)
    measured = section(name, "Measured here")
    assert "Not trained on" in measured and re.search(r"`(tests|benchmarks)/\S+\.py", measured)
    weights = section(name, "Weights")
    row = model_row(name)
    assert row.backbone_weights in weights or row.weights in weights
    assert "et al." in section(name, "References")


def published_row(name, system):
    """Cells of the row of a system in a card's table of hyper-parameters, by the titles of their columns."""
    lines = section(name, "Published hyper-parameters").splitlines()
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    rows = [dict(zip(table[0], cells)) for cells in table[1:] if system in " ".join(cells)]
    assert len(rows) == 1, f"{system}: {len(rows)} rows"
    return rows[0]


@pytest.mark.parametrize(
    ("recipe", "system"),
    [
        ("ssd_resnet34/mlperf", "its code's defaults"),
        ("ssd_resnet34/mlperf_fp16", "its code's defaults"),
        ("ssd_resnet34/dgxa100", "8 x 114"),
        ("ssd_resnet34/dgxa100_8x8", "64 x 24"),
        ("ssd_resnet34/dgxa100_128x8", "1024 x 3"),
        ("ssd_resnet34/fujitsu_pg", "Fujitsu PRIMERGY"),
        *(
            (f"ssd_resnet{depth}/dle", "DeepLearningExamples")
            for depth in ("18", "34_bn", "50", "101", "152")
        ),
        ("ssd_resnet50/dle_amp", "DeepLearningExamples"),
        ("ssd_resnet50/dali", "DALI example"),
        ("retinanet_resnext50_32x4d/mlperf", "MLPerf reference"),
        ("retinanet_resnext50_32x4d/dgxa100", "NVIDIA, DGX A100"),
        ("retinanet_resnet50/torchvision", "torchvision"),
        ("ssd300_vgg16/torchvision", "torchvision"),
    ],
)
def test_a_card_states_what_its_recipe_does(recipe, system):
    """What the recipes do is held to the published configurations below."""
    name, values = recipe.split("/")[0], load_recipe(recipe)
    row = published_row(name, system)
    rate = row.get("lr per 32") or row["lr"]
    if recipe == "retinanet_resnet50/torchvision":
        rate = re.search(r"\((.*) per 32\)", rate)[1]
    assert float(rate) == values.lr
    if values.optimizer == "sgd":
        assert float(row["weight decay"].split(",")[0]) == pytest.approx(values.weight_decay)
        assert ("norms" in row["weight decay"]) == (values.decay_on == "weights")
        assert row["decay after"] == ", ".join(map(str, values.decay_epochs))
    if values.warmup_steps is not None:
        assert row["warm-up"].replace(",", "").startswith(f"{values.warmup_steps} iterations")
    elif "warm-up, epochs" in row and row["warm-up, epochs"] != "none":
        assert float(row["warm-up, epochs"]) == values.warmup_epochs
    epochs = row.get("epochs") or row["epochs at most"]
    if system != "its code's defaults":  # trained to the target, which comes before their 80
        assert int(epochs.split()[0]) == values.epochs


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_has_recipes(name):
    assert model_row(name).recipe in recipe_names()
    assert f"{name}/smoke" in recipe_names()
    text = card_path(name).read_text()
    assert all(f"`{recipe}`" in text for recipe in recipe_names() if recipe.startswith(f"{name}/"))


@pytest.mark.parametrize("name", recipe_names())
def test_the_command_in_a_recipes_head_is_one_that_we_have(name):
    command = recipe_path(name).read_text().splitlines()[0].split()
    assert command[:2] == ["#", "gluon-ssd"]
    args = build_parser().parse_args(command[2:])
    assert command[2] == "demo" or args.recipe == name


@pytest.mark.parametrize("name", list_models("detector"))
def test_commands_name_backbones_with_all_stages_of_the_model(name):
    """The pickles that our scripts write have three stages, of a ResNeXt four."""
    row = model_row(name)
    texts = [recipe_path(recipe).read_text() for recipe in recipe_names() if recipe.startswith(f"{name}/")]
    given = re.findall(r"--pretrained-backbone ([\w.]+)", "".join([card_path(name).read_text(), *texts]))
    for backbone in given:
        whole = row.family == "ssd" or row.backbone.startswith("resnext")
        # FILE stands for one that the reader has.
        assert backbone in (*WEIGHTS, "FILE") or (backbone.endswith(".pickle") and whole)


def test_a_block_without_a_place_is_named():
    with pytest.raises(ValueError, match="no place for facts: <!-- facts -->"):
        cards.fill("# a card\n", {"facts": lambda: ""})


def test_only_what_stands_between_the_markers_changes():
    text = "a\n<!-- facts -->\nold\n<!-- /facts -->\nb\n<!-- recipes -->\n<!-- /recipes -->\n"
    filled = cards.fill(text, {"facts": lambda: "new \\1\n", "recipes": lambda: "r\n"})
    assert filled == (
        "a\n<!-- facts -->\nnew \\1\n<!-- /facts -->\nb\n<!-- recipes -->\nr\n<!-- /recipes -->\n"
    )


@pytest.mark.parametrize("name", [recipe for recipe in recipe_names() if not recipe.endswith("/smoke")])
def test_a_recipe_scores_as_its_reference(name):
    """Not the demo's: all published evaluations keep 200 boxes of an SSD, 300 of a RetinaNet."""
    recipe = load_recipe(name)
    assert (recipe.score_threshold, recipe.iou_threshold) == (0.05, 0.5)
    assert recipe.max_detections == (200 if name.startswith("ssd") else 300)
    assert augmentation(recipe) == ("ssd" if name.startswith("ssd") else "flip")


@pytest.mark.parametrize(
    ("name", "processes", "batch", "peak", "warmup", "decay", "weight_decay", "epochs"),
    # From the published configurations: lr of the global batch, iterations of warm-up (rounded down).
    [
        ("ssd_resnet34/mlperf", 8, 256, 0.02, 300, (44, 55), 5e-4, 65),
        ("ssd_resnet34/dgxa100_8x8", 64, 1536, 0.192, 1145, (48, 60), 1.7e-4, 70),
        ("ssd_resnet34/dgxa100_128x8", 1024, 3072, 0.384, 1336, (68, 85), 4e-5, 90),
        ("ssd_resnet34/mlperf_fp16", 8, 256, 0.02, 300, (44, 55), 5e-4, 65),
        ("ssd_resnet34/dgxa100", 8, 912, 0.0899745, 642, (44, 55), 1.3e-4, 65),
        ("ssd_resnet34/fujitsu_pg", 4, 456, 0.04498725, 771, (44, 55), 1.3e-4, 65),
        ("ssd_resnet18/dle", 8, 256, 0.0208, 300, (43, 54), 5e-4, 65),
        ("ssd_resnet34_bn/dle", 8, 256, 0.0208, 300, (43, 54), 5e-4, 65),
        ("ssd_resnet50/dle", 8, 256, 0.0208, 300, (43, 54), 5e-4, 65),
        ("ssd_resnet50/dle", 4, 128, 0.0104, 300, (43, 54), 5e-4, 65),
        ("ssd_resnet50/dle_amp", 8, 512, 0.0416, 300, (43, 54), 5e-4, 65),
        ("ssd_resnet50/dali", 8, 512, 0.0416, 300, (43, 54), 5e-4, 65),
        ("ssd_resnet101/dle", 8, 256, 0.0208, 300, (43, 54), 5e-4, 65),
        ("ssd_resnet152/dle", 8, 256, 0.0208, 300, (43, 54), 5e-4, 65),
        ("retinanet_resnext50_32x4d/mlperf", 8, 256, 1e-4, 458, (), 0, 8),
        ("retinanet_resnext50_32x4d/dgxa100", 8, 256, 8.5e-5, 0, (), 0, 8),
        ("retinanet_resnet50/torchvision", 8, 16, 0.01, 1000, (16, 22), 1e-4, 26),
        ("ssd300_vgg16/torchvision", 8, 32, 0.002, 1000, (80, 110), 5e-4, 120),
    ],
)
def test_recipes_are_the_published_ones(name, processes, batch, peak, warmup, decay, weight_decay, epochs):
    recipe = load_recipe(name)
    assert recipe.global_batch(processes) == batch
    assert recipe.effective_lr(processes) == pytest.approx(peak)
    steps = recipe.warmup_steps
    if steps is None:
        steps = int(recipe.warmup_epochs * COCO_IMAGES / batch)
    assert steps == warmup
    assert (recipe.decay_epochs, recipe.epochs) == (decay, epochs)
    assert recipe.weight_decay == pytest.approx(weight_decay)


@pytest.mark.parametrize("name", [recipe for recipe in recipe_names() if "/dle" in recipe])
def test_deep_learning_examples_spares_norms_and_evaluates_before_each_decay(name):
    recipe = load_recipe(name)
    assert recipe.decay_on == "weights"
    assert recipe.eval_epochs == (22, 32, 38, 43, 49, 54, 60, 65)
    assert set(recipe.decay_epochs) < set(recipe.eval_epochs)
    assert recipe.evaluates_after(recipe.epochs)

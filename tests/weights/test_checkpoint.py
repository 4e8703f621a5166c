"""What a checkpoint holds and that it comes back."""

import json
import pickletools
import zipfile

import mxnet as mx
import numpy as np
import pytest

from gluon_ssd import load
from gluon_ssd.data.preprocess import Preprocess
from gluon_ssd.data.shapes import SHAPES
from gluon_ssd.errors import UserError
from gluon_ssd.model_zoo import get_model
from gluon_ssd.tensor_files.archive import read_archive
from gluon_ssd.training.step import TrainStep
from gluon_ssd.weights.checkpoint import (
    Progress,
    find_checkpoint,
    read_checkpoint,
    restore_optimizer,
    save_checkpoint,
)

PROGRESS = Progress(epoch=3, batch=2, step=9, evaluated=7, best_map=0.1, best_epoch=2, sums={"loss": 1 / 3})


@pytest.fixture(scope="module")
def trained():
    """A network of two classes after two steps, and what trained it."""
    mx.random.seed(3)
    net = get_model("ssd_tiny", classes=["cat", "dog"])
    net.preprocess = Preprocess(net.input_size, mean=(0.5, 0.4, 0.3))
    step = TrainStep(net, net.loss())
    random = np.random.RandomState(0)
    encoder = net.target_encoder()
    boxes = np.array([[[0.1, 0.1, 0.6, 0.6]]] * 2, np.float32)
    targets = [mx.nd.array(target) for target in encoder(boxes, np.zeros((2, 1), np.int32))]
    for _ in range(2):
        step(mx.nd.array(random.randn(2, 3, *net.input_size)), targets, 0.01)
    return net, step


def test_everything_comes_back(trained, tmp_path):
    net, step = trained
    path = tmp_path / "a.ckpt"
    save_checkpoint(path, net, step.trainer, PROGRESS, {"lr": 0.5, "data": None})
    saved = read_checkpoint(path)
    assert (saved.model, saved.classes) == ("ssd_tiny", ("cat", "dog"))
    assert saved.preprocess == net.preprocess
    assert saved.progress == PROGRESS
    assert saved.recipe == {"lr": 0.5, "data": None}
    assert list(saved.parameters) == list(net.collect_params())
    for name, parameter in net.collect_params().items():
        np.testing.assert_array_equal(saved.parameters[name], parameter.data().asnumpy())
    trainable = [name for name, p in net.collect_params().items() if p.grad_req != "null"]
    assert sorted(saved.optimizer) == sorted([*trainable, "update_counts"])
    assert set(saved.optimizer["update_counts"][:, 1]) == {2}
    moving = [name for name in trainable if saved.optimizer[name].any()]
    assert len(moving) > 0.8 * len(trainable)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("year", [1970, 2242])
def test_a_wrong_clock_changes_nothing(trained, tmp_path, monkeypatch, year):
    """1970 is where a machine without a battery begins; zip's times end in 2107."""
    save_checkpoint(tmp_path / "right.ckpt", trained[0])
    monkeypatch.setattr("time.time", lambda: (year - 1970) * 365.25 * 86400)
    save_checkpoint(tmp_path / "wrong.ckpt", trained[0])
    assert (tmp_path / "wrong.ckpt").read_bytes() == (tmp_path / "right.ckpt").read_bytes()


def test_the_optimizer_goes_on_where_it_was(trained, tmp_path):
    net, step = trained
    path = tmp_path / "a.ckpt"
    save_checkpoint(path, net, step.trainer)
    other = load(path)
    trainer = TrainStep(other, other.loss()).trainer
    restore_optimizer(trainer, read_checkpoint(path))
    save_checkpoint(tmp_path / "b.ckpt", other, trainer)
    one, two = read_archive(path)[0], read_archive(tmp_path / "b.ckpt")[0]
    assert {name: array.tobytes() for name, array in one.items()} == {
        name: array.tobytes() for name, array in two.items()
    }
    assert trainer.optimizer.num_update == 2


def test_an_optimizer_of_something_else(trained, tmp_path):
    net, step = trained
    path = tmp_path / "a.ckpt"
    save_checkpoint(path, net)
    with pytest.raises(UserError, match=r"a.ckpt: its optimizer state has no ssd0_\w+ that fits; precision"):
        restore_optimizer(step.trainer, read_checkpoint(path))


def test_nothing_in_it_is_pickled(trained, tmp_path):
    save_checkpoint(tmp_path / "a.ckpt", *trained[:1], trained[1].trainer)
    with zipfile.ZipFile(tmp_path / "a.ckpt") as archive:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "state.json":
                json.loads(content)
                continue
            # An .npy header and plain numbers behind it; NumPy refuses the rest when pickles are not allowed.
            assert content.startswith(b"\x93NUMPY")
            assert b"'|O'" not in content[:128]
            with pytest.raises(ValueError):
                list(pickletools.genops(content))


def test_an_archive_with_a_pickle_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.ckpt", "w") as archive, archive.open("x.npy", "w") as member:
        np.lib.format.write_array(member, np.array([{}], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "a.ckpt", "a") as archive:
        archive.writestr("state.json", "{}")
    with pytest.raises(UserError, match="not a checkpoint of this library"):
        read_archive(tmp_path / "a.ckpt")


@pytest.mark.parametrize("where", ["", "best", "last", "checkpoints/last.ckpt", "checkpoints/last"])
def test_a_checkpoint_by_its_names(small_run, where):
    net = load(small_run / where)
    assert net.classes == tuple(SHAPES)
    assert net.input_size == (192, 192)
    name = "last" if "last" in where else "best"
    assert find_checkpoint(small_run / where) == small_run / "checkpoints" / f"{name}.ckpt"


def test_a_run_folder_that_one_is_in(small_run, monkeypatch):
    monkeypatch.chdir(small_run)
    assert find_checkpoint(".").name == "best.ckpt"
    assert find_checkpoint("last").name == "last.ckpt"


def test_a_folder_that_is_named_wins_over_a_file_beside_it(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run.ckpt").touch()
    # Another run than the one that was named would be loaded without a word.
    with pytest.raises(UserError, match="run: no checkpoint in this folder"):
        find_checkpoint(tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "last.ckpt").touch()
    assert find_checkpoint(tmp_path / "run") == tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert find_checkpoint(tmp_path / "run.ckpt") == tmp_path / "run.ckpt"


def test_load_gives_the_outputs_that_were_saved(trained, tmp_path):
    net = trained[0]
    save_checkpoint(tmp_path / "a.ckpt", net)
    images = mx.nd.array(np.random.RandomState(1).randn(1, 3, *net.input_size))
    other = load(tmp_path / "a.ckpt")
    assert other.preprocess == net.preprocess
    for one, two in zip(net(images), other(images)):
        np.testing.assert_allclose(one.asnumpy(), two.asnumpy(), rtol=0, atol=1e-5)


def test_values_that_are_not_finite_do_not_replace_good_ones(tmp_path):
    net = get_model("ssd_tiny", classes=["cat"])
    save_checkpoint(tmp_path / "a.ckpt", net)
    before = (tmp_path / "a.ckpt").read_bytes()
    bias = net.predictors[0].conv.bias
    bias.set_data(mx.nd.array([np.nan] * bias.shape[0]))
    with pytest.raises(UserError, match=f"a.ckpt: not written, because parameters/{bias.name} is not finite"):
        save_checkpoint(tmp_path / "a.ckpt", net)
    assert (tmp_path / "a.ckpt").read_bytes() == before

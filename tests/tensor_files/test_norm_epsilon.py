"""torchvision runs its published RetinaNet with an epsilon of 0 in the norms, which bare tensors lose."""

import mxnet as mx
import numpy as np
import pytest
from golden import seeded_weights

from gluon_ssd import UserError, get_model, load
from gluon_ssd.convert import (
    convert_file,
    load_backbone,
    load_torch_state,
    read_pickle,
    read_torch,
    read_weights,
    write_torch,
)
from gluon_ssd.tensor_files.archive import write_archive
from gluon_ssd.tensor_files.norms import refit_norms


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """torchvision's published RetinaNet but for the values: the old names, for an epsilon of 0."""
    state = seeded_weights("torchvision_retinanet_resnet50")
    old = {"0.0": "0", "1.0": "2", "2.0": "4", "3.0": "6"}
    for new, before in old.items():
        state = {name.replace(f"_head.conv.{new}.", f"_head.conv.{before}."): v for name, v in state.items()}
    for name in [name for name in state if name.endswith("running_var")]:
        # As of channels that died in training.
        state[name][:3] = (1e-6, 1e-12, 1e-20)
        for leaf in ("weight", "running_mean"):
            other = name.replace("running_var", leaf)
            state[other][:3] = (1e-4, 1e-7, 1e-11) if leaf == "weight" else 0
    path = tmp_path_factory.mktemp("published") / "a.pth"
    write_torch(state, path)
    return path


@pytest.mark.once
@pytest.mark.parametrize(
    "steps", [("b.params", "c.ckpt"), ("b.ckpt", "c.pth", "d.ckpt"), ("b.pth", "c.ckpt")]
)
def test_what_published_weights_compute_survives_files_without_options(published, tmp_path, steps):
    """Bare tensors are read with the usual epsilon: the gammas make up for it, also at tiny variances."""
    net = get_model("retinanet_resnet50")
    load_torch_state(net, read_torch(published))
    assert net.backbone.stem[1].epsilon == 0
    source = published
    for step in steps:
        convert_file(source, tmp_path / step)
        source = tmp_path / step
    back = load(source, device="cpu")
    image = mx.nd.random.normal(shape=(1, 3, 64, 64))
    for found, wanted in zip(back(image), net(image)):
        wanted = wanted.asnumpy()
        assert np.isfinite(wanted).all()
        assert np.abs(found.asnumpy() - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert back.options == ({"norm_epsilon": 0.0} if steps[0] == "b.pth" else {})


def test_refitted_norms_do_the_same_to_the_last_bits():
    variance = np.array([1e-30, 1e-12, 1e-9, 1e-6, 1e-3, 1, 1e4], np.float32)
    arrays = {"n_gamma": np.full(7, 0.3, np.float32), "n_beta": np.ones(7), "n_running_var": variance}
    fitted = refit_norms(arrays, 0, 1e-5)
    scale = fitted["n_gamma"].astype(np.float64) / np.sqrt(variance.astype(np.float64) + 1e-5)
    np.testing.assert_allclose(scale, np.float32(0.3) / np.sqrt(variance.astype(np.float64)), rtol=1e-7)
    assert fitted["n_running_var"] is variance and fitted["n_gamma"].dtype == np.float32
    assert (
        refit_norms({**arrays, "n_running_var": variance * 0}, 0, 1e-5)["n_gamma"].tolist()
        == [np.float32(0.3)] * 7
    )


@pytest.mark.once
def test_a_backbone_of_the_published_retinanet_is_refitted(published, tmp_path):
    state, net = read_torch(published), _loaded("ssd_resnet50", published)
    prefix = net.backbone.prefix
    gamma = net.collect_params()[f"{prefix}batchnorm0_gamma"].data().asnumpy().astype(np.float64)
    variance = state["backbone.body.bn1.running_var"].astype(np.float64)
    wanted = state["backbone.body.bn1.weight"] / np.sqrt(variance)
    np.testing.assert_allclose(gamma / np.sqrt(variance + 1e-5), wanted, rtol=1e-6)
    convert_file(published, tmp_path / "a.ckpt")
    again = _loaded("ssd_resnet50", tmp_path / "a.ckpt").collect_params()[f"{prefix}batchnorm0_gamma"]
    np.testing.assert_allclose(again.data().asnumpy(), gamma, rtol=1e-6)
    for source in (published, tmp_path / "a.ckpt"):
        convert_file(source, tmp_path / "a.pickle", stages=4)
        found = read_pickle(tmp_path / "a.pickle")["batchnorm0_gamma"]
        np.testing.assert_allclose(found, gamma, rtol=1e-6)


def _loaded(model, path):
    net = get_model(model, classes=["cat"])
    load_backbone(net, path)
    return net


@pytest.mark.parametrize("options", [[1], {"norm_epsilon": "tiny"}, {"norm_epsilon": None}])
def test_a_checkpoint_whose_options_are_damaged(tmp_path, options):
    write_archive(tmp_path / "a.ckpt", {"parameters/n_gamma": np.ones(2, np.float32)}, {"options": options})
    with pytest.raises(UserError, match="a.ckpt: not a checkpoint of this library; its options are not"):
        read_weights(tmp_path / "a.ckpt")

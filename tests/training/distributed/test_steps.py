"""Two processes with half of the images each train as one process with all of them."""

import numpy as np
import pytest
import rank_steps as steps
from launching import need_horovod, run
from places import REPOSITORY

from gluon_ssd.data.shapes import make_shapes
from gluon_ssd.training.distributed import World


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_shapes(tmp_path_factory.mktemp("steps") / "data", train=15, val=1, size=(96, 128))


@pytest.fixture(scope="module")
def ranks(data, tmp_path_factory):
    """Per rank, what rank_steps.py found: case -> name -> array."""
    need_horovod()
    folder = tmp_path_factory.mktemp("ranks")
    run(2, REPOSITORY / "tests/support/rank_steps.py", data, folder)
    found = []
    for rank in range(2):
        cases = {}
        with np.load(folder / f"rank{rank}.npz") as arrays:
            for key in arrays:
                case, _, name = key.partition("/")
                cases.setdefault(case, {})[name] = arrays[key]
        found.append(cases)
    return found


@pytest.fixture(scope="module")
def alone(data):
    return {frozen: steps.train(World(), data, frozen) for frozen in (True, False)}


def largest_difference(one, other, weights=True):
    """Of what is trained, or relative of running statistics, which reach far above 1."""
    names = [name for name in one if name not in ("ids", "moved") and ("running_" not in name) == weights]
    assert len(names) > 20
    return max(
        (np.abs(one[name] - other[name]) / (1 if weights else np.maximum(1, other[name]))).max()
        for name in names
    )


@pytest.mark.parametrize(
    ("case", "constant_norms"),
    [("constant", True), ("accumulated", True), ("bundled", True), ("group", False)],
)
def test_twenty_steps_of_two_ranks_are_those_of_one(ranks, alone, case, constant_norms):
    wanted = alone[constant_norms]
    both = np.concatenate([found[case]["ids"] for found in ranks])
    assert sorted(both) == sorted(wanted["ids"]) and len(set(both)) == steps.IMAGES
    for found in ranks:
        assert largest_difference(found[case], wanted) < 1e-5
    assert largest_difference(ranks[0][case], ranks[1][case]) == 0


def test_group_norm_starts_with_the_running_statistics_of_one_large_batch(ranks, alone):
    """Twenty steps later they are less alike: layers that normalise four values enlarge rounding."""
    for found in ranks:
        names = [name for name in found["group"] if name.startswith("first:")]
        assert len(names) == 38
        for name in names:
            np.testing.assert_allclose(found["group"][name], alone[False][name], rtol=1e-5, atol=1e-5)
        assert largest_difference(found["group"], alone[False], weights=False) < 2e-2


def test_the_steps_went_far_enough_to_tell(alone):
    """Half the gradient, or twice, would end many times the tolerance away."""
    assert alone[True]["moved"] > 1e-3 and alone[False]["moved"] > 2e-4


def test_gradients_sent_as_float16_end_near(ranks, alone):
    for found in ranks:
        assert 0 < largest_difference(found["compressed"], alone[True]) < 1e-4
    assert largest_difference(ranks[0]["compressed"], ranks[1]["compressed"]) == 0


def test_the_update_sees_the_mean_of_the_ranks_gradients(ranks):
    one, other = (found["gradient"] for found in ranks)
    names = [key[len("own:") :] for key in one if key.startswith("own:")]
    assert len(names) > 20
    for name in names:
        mean = (one[f"own:{name}"] + other[f"own:{name}"]) / 2
        np.testing.assert_allclose(one[f"mean:{name}"], mean, rtol=1e-6, atol=1e-9)
        assert (one[f"mean:{name}"] == other[f"mean:{name}"]).all()
    assert any((one[f"own:{name}"] != other[f"own:{name}"]).any() for name in names)


def test_a_gradient_that_overflows_on_one_rank_is_skipped_on_all(ranks):
    for found in ranks:
        assert {name: value.item() for name, value in found["overflow"].items()} == {
            "skipped": 1,
            "scale": 64.0,
            "moved": False,
        }


def test_running_statistics_agree_once_averaged(ranks):
    one, other = (found["statistics"] for found in ranks)
    names = [key[len("own:") :] for key in one if key.startswith("own:")]
    assert len(names) == 38
    for name in names:
        mean = (one[f"own:{name}"] + other[f"own:{name}"]) / 2
        np.testing.assert_allclose(one[f"mean:{name}"], mean, rtol=1e-5, atol=1e-7)
        assert (one[f"mean:{name}"] == other[f"mean:{name}"]).all()
        assert (one[f"again:{name}"] == one[f"mean:{name}"]).all()
    assert any((one[f"own:{name}"] != other[f"own:{name}"]).any() for name in names)


def test_each_rank_has_a_seed_of_its_own(ranks):
    assert [found["seed"]["seed"].item() for found in ranks] == [5, 6]

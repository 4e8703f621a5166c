import pytest

from gluon_ssd.errors import UserError, import_problem, nearest, one_line, unknown, visible
from gluon_ssd.platforms import mxnet_advice

MODELS = ["ssd_resnet34", "ssd_resnet34_bn", "ssd_resnet18", "ssd_tiny", "retinanet_resnet50"]


def test_unknown_suggests_the_nearest_three():
    error = unknown("model", "ssd_resnet43", MODELS)
    assert isinstance(error, UserError)
    assert str(error) == (
        "unknown model 'ssd_resnet43'; did you mean ssd_resnet34, ssd_resnet18, ssd_resnet34_bn? "
        "(see: gluon-ssd models)"
    )


def test_unknown_lists_what_there_is_when_nothing_is_similar():
    assert str(unknown("fruit", "zzz", ["apple", "pear"])) == "unknown fruit 'zzz'; known: apple, pear"


def test_unknown_shows_at_most_eight_names():
    error = unknown("letter", "?", [letter * 3 for letter in "abcdefghij"])
    assert str(error).endswith("known: aaa, bbb, ccc, ddd, eee, fff, ggg, hhh, ...")


def test_unknown_with_nothing_known():
    assert str(unknown("fruit", "apple", [])) == "unknown fruit 'apple'; none is known"


def test_unknown_takes_what_is_no_name_at_all():
    assert str(unknown("device", None, ["cpu", "gpu"])) == "unknown device 'None'; known: cpu, gpu"


def test_nearest_ignores_case_and_returns_the_original_spelling():
    assert nearest("TRAFIC LIGHT", ["Traffic light", "Boat"]) == ["Traffic light"]


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("gluoncv", "gluoncv"),
        ("onnx.helper", "onnx"),
        ("onnxruntime", "onnxruntime"),
        ("nvidia.dali", "dali"),
        ("google_crc32c", "tfrecord"),
    ],
)
def test_a_missing_package_names_its_extra(module, extra):
    problem = import_problem(ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert f'pip install "gluon_ssd[{extra}]"' in str(problem)
    assert "\n" not in str(problem)


@pytest.mark.parametrize("text", ["module 'numpy' has no attribute 'dot'.", "`np.dot` was removed in 2.9."])
def test_mxnet_beside_a_newer_numpy_than_any_it_was_tried_with_names_the_pin(text):
    problem = import_problem(AttributeError(text))
    assert str(problem).startswith(f"MXNet 1.9.1 cannot run with this numpy ({text})")
    assert str(problem).endswith('pip install "numpy<2.6"')


def test_a_missing_mxnet_gets_the_advice_for_this_machine():
    problem = import_problem(ModuleNotFoundError("No module named 'mxnet'", name="mxnet.gluon"))
    assert str(problem) == f"mxnet is not installed; {mxnet_advice()}"


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("No module named 'x'", name="x"), AttributeError("y"), ValueError("mxnet")]
)
def test_other_errors_are_left_alone(error):
    assert import_problem(error) is None


def test_a_notebook_shows_one_line_instead_of_a_traceback():
    assert UserError("a.jpg: the file is empty")._render_traceback_() == ["error: a.jpg: the file is empty"]


def test_a_line_of_error_has_an_end(cli, tmp_path):
    """A damaged list of images can make a name of any length."""
    text = cli("check", "x" * 5000).err
    assert text.startswith("error: xxx") and text.count("\n") == 1 and len(text) < 2100
    assert one_line("a\nb") == "a b"


def test_what_a_terminal_would_obey_is_spelt_out():
    """Names of files and classes come from others."""
    assert visible("a\x1b[2J\x07\u202eb\tc\nd\u00e9 \u200d") == "a\\x1b[2J\\x07\\u202eb\tc\nd\u00e9 \u200d"
    assert one_line("a\x1b]0;b\x07\rc") == "a\\x1b]0;b\\x07 c"

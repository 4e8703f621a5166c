import platform
import re
import sys

import pytest

from gluon_ssd import environment
from gluon_ssd.cli import doctor
from gluon_ssd.environment import ABSENT, BROKEN, OK, Fact, Piece
from gluon_ssd.errors import UserError


@pytest.fixture
def healthy(monkeypatch):
    """A machine where everything is there, without importing any of it."""
    for name in ("MXNET_OMP_MAX_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)  # advice on it would break the lines of the table
    monkeypatch.setattr(environment, "required", lambda: [Fact("numpy", "1.23.5")])
    monkeypatch.setattr(environment, "mxnet_features", lambda: Fact("mxnet features", "oneDNN; 0 GPUs"))
    monkeypatch.setattr(doctor, "self_check", lambda model: Fact("self-check", "ssd_tiny: forward 9 ms"))


def test_a_healthy_machine(cli, healthy, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = cli("doctor")
    assert result.status == 0
    assert result.out.endswith("everything required works\n")
    assert "self-check" in result.out
    assert "operators cpu stock MXNet, with NHWC and float16 emulated" in re.sub(" +", " ", result.out)


def test_a_broken_piece_is_status_1_and_skips_the_self_check(cli, healthy, monkeypatch):
    broken = Fact("mxnet", "not installed", BROKEN, 'no network can be built: pip install "gluon_ssd[cpu]"')
    monkeypatch.setattr(environment, "required", lambda: [broken])
    result = cli("doctor")
    assert result.status == 1
    assert 'pip install "gluon_ssd[cpu]"' in " ".join(result.out.split())
    assert "self-check" not in result.out
    assert "1 required piece is broken" in result.out


def test_a_failed_self_check_is_status_1(cli, healthy, monkeypatch):
    failed = Fact("self-check", "failed", BROKEN, "loss is nan")
    monkeypatch.setattr(doctor, "self_check", lambda model: failed)
    assert cli("doctor").status == 1


def test_a_package_that_does_not_import_tells_why(monkeypatch, tmp_path):
    (tmp_path / "half_there.py").write_text("raise OSError('libGL.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    fact = environment._check_required(Piece("half_there", ("half-there",), "no pictures", "pip install it"))
    assert fact.status == BROKEN
    assert (
        fact.advice
        == "does not import (libGL.so.1: cannot open shared object file); no pictures: pip install it"
    )


def test_a_missing_piece_says_what_it_costs(monkeypatch):
    monkeypatch.setattr(
        environment, "OPTIONAL", (Piece("no_such", ("no-such",), "no magic", "pip install no-such"),)
    )
    assert environment.optional() == [
        Fact("no_such", "not installed", ABSENT, "no magic: pip install no-such")
    ]


DALI = Piece("nvidia.dali", ("nvidia-dali-cuda120",), "no data_pipeline dali", "pip install it")


def test_dali_is_tried():
    pytest.importorskip("nvidia.dali")
    fact = environment._try(DALI, "1.53.0")
    assert fact == Fact("nvidia.dali", "1.53.0, decodes on CPU")


def test_gluoncv_is_tried(monkeypatch):
    piece = Piece("gluoncv", ("gluoncv",), "no backbones of GluonCV", "pip install it")
    monkeypatch.setitem(sys.modules, "gluoncv", None)
    fact = environment._try(piece, "0.10.5")
    assert (fact.status, fact.value) == (BROKEN, "0.10.5")
    assert fact.advice.startswith("does not work (")


def test_dali_that_does_not_work_tells_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    fact = environment._try(DALI, "1.53.0")
    assert fact.status == BROKEN
    assert fact.advice.startswith("does not work (import of nvidia.dali halted")
    assert fact.advice.endswith("no data_pipeline dali: pip install it")


@pytest.mark.parametrize(
    ("threads", "text", "advice"),
    [
        ("4", "4, of which MXNet uses 4", ""),
        ("2", "4, of which MXNet uses 2", "export OMP_NUM_THREADS=4 uses them all"),
        (None, "4; OMP_NUM_THREADS is not set", ""),
    ],
)
def test_threads(monkeypatch, threads, text, advice):
    monkeypatch.delenv("MXNET_OMP_MAX_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if threads:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert environment._threads(4) == Fact("cores", text, OK, advice)


def test_python_out_of_range_is_broken(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 14, 1))
    assert {fact.name: fact.status for fact in environment.machine()}["python"] == BROKEN


def test_a_system_without_mxnet_is_said_and_not_to_blame(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(platform, "machine", lambda: "AMD64")
    monkeypatch.setattr(platform, "platform", lambda: "Windows-11")
    facts = {fact.name: fact for fact in environment.machine()}
    assert facts["system"] == Fact(
        "system", "Windows-11", ABSENT, "MXNet is not published for it; weight files and data sets work"
    )


def test_nothing_is_offered_that_has_no_use():
    assert not [piece.module for piece in environment.OPTIONAL if "nothing" in piece.cost]


def test_the_real_self_check_passes():
    check = doctor.self_check()
    assert (check.status, check.advice) == (OK, "")


def test_a_self_check_that_raises_is_reported(monkeypatch):
    import gluon_ssd.selfcheck

    def explode(model):
        raise RuntimeError("no kernel for this processor\nmore")

    monkeypatch.setattr(gluon_ssd.selfcheck, "run_selfcheck", explode)
    fact = doctor.self_check()
    assert (fact.status, fact.advice) == (BROKEN, "RuntimeError: no kernel for this processor")


def test_a_model_that_there_is_not_says_nothing_about_the_machine():
    with pytest.raises(UserError, match="unknown model 'nosuch'"):
        doctor.self_check("nosuch")


def test_the_gpu_checks_say_in_one_line_why_they_cannot_run(cli, monkeypatch, tmp_path):
    found = cli("doctor", "--gpu")
    assert found.status == 2 and found.err.count("\n") == 1
    assert "error: doctor --gpu: MXNet sees no GPU here; to try the checks on the CPU: " in found.err
    monkeypatch.setattr("mxnet.context.num_gpus", lambda: 1)
    monkeypatch.setattr(doctor, "VERIFY", tmp_path / "site-packages/scripts/docker/verify.sh")
    assert "run scripts/docker/verify.sh from a clone of it\n" in cli("doctor", "--gpu").err


def test_the_gpu_checks_are_those_of_verify(cli, monkeypatch, tmp_path):
    assert doctor.VERIFY.is_file()
    monkeypatch.setattr("mxnet.context.num_gpus", lambda: 1)
    script = tmp_path / "verify.sh"
    script.write_text('echo "$PYTHON"; exit 3')
    monkeypatch.setattr(doctor, "VERIFY", script)
    assert cli("doctor", "--gpu") == (3, f"{sys.executable}\n", "")

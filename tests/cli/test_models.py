import pytest

from gluon_ssd import list_models


def test_the_table_has_a_row_per_model(cli):
    result = cli("models")
    assert result.status == 0
    for name in list_models():
        assert name in result.out
    rows = {line.split()[0]: line.split()[1:] for line in result.out.splitlines() if line}
    last = ["finetune,", "smoke"]
    assert rows["ssd_resnet50"] == ["300x300", "22.9", "M", "40.3", "dali,", "dle,", "dle_amp,", *last]
    assert rows["resnet50"] == ["224x224", "25.6", "M", "8.2", "-"]


def test_one_model_shows_its_card(cli):
    result = cli("models", "ssd_resnet34")
    assert result.status == 0
    assert "# ssd_resnet34" in result.out
    assert "19,972,534" in result.out
    assert "<!--" not in result.out
    assert "ssd_tiny" not in result.out


@pytest.mark.parametrize("name", list_models())
def test_every_model_shows_its_card(cli, name):
    result = cli("models", name)
    assert result.status == 0
    assert f"# {name}\n" in result.out


def test_a_misspelt_model(cli):
    result = cli("models", "ssd_resnet43")
    assert result.status == 2
    assert result.err.startswith("error: unknown model 'ssd_resnet43'; did you mean ssd_resnet34")

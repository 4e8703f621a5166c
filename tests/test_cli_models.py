from gluon_ssd import list_models


def test_the_table_has_a_row_per_model(cli):
    result = cli("models")
    assert result.status == 0
    for name in list_models():
        assert name in result.out
    assert "300x300" in result.out
    assert "ssd_resnet34/mlperf" in result.out


def test_one_model_shows_its_card(cli):
    result = cli("models", "ssd_resnet34")
    assert result.status == 0
    assert "# ssd_resnet34" in result.out
    assert "ssd_tiny" not in result.out


def test_a_misspelt_model(cli):
    result = cli("models", "ssd_resnet43")
    assert result.status == 2
    assert result.err.startswith("error: unknown model 'ssd_resnet43'; did you mean ssd_resnet34")

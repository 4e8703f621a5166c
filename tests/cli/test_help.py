"""What ``--help`` shows: headings, texts, examples that parse, pages that exist, lines that fit."""

import argparse
import re
import shlex

import pytest
from places import REPOSITORY

from gluon_ssd.cli.main import PAGES, VERBS, build_parser
from gluon_ssd.recipe import Recipe

# The headings that argparse gives to what stands under none of its own.
UNNAMED = ("options", "optional arguments")


@pytest.fixture(scope="module")
def verbs():
    """The parser of each verb, by its name."""
    actions = build_parser()._actions
    return next(each for each in actions if isinstance(each, argparse._SubParsersAction)).choices


@pytest.mark.parametrize("verb", VERBS)
def test_every_flag_has_a_heading_and_words(verbs, verb):
    for group in verbs[verb]._action_groups:
        for action in group._group_actions:
            assert group.title not in UNNAMED or action.option_strings == ["-h", "--help"], action
            assert action.help and not action.help.startswith("default"), action


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_fits_a_terminal_of_80_columns(cli, verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = cli(verb, "--help").out
    # A command stays one line, so that it can be copied.
    wide = [line for line in text.splitlines() if len(line) > 80 and not line.startswith("  gluon-ssd ")]
    assert wide == []
    assert all(len(line) <= 80 for line in cli().out.splitlines())


@pytest.mark.parametrize("verb", VERBS)
def test_the_examples_are_accepted_by_the_parser(cli, verb):
    lines = cli(verb, "--help").out.split("example:\n")[1].split("\n\n")[0].splitlines()
    assert lines
    for line in lines:
        assert build_parser().parse_args(shlex.split(line)[1:]).run is VERBS[verb].run


def test_it_ends_with_a_page_that_tells_of_the_verb_and_names_no_page_that_is_not_there(cli):
    assert set(PAGES) == set(VERBS)
    for verb, page in PAGES.items():
        shown = cli(verb, "--help").out
        assert shown.endswith(f"\n\npage: {page}\n")
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        assert f"gluon-ssd {verb}" in text or f"`{verb}`" in text, (verb, page)
        for named in re.findall(r"docs/[a-z-]+\.md", shown):
            assert (REPOSITORY / named).is_file(), (verb, named)


def test_every_key_is_a_flag_and_its_default_is_shown(cli):
    text = cli("train", "--help").out
    for name in Recipe().to_dict():
        assert f"--{name.replace('_', '-')} " in text
    assert "(default: 44 55)" in text


def test_no_default_is_shown_where_there_is_none(cli):
    assert "(default: )" not in " ".join(cli("train", "--help").out.split())


def test_a_first_training_is_what_train_shows_first(verbs):
    group = next(group for group in verbs["train"]._action_groups if group.title.startswith("for a first"))
    flags = [action.option_strings[0] for action in group._group_actions]
    assert flags[:4] == ["--recipe", "--data", "--output", "--resume"]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shell_completes_verbs_and_flags(shell):
    shtab = pytest.importorskip("shtab", reason='needs: pip install "gluon_ssd[completion]"')
    script = shtab.complete(build_parser(), shell=shell)
    assert "convert-data" in script and "--backbone-lr-factor" in script
    page = (REPOSITORY / "docs/install.md").read_text(encoding="utf-8")
    assert "shtab --prog gluon-ssd --shell bash gluon_ssd.cli.main.build_parser" in page
    assert f"--shell {shell}" in page

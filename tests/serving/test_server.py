"""`gluon-ssd serve`: what it refuses at the start, several workers, and a machine without MXNet."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from http_server import in_process, wait_until
from places import REPOSITORY
from small import refused

from gluon_ssd.errors import UserError
from gluon_ssd.serving import settings as serving_settings
from gluon_ssd.serving.settings import TOKEN, Settings, from_environment, read_token, to_environment


@pytest.fixture(autouse=True)
def no_heavy_start(monkeypatch):
    """No test here opens a detector in this process, and the limits of its decoders stay as they are."""
    from gluon_ssd.serving import server

    monkeypatch.setattr(server, "open_detector", lambda settings: (None, 0.3))
    monkeypatch.setattr(server, "limit_decoders", lambda most: None)


def test_a_port_that_is_taken(cli, small_run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(cli("serve", small_run, "--port", port), f"port {port} of 127.0.0.1: Address already in use")
    refused(cli("serve", small_run, "--host", "256.1.1.1"), "port 8000 of 256.1.1.1: ", "--host")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--port", "70000"], "argument --port: must be at most 65535"),
        (["--timeout", "0"], "argument --timeout: must be greater than 0"),
        (["--queue", "4"], "16 images never fits into a queue of 4; raise --queue or lower --max-images"),
        (["--token-file", "none.txt"], "none.txt: the token cannot be read"),
        (["--precision", "int8"], "invalid choice: 'int8'"),
    ],
)
def test_mistakes_are_one_line(cli, small_run, flags, words):
    refused(cli("serve", small_run, *flags), words)


def test_a_missing_extra_is_named(cli, small_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "gluon_ssd.serving.server")
    refused(cli("serve", small_run), 'uvicorn is not installed; pip install "gluon_ssd[serve]"')


@pytest.mark.parametrize("text", ["", " \n", "two words", "\u00e4"])
def test_a_token_that_nobody_could_bring_is_refused(tmp_path, text):
    (tmp_path / "token").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="one word of printable ASCII, and not empty"):
        read_token(Settings("x", token_file=str(tmp_path / "token")))


def test_the_token_comes_from_the_file_or_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN, "from-environment")
    (tmp_path / "token").write_text(" from-file\n")
    assert read_token(Settings("x")) == "from-environment"
    assert read_token(Settings("x", token_file=str(tmp_path / "token"))) == "from-file"


def test_an_open_host_without_a_token_is_warned_of(cli, small_run, monkeypatch):
    from gluon_ssd.serving import app, server

    monkeypatch.setattr(app, "create_app", lambda *arguments: None)
    monkeypatch.setattr(server, "_run_here", lambda *arguments: None)
    warning = "warning: 0.0.0.0 is open to the network, and no token is asked for\n"
    assert cli("serve", small_run, "--port", 0, "--host", "0.0.0.0").err == warning
    assert cli("serve", small_run, "--port", 0).err == ""


def test_settings_reach_another_process():
    given = Settings("run", score_threshold=0.2, cors=("https://a.example",), plugins=("my.py",), queue=40)
    environment = {}
    to_environment(given, environment)
    assert from_environment(environment) == given


def test_the_threshold_of_answers(small_run):
    best = serving_settings.open_detector(Settings(str(small_run)))
    assert best[0].net.best_threshold == best[1] and best[0].score_threshold == 0.05
    low = serving_settings.open_detector(Settings(str(small_run), score_threshold=0.01))
    assert (low[0].score_threshold, low[1]) == (0.01, 0.01)


@pytest.mark.once
def test_several_workers_share_a_port_and_their_metrics_and_end_quietly(bench_photo, small_run):
    with in_process(small_run, "--workers", 2, "--timeout", 5, OMP_NUM_THREADS="1") as (popen, client, lines):
        for _ in range(6):
            assert client("/v1/detect", bench_photo).status == 200
        text = client("/metrics").body.decode()
        assert 'gluon_ssd_requests_total{path="/v1/detect",status="200"} 6.0' in text
        # Ctrl-C twice, which a terminal sends to every process.
        children = Path(f"/proc/{popen.pid}/task/{popen.pid}/children").read_text().split()
        for _ in range(2):
            for pid in (*map(int, children), popen.pid):
                os.kill(pid, signal.SIGINT)
            time.sleep(0.05)
        assert popen.wait(60) == 0
    assert sum('"path": "/v1/detect"' in line for line in lines) == 6
    assert not [line for line in lines if not line.startswith("{")]


@pytest.mark.once
def test_ctrl_c_twice_ends_a_server_quietly(small_run):
    with in_process(small_run) as (popen, _, lines):
        for _ in range(2):
            popen.send_signal(signal.SIGINT)
            time.sleep(0.05)
        assert popen.wait(60) == 0
    assert not [line for line in lines if not line.startswith("{")]


@pytest.mark.once
def test_workers_do_not_outlive_the_process_that_started_them(small_run):
    with in_process(small_run, "--workers", 2, "--timeout", 5, OMP_NUM_THREADS="1") as (popen, client, _):
        popen.kill()
        popen.wait(60)
        wait_until(lambda: not is_open(client.port))


EARLY = """
import os, signal, socket, sys
from gluon_ssd.serving import server, settings

def stopped(*arguments, **options):
    assert len(os.listdir(os.environ["TMPDIR"])) == 1
    for _ in range(2):
        os.kill(os.getpid(), int(sys.argv[1]))

server.Multiprocess = stopped
try:
    server._run_workers(settings.Settings("model"), 2, socket.socket())
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_workers_have_started_leaves_no_folder(number, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", EARLY, str(int(number))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 128 + number, done.stderr
    assert list(tmp_path.iterdir()) == []


def is_open(port):
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def bench_photo():
    import io

    from PIL import Image
    from small import picture

    buffer = io.BytesIO()
    Image.fromarray(picture(90, 60)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_an_onnx_file_is_served_without_mxnet(bench_photo, small_run, tmp_path):
    pytest.importorskip("onnx", reason='onnx is not installed: pip install "gluon_ssd[onnx]"')
    pytest.importorskip("onnxruntime", reason='it is not installed: pip install "gluon_ssd[onnxruntime]"')
    from gluon_ssd.export import to_onnx

    settings = {"score_threshold": 0.2, "max_detections": 30}
    to_onnx(small_run, tmp_path / "model.onnx", detections=True, settings=settings, prove=False)
    code = (
        "import bare_machine; bare_machine.without_mxnet()\n"
        "import os, sys, threading, time, urllib.request as web, signal\n"
        "from gluon_ssd.cli import main\n"
        "def ask():\n"
        "    while True:\n"
        "        try:\n"
        "            web.urlopen('http://127.0.0.1:' + sys.argv[1] + '/readyz').read(); break\n"
        "        except OSError: time.sleep(0.1)\n"
        "    photo = open('photo.jpg', 'rb').read()\n"
        "    found = web.urlopen('http://127.0.0.1:' + sys.argv[1] + '/v1/detect', photo)\n"
        "    print(found.read().decode(), 'mxnet' in sys.modules, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=ask, daemon=True).start()\n"
        "sys.exit(main(['serve', 'model.onnx', '--runtime', 'onnxruntime', '--port', sys.argv[1], "
        "'--no-access-log']))"
    )
    (tmp_path / "photo.jpg").write_bytes(bench_photo)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests" / "support")])
    done = subprocess.run(
        [sys.executable, "-c", code, port],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    first, answer = done.stdout.splitlines()
    assert first == f"serving model.onnx on http://127.0.0.1:{port}/"
    assert answer.startswith('{"model":"model.onnx"') and answer.endswith("} False")

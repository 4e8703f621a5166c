"""Callbacks of several processes: each is called and told its rank, and none ends the run too early."""

from launching import finish, need_horovod, start

from gluon_ssd.weights.checkpoint import read_checkpoint

PROGRAM = """
import sys, time
from pathlib import Path
from gluon_ssd import Callback, train
from gluon_ssd.training import evaluator

class Stop(Callback):
    def started(self, info):
        self.rank = info.rank
        Path(f"rank {info.rank} of {info.processes}").touch()

    def evaluated(self, epoch, score):
        raise RuntimeError(f"enough for rank {self.rank}")

write = evaluator.write_evaluation
evaluator.write_evaluation = lambda *parts: (time.sleep(4), write(*parts))
keys = {"batch_size": 2, "workers": 1, "max_steps": None, "epochs": 3, "eval_every": 1}
train("ssd_tiny/smoke", data=sys.argv[1], output="run", callbacks=[Stop()], **keys)
"""


def test_rank_0_has_written_everything_before_the_exception_of_another_ends_the_run(shapes, tmp_path):
    need_horovod()
    results = finish(start(2, "-c", PROGRAM, shapes, cwd=tmp_path))
    assert all(status != 0 for status, _, _ in results), results
    assert "RuntimeError: enough for rank" in "".join(error for _, _, error in results)
    assert sorted(path.name for path in tmp_path.glob("rank*")) == ["rank 0 of 2", "rank 1 of 2"]
    for name in ("best", "last"):
        progress = read_checkpoint(tmp_path / f"run/checkpoints/{name}.ckpt").progress
        assert (progress.best_epoch, progress.evaluated) == (1, progress.step)
    assert (tmp_path / "run/val/scores.json").is_file()

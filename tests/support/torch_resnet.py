"""State dicts of torchvision's residual networks with seeded values."""

from __future__ import annotations

from golden import seeded

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def resnet_rows(depth, width=64, groups=1, group_width=64):
    """(name, shape) of every tensor of torchvision's ResNet, in its order; ``width`` is 64 there."""
    rows = []

    def layer(conv, norm, inputs, outputs, kernel):
        rows.append((f"{conv}.weight", (outputs, inputs, kernel, kernel)))
        rows.extend(
            (f"{norm}.{leaf}", (outputs,)) for leaf in ("weight", "bias", "running_mean", "running_var")
        )

    layer("conv1", "bn1", 3, width, 7)
    channels = width
    for stage, blocks in enumerate(DEPTHS[depth], 1):
        plain = width << (stage - 1)
        outputs = plain * (4 if depth >= 50 else 1)
        inner = plain * group_width // 64 * groups
        for block in range(blocks):
            source = f"layer{stage}.{block}"
            if depth >= 50:
                layer(f"{source}.conv1", f"{source}.bn1", channels, inner, 1)
                layer(f"{source}.conv2", f"{source}.bn2", inner // groups, inner, 3)
                layer(f"{source}.conv3", f"{source}.bn3", inner, outputs, 1)
            else:
                layer(f"{source}.conv1", f"{source}.bn1", channels, outputs, 3)
                layer(f"{source}.conv2", f"{source}.bn2", outputs, outputs, 3)
            if block == 0 and (stage > 1 or channels != outputs):
                layer(f"{source}.downsample.0", f"{source}.downsample.1", channels, outputs, 1)
            channels = outputs
    return [*rows, ("fc.weight", (1000, channels)), ("fc.bias", (1000,))]


def resnet_state(depth, **shape):
    """A seeded state dict: ``resnet_state(34)``, ``resnet_state(50, width=8)``."""
    return seeded.seeded_state(resnet_rows(depth, **shape), 1)

"""Overfits a model to a few real images, from random weights and without augmentation.

    python benchmarks/overfit.py --data COCO_FOLDER [--images 32] [--epochs 150] [--target 0.5]
    python benchmarks/overfit.py --model retinanet_resnet50 --input-size 320 320 --images 8 --batch-size 4

A detector whose targets, loss, decoding and evaluation fit together can learn 32 images by heart; one with a
mistake in any of them cannot. Prints steps, minutes and mAP.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from gluon_ssd.recipe import Recipe
from gluon_ssd.training.train import run_training


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", default=os.environ.get("GLUON_SSD_COCO128"), help="default: GLUON_SSD_COCO128"
    )
    parser.add_argument("--model", default="ssd_resnet34")
    parser.add_argument("--input-size", type=int, nargs=2, help="of a RetinaNet")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--lr", type=float, default=5e-4, help="of Adam")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "amp"))
    parser.add_argument("--target", type=float, default=0.5)
    parser.add_argument("--output", help="run folder (default: a temporary one)")
    args = parser.parse_args()
    if not args.data:
        parser.error("give --data a folder in COCO 2017's layout")
    data = Path(args.data)
    start = time.perf_counter()
    recipe = Recipe(
        model=args.model,
        input_size=args.input_size,
        trainable_layers=5 if args.model.startswith("retinanet") else None,
        data=str(data),
        # The training images are the validation images: this asks what was learnt, not what was understood.
        val_annotation=str(data / "annotations" / "instances_train2017.json"),
        val_images=str(data / "train2017"),
        limit_train=args.images,
        limit_val=args.images,
        augment="none",
        precision=args.precision,
        batch_size=args.batch_size,
        eval_batch_size=args.batch_size,
        epochs=args.epochs,
        optimizer="adam",
        lr=args.lr,
        weight_decay=0.0,
        decay_epochs=(args.epochs * 8 // 10, args.epochs * 9 // 10),
        warmup_epochs=5,
        eval_every=10,
        target_map=args.target,
        output=args.output or tempfile.mkdtemp(prefix="overfit-") + "/run",
    )
    result = run_training(recipe)
    minutes = (time.perf_counter() - start) / 60
    where = f"on {args.images} images after {result.steps} steps in {minutes:.1f} minutes"
    print(f"mAP {result.best_map:.4f} {where}")
    return 0 if result.reached_target else 1


if __name__ == "__main__":
    sys.exit(main())

"""What a recipe's schedule comes to, before the training starts: its end, and what of it takes no effect."""

from __future__ import annotations

from ..recipe import Recipe


def plan_lines(recipe: Recipe, steps: int) -> list[str]:
    """Returns a line about the target mAP, and one of warning for each key that can take no effect.

    ``steps``: optimizer steps of an epoch.
    """
    total = recipe.epochs * steps
    short = recipe.max_steps is not None and recipe.max_steps < total
    late = _cut_short(recipe, total) if short else _late(recipe, total)
    return [*_target_lines(recipe), *(f"warning: {line}" for line in late)]


def _target_lines(recipe: Recipe) -> list[str]:
    if recipe.target_map is not None and not recipe.evaluates:
        return [f"warning: nothing is evaluated, so no mAP reaches {recipe.target_map:g} (target_map)"]
    if recipe.target_map is not None:
        return [f"ends early once the mAP reaches {recipe.target_map:g} (target_map)"]
    if recipe.published_target:
        return [
            "the target mAP of this recipe was published for another data set and does not end this "
            "training; --target-map X sets one"
        ]
    return []


def _cut_short(recipe: Recipe, steps: int) -> list[str]:
    """Returns a line about the cosine of a run that ``max_steps`` ends before its ``steps`` are done."""
    # Who ends a run early does not expect all of its decays and evaluations. A cosine, though, is lowered in
    # every step, and cannot be fitted to max_steps: a run that is resumed with more of them has to go on as
    # it was.
    if recipe.lr_schedule != "cosine":
        return []
    return [
        f"max_steps ends the run after {recipe.max_steps} of the {steps} steps over which the cosine lowers "
        "lr to 0; for a short run give --epochs instead"
    ]


def _late(recipe: Recipe, steps: int) -> list[str]:
    """Returns lines about what lies beyond the end of a run of so many steps."""
    epochs, found = recipe.epochs, []
    run = f"{epochs} epoch{'s' if epochs > 1 else ''}"
    decays = [epoch for epoch in recipe.decay_epochs if epoch >= epochs]
    if decays and recipe.lr_schedule == "step":
        found.append(f"lr does not decay after epoch {_listed(decays)}, because the run has {run}")
    warmup = recipe.warmup_steps
    if warmup is None and recipe.warmup_epochs >= epochs:
        found.append(f"the warm-up of {recipe.warmup_epochs:g} epochs does not end within the run of {run}")
    elif warmup is not None and warmup >= steps:
        found.append(f"the warm-up of {warmup} steps does not end within the run of {steps} steps ({run})")
    if recipe.eval_epochs is not None:
        evaluations = [epoch for epoch in recipe.eval_epochs if epoch > epochs]
        if evaluations:
            found.append(f"no evaluation after epoch {_listed(evaluations)}, because the run has {run}")
    elif recipe.eval_every > epochs:
        found.append(
            f"the only evaluation is at the end: eval_every is {recipe.eval_every}, and the run has {run}"
        )
    return found


def _listed(epochs: list[int]) -> str:
    return " or ".join(map(str, epochs))

"""The 80 object classes of COCO and their category ids."""

from __future__ import annotations

_NAMES = """
person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop sign
parking meter|bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella|handbag|tie
suitcase|frisbee|skis|snowboard|sports ball|kite|baseball bat|baseball glove|skateboard|surfboard
tennis racket|bottle|wine glass|cup|fork|knife|spoon|bowl|banana|apple|sandwich|orange|broccoli|carrot
hot dog|pizza|donut|cake|chair|couch|potted plant|bed|dining table|toilet|tv|laptop|mouse|remote|keyboard
cell phone|microwave|oven|toaster|sink|refrigerator|book|clock|vase|scissors|teddy bear|hair drier|toothbrush
"""

COCO_CLASSES: tuple[str, ...] = tuple(_NAMES.strip().replace("\n", "|").split("|"))

# COCO numbers its 80 classes from 1 to 90; these numbers belong to none.
_UNUSED = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
COCO_IDS: dict[str, int] = dict(zip(COCO_CLASSES, (k for k in range(1, 91) if k not in _UNUSED)))

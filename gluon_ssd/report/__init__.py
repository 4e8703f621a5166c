"""Pictures for people: boxes on images, training curves, precision-recall curves, confusion matrices."""

from .confusion import confusion_matrix
from .draw import contact_sheet, draw_boxes, palette_colour, side_by_side
from .plots import plot_confusion, plot_metrics, plot_pr_curves

__all__ = [
    "confusion_matrix",
    "contact_sheet",
    "draw_boxes",
    "palette_colour",
    "plot_confusion",
    "plot_metrics",
    "plot_pr_curves",
    "side_by_side",
]

"""What a prediction writes: annotated pictures and videos, COCO's JSON, CSV, labels to correct, crops."""

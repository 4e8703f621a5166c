"""Data sets in other formats: Pascal VOC, YOLO, OpenImages, and COCO files slimmed to their boxes."""

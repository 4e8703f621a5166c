"""Detects in a video frame by frame: writes it with boxes drawn, and prints what was seen in each second.

A number instead of a file is a camera, which Ctrl-C ends. `gluon-ssd predict` does more with videos, such as
following things from frame to frame:

    python examples/video.py runs/demo/run street.mp4 found.mp4
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import gluon_ssd
from gluon_ssd.data.video import Video, VideoWriter


def main() -> None:
    parser = argparse.ArgumentParser(description="Detect in a video, frame by frame.")
    parser.add_argument("weights", help="run folder, checkpoint or exported file")
    parser.add_argument("video", help="video file, or the number of a camera")
    parser.add_argument("output", type=Path, help="video to write (.mp4)")
    parser.add_argument("--score", type=float, default=0.4, help="smallest score (default: 0.4)")
    args = parser.parse_args()

    video = Video(int(args.video) if args.video.isdigit() else Path(args.video))
    detector = gluon_ssd.Detector(args.weights, score_threshold=args.score, batch_size=4)
    most: Counter[str] = Counter()
    second = max(1, round(video.rate))
    with VideoWriter(args.output, video.rate) as writer:
        # `stream` takes the frames as they come, so that a long video needs no more memory than a short one.
        frames = (frame.pixels for frame in video.frames())
        for number, found in enumerate(detector.stream(frames), start=1):
            writer.write(found.plot())
            # The most of each class that any frame of this second has.
            most |= Counter(found.names)
            if number % second == 0:
                print(f"second {number // second}: {dict(most)}")
                most.clear()
    print(f"{args.output}: {number} frames")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped; what was seen until then is in the video")
    except gluon_ssd.UserError as error:
        sys.exit(f"error: {error}")

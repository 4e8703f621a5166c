"""Confusion matrices by hand; plots from odd inputs, checked by what is drawn rather than by eye."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from gluon_ssd.data.check.anchors import AnchorGrid
from gluon_ssd.errors import UserError
from gluon_ssd.model_zoo import list_models
from gluon_ssd.report import confusion_matrix, plot_confusion, plot_metrics, plot_pr_curves
from gluon_ssd.report.check_plots import plot_sizes
from gluon_ssd.report.plots import read_metrics
from gluon_ssd.report.speeds import plot_speeds

pytestmark = pytest.mark.usefixtures("drawn_plots")

HEADER = "epoch,step,lr,loss,cls_loss,box_loss,images_per_second,seconds,map,ap50\n"
A, B, FAR = [0, 0, 10, 10], [20, 0, 30, 10], [50, 50, 60, 60]


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def image(*rows):
    """(box, score, class) rows as one image's detections."""
    return boxes(*[r[0] for r in rows]), np.array([r[1] for r in rows]), np.array([r[2] for r in rows], int)


@pytest.fixture
def drawn(monkeypatch):
    """The figures saved during a test."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k))[1]
    )
    return figures


def is_picture(path):
    with Image.open(path) as picture:
        picture.load()
        return picture.format == "PNG" and min(picture.size) >= 400


def test_confusion_by_hand():
    truth = [(boxes(A, B), [0, 1]), (boxes(A), [1]), (boxes(), [])]
    found = [
        image((A, 0.9, 0), (B, 0.8, 0), (FAR, 0.7, 1)),  # right; 1 taken for 0; background taken for 1
        image((A, 0.2, 1)),  # below the score: a miss
        image((A, 0.6, 0)),  # an image without objects
    ]
    assert confusion_matrix(truth, found, ["a", "b"]).tolist() == [[1, 0, 0], [1, 0, 1], [1, 1, 0]]
    assert confusion_matrix(truth, found, 2, score=0.1).tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 0]]


def test_confusion_is_greedy_by_score():
    truth = [(boxes(A), [0])]
    found = [image(([0, 0, 10, 9], 0.5, 0), ([0, 0, 10, 8], 0.9, 1))]
    # The better score takes the object though its IoU and class are worse; the other finds nothing left.
    assert confusion_matrix(truth, found, 2).tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_confusion_takes_the_next_free_object():
    near = [2, 0, 12, 10]
    truth = [(boxes(A, near), [0, 1])]
    found = [image((A, 0.9, 0), ([1, 0, 11, 10], 0.8, 1))]
    assert confusion_matrix(truth, found, 2).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_confusion_threshold_includes_equality():
    truth, found = [(boxes([0, 0, 10, 10]), [0])], [image(([0, 0, 10, 5], 0.9, 0))]
    assert confusion_matrix(truth, found, 1, iou=0.5).tolist() == [[1, 0], [0, 0]]
    assert confusion_matrix(truth, found, 1, iou=0.51).tolist() == [[0, 1], [1, 0]]


def test_confusion_ignores_detections_in_crowds():
    crowd = [40, 40, 100, 100]
    truth = [(boxes(A, crowd), [0, 0], [False, True])]
    found = [image((A, 0.9, 0), (FAR, 0.9, 0), ([38, 50, 41, 60], 0.9, 0))]
    assert confusion_matrix(truth, found, 1).tolist() == [[1, 0], [1, 0]]


def test_confusion_without_anything():
    assert confusion_matrix([], [], 2).tolist() == [[0] * 3] * 3
    assert confusion_matrix([(boxes(), [])], [image()], 2).sum() == 0


def test_confusion_counts_every_object_and_detection_once():
    rng = np.random.default_rng(0)
    truth, found = [], []
    for _ in range(30):
        corners = rng.uniform(0, 80, (rng.integers(0, 9), 2))
        gt = np.concatenate([corners, corners + rng.uniform(10, 40, corners.shape)], axis=1)
        noisy = np.concatenate([gt, gt]) + rng.normal(0, 4, (2 * len(gt), 4))
        truth.append((gt, rng.integers(0, 3, len(gt))))
        found.append((noisy, rng.uniform(0.3, 1, len(noisy)), rng.integers(0, 3, len(noisy))))
    matrix = confusion_matrix(truth, found, 3)
    assert matrix[:3].sum() == sum(len(t[0]) for t in truth)
    assert matrix[:, :3].sum() == sum(len(f[0]) for f in found)
    assert matrix[3, 3] == 0


def test_confusion_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="1 images and detections 0"):
        confusion_matrix([(boxes(), [])], [], 1)
    with pytest.raises(ValueError, match=r"0\.\.1"):
        confusion_matrix([(boxes(A), [2])], [image()], 2)
    with pytest.raises(ValueError, match=r"0\.\.1"):
        confusion_matrix([(boxes(A), [0])], [image((A, 0.9, -1))], 2)


@pytest.mark.parametrize("count, numbers", [(1, 1), (6, 6), (80, 0)])
def test_plot_confusion(tmp_path, drawn, count, numbers):
    matrix = np.diag([7] * count + [0])
    plot_confusion(matrix, [f"class {i}" for i in range(count)], tmp_path / "c.png", "scores of 0.25 or more")
    assert drawn[0].axes[0].get_title("left") == "Confusion matrix\nscores of 0.25 or more"
    assert is_picture(tmp_path / "c.png")
    assert [t.get_text() for t in drawn[0].axes[0].texts] == ["7"] * numbers
    labels = [t.get_text() for t in drawn[0].axes[0].get_yticklabels()]
    assert labels[0] == "class 0" and labels[-1] == "background" and len(labels) == count + 1


def test_plot_confusion_takes_names_literally(tmp_path):
    plot_confusion(np.zeros((3, 3), int), ["$\\frac", "a" * 300], tmp_path / "c.png")
    with pytest.raises(ValueError, match="2 classes is 3 x 3"):
        plot_confusion(np.zeros((2, 2), int), ["a", "b"], tmp_path / "c.png")


def curves(figure):
    """{title: {legend: points}} of a metrics figure."""
    return {
        axis.get_title(loc="left"): {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
        for axis in figure.axes
    }


def test_plot_metrics(tmp_path, drawn):
    rows = "1,10,0.1,4,3,1,50,2,,\n2,20,0.1,3,2.5,0.5,60,2,0.25,0.5\n3,30,0.01,2,1.5,0.5,55,2,,\n"
    (tmp_path / "m.csv").write_text(HEADER + rows)
    plot_metrics(tmp_path / "m.csv", tmp_path / "new" / "m.png")
    assert is_picture(tmp_path / "new" / "m.png")
    assert curves(drawn[0]) == {
        "Loss": {
            "total  2": [[1, 4], [2, 3], [3, 2]],
            "class  1.5": [[1, 3], [2, 2.5], [3, 1.5]],
            "box  0.5": [[1, 1], [2, 0.5], [3, 0.5]],
        },
        "Validation": {"mAP  0.25": [[2, 0.25]], "AP50  0.5": [[2, 0.5]]},
        "Learning rate": {"0.01": [[1, 0.1], [2, 0.1], [3, 0.01]]},
        "Images per second": {"55": [[1, 50], [2, 60], [3, 55]]},
    }
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["m.png"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        HEADER,
        "nonsense",
        HEADER + "1,10,0.1,4,3,1,50,2,,\n",
        HEADER + "1,10,0.1,nan,inf,-inf,50,2,,\n",
        HEADER + "1,10,0.1\n\n,,,,\nx,y\n",
        HEADER + "1,10,0,0,0,0,0,0,0,0\n",
        HEADER + "1,1,1,1e9,1,1,1,1,,\n2,2,1,1,1,1,1,1,,\n3,3,1,1,1,1,1,1,,\n",
        "epoch,loss\n1,2\n",
        "loss\n1\n2\n",
        "\x00\xff,\n",
    ],
)
def test_plot_metrics_survives(tmp_path, content):
    (tmp_path / "m.csv").write_text(content, encoding="latin-1")
    plot_metrics(tmp_path / "m.csv", tmp_path / "m.png")
    assert is_picture(tmp_path / "m.png")


def test_read_metrics_keeps_the_later_row_and_the_order(tmp_path):
    (tmp_path / "m.csv").write_text("epoch,loss\n1,9\n3,7\n2,8\n3,6\n4,\n")
    read = read_metrics(tmp_path / "m.csv")
    assert read["epoch"].tolist() == [1, 2, 3, 4]
    assert read["loss"][:3].tolist() == [9, 8, 6] and np.isnan(read["loss"][3])
    (tmp_path / "s.csv").write_text("epoch,step,loss\n0,10,9\n0,20,8\n1,30,7\n")
    assert read_metrics(tmp_path / "s.csv")["step"].tolist() == [10, 20, 30]


def test_missing_metrics_file(tmp_path):
    with pytest.raises(UserError, match="cannot read .*nothing.csv: No such file"):
        plot_metrics(tmp_path / "nothing.csv", tmp_path / "m.png")


def evaluated(detections):
    """A COCOeval over two images: a cat in the first, a dog in the second; the third class never occurs."""
    coco = COCO()
    coco.dataset = {
        "images": [{"id": 1, "width": 50, "height": 50}, {"id": 2, "width": 50, "height": 50}],
        "categories": [{"id": 9, "name": "dog"}, {"id": 4, "name": "cat"}, {"id": 2, "name": "$cow$"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 4, "bbox": [0, 0, 10, 10], "area": 100, "iscrowd": 0},
            {"id": 2, "image_id": 2, "category_id": 9, "bbox": [0, 0, 10, 10], "area": 100, "iscrowd": 0},
        ],
    }
    coco.createIndex()
    rows = [{"image_id": i, "category_id": c, "bbox": b, "score": 0.9} for i, c, b in detections]
    evaluation = COCOeval(coco, coco.loadRes(rows) if rows else COCO(), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def test_plot_pr_curves(tmp_path, drawn):
    # The dog's box has IoU 0.6: found at 0.5, not at 0.75.
    evaluation = evaluated([(1, 4, [0, 0, 10, 10]), (2, 9, [0, 0, 10, 6])])
    plot_pr_curves(evaluation, ["dog", "cat", "$cow$"], tmp_path / "pr.png")
    assert is_picture(tmp_path / "pr.png")
    axis = drawn[0].axes[0]
    assert axis.get_title(loc="left") == "Precision and recall, 2 classes"
    assert [t.get_text() for t in axis.get_legend().get_texts()] == [
        "mean at IoU 0.50  1.000",
        "mean at IoU 0.75  0.500",
        "cat  1.000",
        "dog  1.000",
    ]


def test_plot_pr_curves_of_some_classes_by_name(tmp_path, drawn):
    evaluation = evaluated([(1, 4, [0, 0, 10, 10])])
    plot_pr_curves(evaluation, ["dog"], tmp_path / "pr.png")
    assert [t.get_text() for t in drawn[0].axes[0].get_legend().get_texts()][2:] == ["dog  0.000"]
    plot_pr_curves(evaluation, ["horse"], tmp_path / "none.png")
    assert is_picture(tmp_path / "none.png")


def test_plots_leave_matplotlib_as_they_found_it(tmp_path):
    def settings():
        return {
            k: v for k, v in matplotlib.rcParams.items() if k != "backend"
        }  # reading that one chooses one

    before = settings()
    plot_confusion(np.eye(3, dtype=int), ["a", "b"], tmp_path / "c.png")
    assert settings() == before


def test_importing_the_report_loads_neither_matplotlib_nor_mxnet():
    code = (
        "import sys, gluon_ssd.report; print([m for m in ('matplotlib', 'mxnet', 'cv2') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_plot_that_cannot_be_finished_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "c.png"
    plot_confusion(np.eye(3, dtype=int), ["a", "b"], target)
    before = target.read_bytes()

    def disk_full(self, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", disk_full)
    with pytest.raises(UserError, match=r"c.png: cannot be written: No space left"):
        plot_confusion(np.eye(3, dtype=int), ["a", "b"], target)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"c.png": before}


def test_the_title_of_the_sizes_fits_the_picture(drawn, tmp_path):
    name = max(list_models("detector"), key=len)
    grid = AnchorGrid(np.array([[0.1, 0.1]]), np.array([0.5]), np.array([0.5]))
    plot_sizes(np.full((3, 2), 20.0), np.ones(3), [grid], name, (300, 300), tmp_path / "sizes.png")
    (figure,) = drawn
    title = figure.axes[0]._left_title
    assert name in title.get_text()
    assert title.get_window_extent().x1 <= figure.bbox.x1


def test_speeds_of_a_file_whose_name_is_no_text(tmp_path):
    plot_speeds(tmp_path / "speeds.png", ["a\udcff.onnx"], [3.0])
    assert Image.open(tmp_path / "speeds.png").width > 400

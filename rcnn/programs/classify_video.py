r"""Classify a video frame by frame, while it runs (Sec. 2.2, 2.4).

    python tools/classify_video.py video.avi --net prototxt/deploy_rcnn_r.prototxt \
        --weights snapshots/rcnn_r_iter_30000.caffemodel --classes data/ucf101/ucfTrainTestlist/classInd.txt \
        --annotated annotated.mp4 --plot scores.png
    python tools/classify_video.py video.avi --weights rcnn.onnx --classes classInd.txt      # needs no Caffe

SOURCE is a video file, a folder of frames (images in natural order, frame9 before frame10, each one frame at --fps),
the number of a camera, 0 for the first, or its device (/dev/video0), a pipe (/dev/stdin), or an address that FFmpeg
reads (http://, rtsp://).  No more is kept of the past than one frame or one state, so a video of any
length takes the same memory; --fps should be that of the net's training.

deploy_rcnn_r scores each frame with the one before it, as RCNN-r was trained.  deploy_rcnn_s keeps its state from frame
to frame, as RCNN-s was trained, which takes less time; --mode pair makes it score as deploy_rcnn_r does.

Standard output has a line for each frame: its time in seconds and its five best classes with their scores; the last
line has those of the whole video, the log-mean of its frames' scores.  --annotated shows the frames beside the scores,
--plot draws the scores over time.

Caffe runs a --net, a prototxt, with a caffemodel.  Without --net the weights tell the net: an .onnx or .pt of
tools/export.py (or a caffemodel, if its shapes tell enough), run by ONNX Runtime or PyTorch with the same numbers.
Only an .onnx tells its mode; give --mode pair with the other files of an RCNN-r.

A camera, or a stream without an end, runs until Ctrl-C, or for --seconds, and then all outputs are completed (a second
Ctrl-C ends at once).  With a file or a folder Ctrl-C is an interruption: status 130, and no output is written.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from rcnn.command import input_path, output_file, output_picture, parser, positive, positive_real, tell
from rcnn.data.lists import add_class_options, read_chosen
from rcnn.data.video import open_source
from rcnn.experiments import plots
from rcnn.googlenet import SIGNALS
from rcnn.nets.backends import add_options, check_choices
from rcnn.scoring import display, live
from rcnn.stream import Classifier


def main() -> None:
    args = arguments()
    if args.annotated:
        display.check_video(args.annotated)
    (_, classes), warnings = read_chosen(args), list[str]()
    source = open_source(args.source, args.fps, warnings)
    classifier = Classifier(
        args.net,
        args.weights,
        mean=args.mean,
        scale=args.scale,
        frame_size=args.size,
        gpu=args.gpu,
        backend=args.backend,
        mode=args.mode,
    )
    check_choices(classifier, args.net or args.weights, args.signal, args.classes, classes)
    summary = live.classify(
        source,
        args.source,
        classifier,
        classifier.signals.index(args.signal),
        classes,
        args.fps,
        args.seconds,
        args.annotated,
    )
    for warning in warnings + live.missed(summary, args.fps):
        tell(f"{args.source}: {warning}")
    print(f"{summary.frames} frames, {summary.time:.2f} s, log-mean: {live.listed(summary.scores, classes)}")
    if args.annotated:
        print(f"annotated video: {args.annotated}")
    if args.plot:
        draw(args.plot, summary, classes, Path(args.source).name)


def arguments() -> Namespace:
    options = parser(__doc__)
    options.add_argument(
        "source", type=input_path, metavar="SOURCE", help="video file, folder of frames, number of a camera, or address"
    )
    add_options(options, ("pair", "recurrent"))
    add_class_options(options)
    options.add_argument("--fps", type=positive_real, default=5.0, help="frames a second")
    options.add_argument("--signal", choices=SIGNALS, default="high", help="the signal whose scores are given")
    options.add_argument("--seconds", type=positive_real, help="end there; a file's end, or Ctrl-C, if not given")
    options.add_argument(
        "--annotated", type=output_file, help=f"video to write ({', '.join(display.CODECS)}), --fps frames a second"
    )
    options.add_argument(
        "--plot", type=output_picture, help="PNG to draw the scores of the five best classes over time to"
    )
    options.add_argument(
        "--size",
        type=positive,
        help="side in pixels that frames are resized to before the centre is "
        "cut out for the net, as of the training's frames; 8/7 of the net's input if not given",
    )
    return options.parse_args()


def draw(path: str, summary: live.Summary, classes: Sequence[str], title: str) -> None:
    """Draw the scores over time of the classes that are best in the end."""
    times, values = summary.history.points()
    names = [name for name, _ in display.best(summary.scores, classes)]
    places = {name: classes.index(name) for name in names}
    curves = {name: (values[:, 0, place], values[:, 1, place]) for name, place in places.items()}
    plots.scores_over_time(path, times, curves, title, summary.history.stride)
    print(f"scores over time: {path}")

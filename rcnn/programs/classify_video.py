"""Classify a video frame by frame, while it runs (Sec. 2.2, 2.4).

    python tools/classify_video.py video.avi --net prototxt/deploy_rcnn_r.prototxt \\
        --weights snapshots/rcnn_r_iter_30000.caffemodel --classes data/ucf101/ucfTrainTestlist/classInd.txt \\
        --annotated annotated.mp4 --plot scores.png
    python tools/classify_video.py video.avi --weights rcnn.onnx --classes classInd.txt      # needs no Caffe

SOURCE is a video file, a folder of frames (images in natural order, frame9 before frame10, each one frame at --fps), or
the number of a camera, 0 for the first.  No more is kept of the past than one frame or one state, so a video of any
length takes the same memory; --fps should be that of the net's training.

deploy_rcnn_r scores each frame with the one before it, as RCNN-r was trained.  deploy_rcnn_s keeps its state from frame
to frame, as RCNN-s was trained, which takes less time; --mode pair makes it score as deploy_rcnn_r does.

Standard output has a line for each frame: its time in seconds and its five best classes with their scores; the last
line has those of the whole video, the log-mean of its frames' scores.  --annotated shows the frames beside the scores,
--plot draws the scores over time.

Caffe runs a --net, a prototxt, with a caffemodel.  Without --net the weights tell the net: an .onnx or .pt of
tools/export.py (or a caffemodel, if its shapes tell enough), run by ONNX Runtime or PyTorch with the same numbers.
Only an .onnx tells its mode; give --mode pair with the other files of an RCNN-r.

A camera runs until Ctrl-C, or for --seconds, and then all outputs are completed (a second Ctrl-C ends at once).  With a
file or a folder Ctrl-C is an interruption: status 130, and no output is written.
"""
import math
import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rcnn.data import crops

from rcnn.scoring import display

from rcnn.experiments import plots
from rcnn.nets.backends import BACKENDS
from rcnn.command import finite, parser, positive, positive_real, progress, tell
from rcnn.files import InputError, check_writable
from rcnn.googlenet import SIGNALS
from rcnn.data.lists import read_classes
from rcnn.stream import Classifier
from rcnn.data.video import TOLERANCE, VideoError, open_source


def main():
    args = arguments()
    check_outputs(args)
    classes, warnings = read_classes(args.classes), []
    source = open_source(args.source, args.fps, warnings)
    os.environ.setdefault("GLOG_minloglevel", "2")  # else Caffe prints the whole net; it reads this when imported
    classifier = Classifier(args.net, args.weights, mean=args.mean, scale=args.scale, frame_size=args.size,
                            gpu=args.gpu, backend=args.backend, mode=args.mode)
    net = args.net or args.weights
    if args.signal not in classifier.signals:
        raise InputError(f"--signal: {net} has no output {args.signal}, only {', '.join(classifier.signals)}")
    if classifier.classes != len(classes):
        raise InputError(f"--classes: {args.classes} has {len(classes)} classes, {net} has {classifier.classes}")
    history = display.History()
    with ExitStack() as outputs:
        write = outputs.enter_context(annotated(args)) if args.annotated else None
        stopped = outputs.enter_context(until_interrupted()) if source.live else lambda: False
        count, time, so_far = classify(args, classes, classifier, source, stopped, write, history)
    for warning in warnings + missed(args, count, time):
        tell(f"{args.source}: {warning}")
    print(f"{count} frames, {time:.2f} s, log-mean: {listed(so_far, classes)}")
    print_outputs(args, classes, so_far, history)


def arguments():
    options = parser(__doc__)
    options.add_argument("source", metavar="SOURCE", help="video file, folder of frames, or number of a camera")
    options.add_argument("--net", help="the deploy net's prototxt, for Caffe")
    options.add_argument("--weights", required=True, help="caffemodel of RCNN-r or RCNN-s; .onnx, .pt or .safetensors")
    options.add_argument("--backend", choices=BACKENDS, default="auto", help="what runs the net; auto is caffe with "
                         "--net, else the fastest that is installed and takes the weights")
    options.add_argument("--mode", choices=("pair", "recurrent"), help="what a frame is scored with: the one "
                         "before it, or the state that all before it left; the net's own if not given, or else "
                         "recurrent")
    options.add_argument("--classes", required=True, help="class names, as UCF-101's classInd.txt")
    options.add_argument("--fps", type=positive_real, default=5.0, help="frames a second")
    options.add_argument("--signal", choices=SIGNALS, default="high", help="the signal whose scores are given")
    options.add_argument("--seconds", type=positive_real, help="end there; a file's end, or Ctrl-C, if not given")
    options.add_argument("--annotated", help=f"video to write ({', '.join(display.CODECS)}), --fps frames a second")
    options.add_argument("--plot", help="PNG to draw the scores of the five best classes over time to")
    options.add_argument("--size", type=positive, help="side in pixels that frames are resized to before the centre is "
                         "cut out for the net, as of the training's frames; 8/7 of the net's input if not given")
    options.add_argument("--scale", type=positive_real, default=1.0,
                         help="what the input is multiplied by after the mean is taken off, as in training")
    options.add_argument("--mean", type=finite, nargs=3, default=list(crops.MEAN), metavar=("B", "G", "R"),
                         help="the mean that is taken off, as in training")
    options.add_argument("--gpu", type=int, help="GPU to compute on, counted from 0; the CPU if not given")
    return options.parse_args()


def check_outputs(args):
    """Raise InputError unless the outputs can be written, and without harm to the source."""
    if args.annotated:
        display.check_video(args.annotated)
    if args.plot:
        check_writable(args.plot)
    source = Path(args.source).resolve()
    for option in ("annotated", "plot"):
        path = getattr(args, option)
        if path and source in (Path(path).resolve(), Path(path).resolve().parent):
            raise InputError(f"--{option}: {path} would change the source, {args.source}; write it elsewhere")
    if args.annotated and args.plot and Path(args.annotated).resolve() == Path(args.plot).resolve():
        raise InputError(f"--plot: {args.plot} is the file of --annotated too")


@contextmanager
def until_interrupted():
    """Yield a function that tells whether Ctrl-C was pressed; pressed again, it interrupts as ever."""
    pressed = []

    def note(*_):
        pressed.append(True)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def annotated(args):
    """Yield a function that adds a frame with its scores to the annotated video."""
    canvas = None

    def write(image, *scores):
        nonlocal canvas
        canvas = canvas or display.Canvas(*image.shape[:2])
        add(canvas.draw(image, *scores))
    with display.writing_video(args.annotated, args.fps) as add:
        yield write


def classify(args, classes, classifier, source, stopped, write, history):
    """Print the scores of each frame; return (frames, time of the last one, scores of all of them).

    stopped(): whether to end.  write: as `annotated` gives it, or None.  history: display.History, which gets 2 x
    classes a frame: the frame's own scores and those so far.
    """
    row, count = classifier.signals.index(args.signal), 0
    with progress(expected(args, source), "frame") as bar:
        try:
            for time, image in source.frames:
                if count and (stopped() or args.seconds and time >= args.seconds - TOLERANCE):
                    break
                try:
                    own, so_far = (scores[row] for scores in classifier.push(image))
                except InputError as error:
                    raise InputError(f"{args.source}, {time:.2f} s: {error}") from None
                count, last = count + 1, time
                say(f"{time:8.2f} s  {listed(own, classes)}")
                history.add(time, np.stack([own, so_far]))
                if write:
                    write(image, time, display.best(own, classes)[0], display.best(so_far, classes))
                bar.update()
        except VideoError as error:
            raise InputError(f"{args.source}: {error}") from None
    return count, last, so_far


def expected(args, source):
    """Return how many frames there will be, None where nothing says so."""
    numbers = [source.total] if source.total else []
    if args.seconds:
        numbers.append(math.ceil(args.seconds * args.fps - TOLERANCE))
    return min(numbers, default=None)


def listed(scores, classes):
    """Return the text of the five best classes."""
    return "  ".join(f"{name} {score:.3f}" for name, score in display.best(scores, classes))


def say(line):
    """Print a line at once, above a progress bar if a person sees one."""
    if sys.stderr.isatty():
        tqdm.write(line)
        sys.stdout.flush()
    else:
        print(line, flush=True)


def missed(args, count, time):
    """Return a list with a warning if there were fewer frames than --fps has instants up to `time`."""
    instants = int(time * args.fps + TOLERANCE) + 1
    if count >= instants:
        return []
    return [f"{instants - count} of {instants} instants had no frame of their own: the source, or this machine, gives "
            f"fewer than {args.fps:g} frames a second; the net takes them for evenly spaced"]


def print_outputs(args, classes, so_far, history):
    """Draw the plot, and name the outputs."""
    if args.annotated:
        print(f"annotated video: {args.annotated}")
    if args.plot:
        times, values = history.points()
        best = [name for name, _ in display.best(so_far, classes)]
        curves = {name: values[:, :, classes.index(name)].T for name in best}
        plots.scores_over_time(args.plot, times, curves, Path(args.source).name, history.stride)
        print(f"scores over time: {args.plot}")

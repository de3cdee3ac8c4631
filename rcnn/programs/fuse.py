"""Turn score files into accuracies: average crops and signals, fuse frames, fuse two streams (Sec. 2.4, 3.2, 3.4).

    python tools/fuse.py scores_rcnn_r.h5
    python tools/fuse.py scores_rcnn_r.h5 --crops 1 --signal all --fusion log-mean --confusion confusion.png
    python tools/fuse.py scores_image.h5 scores_flow.h5 --weight 0.6 --json two_streams.json

Score files are made by tools/evaluate.py; no net is needed here.  A frame's scores are averaged over its crops (the
first 1 or 5 of a 10-crop file are the smaller protocols) and, for --signal all, over the low, medium and high signal;
then a video's frames are fused by log-mean, mean or max; then two files by W * log(first) + (1 - W) * log(second).
Probabilities below 1e-12 are taken for 1e-12 in logarithms.  Of classes with equal scores the first in the list wins.

With --frames-averaged, pairs of neighbouring frames count in place of frames, so a video's first one does not: by the
score of the second (1), as of an RCNN, or by the log-mean of both (2), so that a CNN sees as many pictures.

Two files must have the same classes, and the same videos with the same labels, in any order.  Accuracy is the share of
videos classified rightly, mean class that share averaged over the classes, top 5 the share whose class is among the
five of highest score.
"""

import json
import textwrap
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from rcnn.command import input_path, output_file, output_picture, parser, share
from rcnn.data import crops
from rcnn.experiments import plots
from rcnn.files import sha256, write_text
from rcnn.googlenet import SIGNALS
from rcnn.scoring import scores
from rcnn.scoring.outcomes import outcomes
from rcnn.scoring.score_files import ALL, Scores, fuse_files


def main() -> None:
    args = arguments()
    with ExitStack() as stack:
        files = [stack.enter_context(Scores(path)) for path in args.scores]
        fusions = [args.fusion] if args.fusion else scores.FUSIONS
        fused = fuse_files(files, args.signal, fusions, args.crops, args.weight, args.frames_averaged)
        if args.frames_averaged:
            pairs = outcomes(files, args.signal, args.crops, args.frames_averaged, args.weight)
        labels, classes = files[0].labels, files[0].classes
        title = describe(files, args)
        results = {how: scores.metrics(fused[how], labels, classes) for how in fusions}
    print_table(title, results)
    if args.frames_averaged:
        print(f"by the pair, log-mean: {100 * pairs.pair_accuracy:.1f} %, {pairs.pairs.sum()} pairs")
    if args.json:
        report = {
            "scores": [{"file": path, "sha256": sha256(path)} for path in args.scores],
            "crops": [args.crops or file.crops for file in files],
            "signal": args.signal,
            "weight": args.weight,
            "videos": len(labels),
            "frames_averaged": args.frames_averaged,
            "pair_accuracy": pairs.pair_accuracy if args.frames_averaged else None,
            "fusions": results,
        }
        write_text(args.json, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    if args.confusion:
        matrix = scores.confusion(scores.predictions(fused[fusions[0]]), labels, len(classes))
        plots.confusion_matrix(args.confusion, matrix, classes, textwrap.fill(f"{title}, {fusions[0]}", 60))


def arguments() -> Namespace:
    options = parser(__doc__)
    options.add_argument("scores", type=input_path, nargs="+", metavar="SCORES", help="one score file, or two")
    options.add_argument(
        "--crops", type=int, choices=crops.PROTOCOLS, help="crops a frame, the first of the file's; without it, all"
    )
    options.add_argument("--fusion", choices=scores.FUSIONS, help="how frames are fused; without it, each of the three")
    options.add_argument("--signal", choices=(*SIGNALS, ALL), default="high", help="one signal, or all three averaged")
    options.add_argument(
        "--frames-averaged", type=int, choices=(1, 2), help="count pairs, by one frame or both; without it, frames"
    )
    options.add_argument(
        "--weight", type=share, metavar="W", help="weight of the first of two files, 0 to 1; without it 0.5"
    )
    options.add_argument(
        "--confusion",
        type=output_picture,
        metavar="PNG",
        help="picture to draw the confusion matrix to, of --fusion or else of log-mean",
    )
    options.add_argument(
        "--json",
        type=output_file,
        metavar="OUT",
        help="file to write all of it to, with every class's accuracy, the "
        "most confused pairs and the score files' SHA-256",
    )
    args = options.parse_args()
    if len(args.scores) > 2:
        options.error(f"{len(args.scores)} score files; one or two can be given")
    if args.weight is not None and len(args.scores) == 1:
        options.error("--weight is for two score files")
    if args.weight is None and len(args.scores) == 2:
        args.weight = 0.5
    return args


def describe(files: Sequence[Scores], args: Namespace) -> str:
    """Return what is fused as a line of text."""
    parts = [f"{file.path} ({args.crops or file.crops} crops)" for file in files]
    if len(files) == 2:
        parts = [f"{part:g} x log {name}" for part, name in zip((args.weight, 1 - args.weight), parts)]
    signal = "mean of low, medium and high" if args.signal == ALL else args.signal
    what = {None: "", 1: "pairs by frame t, ", 2: "pairs by both frames, "}[args.frames_averaged]
    return f"{' + '.join(parts)}, {signal} signal, {what}{len(files[0])} videos"


def print_table(title: str, results: dict[str, dict[str, Any]]) -> None:
    print(title)
    print(f"{'fusion':<10}{'accuracy':>10}{'mean class':>12}{'top 5':>10}")
    for how, result in results.items():
        print(
            f"{how:<10}{100 * result['accuracy']:>8.1f} %{100 * result['mean_class_accuracy']:>10.1f} %"
            f"{100 * result['top5_accuracy']:>8.1f} %"
        )

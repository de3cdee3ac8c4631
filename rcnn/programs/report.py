r"""Write one HTML page of a run: tables, training curves, confusion matrix, classes, videos with their scores.

    python tools/report.py --scores scores_rcnn_r.h5 --logs snapshots/rcnn_r.jsonl \
        --frames data/ucf101/frames_5fps.lmdb --title "RCNN-r on split 1" --out report.html
    python tools/report.py --scores RCNN-r=scores_rcnn_r.h5 --scores2 CNN=scores_cnn.h5 --out report.html   # compared
    python tools/report.py --tables out/tables.json --logs snapshots/*.jsonl --out report.html   # before any test

The page is one file that needs no network, and can be sent as it is.  Score files are made by tools/evaluate.py, logs
by tools/train.py, tables.json by tools/reproduce.py.  A net or a curve is called as its file is, or NAME where
NAME=FILE is given.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from rcnn.command import any_path, input_path, output_file, parser
from rcnn.data import crops
from rcnn.experiments import report, tables
from rcnn.files import InputError, check_apart, write_text
from rcnn.googlenet import SIGNALS
from rcnn.scoring import scores
from rcnn.scoring.score_files import ALL


def main() -> None:
    args = arguments()
    nets, logs = named(filter(None, (args.scores, args.scores2))), named(args.logs)
    check_apart({"--out": args.out}, [("--scores", file) for file in nets.values()])
    check_apart({"--out": args.out}, [("--logs", file) for file in logs.values()])
    contents = [tables.read(path) for path in args.tables]
    text = report.page(
        args.title,
        [table for some, _ in contents for table in some],
        logs,
        nets,
        args.frames,
        args.signal,
        args.fusion,
        args.crops,
        args.examples,
        [problem for _, problems in contents for problem in problems],
    )
    write_text(args.out, text)
    print(f"report: {args.out}, {len(text.encode()) / 1e6:.1f} MB")


def arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--scores", type=any_path, help="score file of the net that the page is about")
    options.add_argument("--scores2", type=any_path, help="score file of another net on the same videos, to compare")
    options.add_argument("--logs", type=any_path, nargs="+", default=[], help="training logs (JSON lines)")
    options.add_argument("--frames", type=input_path, help="frames LMDB that the scores are of, to show videos")
    options.add_argument("--tables", type=input_path, nargs="+", default=[], help="tables.json of a reproduction")
    options.add_argument("--title", default="GoogLeNet-RCNN", help="the page's title")
    options.add_argument("--signal", choices=(*SIGNALS, ALL), default="high", help="one signal, or all three averaged")
    options.add_argument("--fusion", choices=scores.FUSIONS, default=scores.FUSIONS[0], help="how frames are fused")
    options.add_argument(
        "--crops",
        type=int,
        choices=crops.PROTOCOLS,
        help="crops a frame, the first of the file's; without it, all of them",
    )
    options.add_argument(
        "--examples", type=int, default=3, help="videos to show of those classified rightly, and as many of the others"
    )
    options.add_argument("--out", type=output_file, required=True, help="HTML file to write")
    args = options.parse_args()
    if args.scores2 and not args.scores:
        options.error("--scores2 is compared with --scores")
    if args.examples < 0:
        options.error("--examples cannot be less than 0")
    return args


def named(words: Iterable[str]) -> dict[str, str]:
    """Return {name: path} of words such as "scores.h5" or "RCNN-r=scores.h5"; InputError where a name comes twice."""
    paths: dict[str, str] = {}
    for word in words:
        name, _, path = word.rpartition("=")
        if not name or Path(word).exists():
            name, path = Path(word).stem, word
        if name in paths:
            raise InputError(f"{paths[name]} and {path} are both called {name}; give one another name, as NAME=FILE")
        paths[name] = path
    return paths

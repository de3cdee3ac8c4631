"""Make the paper's Tables 2 and 3 from one description: run whatever is missing, skip what is done and unchanged.

    python tools/reproduce.py data/motion.json --out data/motion --jobs 2     # synthetic; under an hour on two cores
    python tools/reproduce.py data/ucf101.json --out data/ucf101/tables --gpu 0
    python tools/reproduce.py data/ucf101.json --out data/ucf101/torch --gpu 0 --engine torch
    python tools/reproduce.py data/ucf101.json --out data/ucf101/tables --dry-run
    python tools/reproduce.py data/weizmann.json --videos weizmann --weights bvlc.caffemodel --out w --validate
    python tools/reproduce.py data/ucf101_16.json --out data/ucf101/16 --page docs/ucf101_16.md

What a description holds says rcnn/experiments/description.py.  The steps are the programs of tools/: videos, frames,
pairs, nets, trainings, tests, for images and if it says so for optical flow; rcnn/experiments/plan.py says what comes
from what, rcnn/experiments/trainings.py what the nets start from and how long each learns.  --engine says what trains:
Caffe, or PyTorch, whose weights ONNX Runtime or PyTorch tests.  --dry-run shows each step with its state, expected time
and disk, and changes nothing; rcnn/experiments/estimates.py says how these are reckoned.

Interrupted or killed, the same command goes on where it stopped.  Done, it does nothing.  A step whose command or files
have changed since is stale: --force makes it again, and removes what it made before.  A step that fails stops only
what needs it: the tables then have a dash where a figure is missing, and the exit status is 1.

OUT holds table2.md and table3.md, the same as data in tables.json, report.html with both and all about the first split
(tools/report.py), results.json (every figure, command, time and the code's commit), logs/ with what each step printed,
and steps/ with what each was made from.  --page writes a page (Markdown, pictures beside it) of all that; with --no-run
nothing is run first, and tables and page are of what is done so far.
"""

import argparse
import sys
from pathlib import Path

from rcnn import command
from rcnn.data.lists import MISSING
from rcnn.experiments import description as descriptions
from rcnn.experiments import plan, preview, results, study_page, trainings
from rcnn.experiments.runner import Runner, add_options, alone_in, nearest
from rcnn.experiments.steps import Records, refuse_stale

CHANGEABLE = ("videos", "lists", "pretrained", "missing", "splits", "validate", "engine")  # what options say instead
NEEDS_FORCE = "--dry-run shows what; --force makes it again, another --out leaves it alone"


def main() -> int:
    args = arguments()
    changes = {field: getattr(args, field) for field in CHANGEABLE if getattr(args, field)}
    description = descriptions.adapt(descriptions.read(args.description), changes)
    out = nearest(args.out)
    counts = descriptions.check(description, out)
    steps = plan.steps(description, counts, out, args.gpu, args.workers)
    if args.dry_run:
        page = plan.report(description, out, plan.score_files(description, out))
        preview.show([*steps, page], out, args.jobs)
        tell_missing(counts)
        return 0
    if not args.no_run:
        trainings.need(description)
    states = Records(out).states(steps)
    if not args.force:
        refuse_stale(states, out, NEEDS_FORCE)
    _, needed, free = preview.to_do(steps, states, out)
    if needed > free and not args.no_run:
        command.tell(f"this may need about {preview.size(needed)} of disk, and {preview.size(free)} are free in {out}")
    with alone_in(out):
        runner = Runner(out, args.jobs, args.force)
        if not args.no_run:
            runner.run(steps)
        summary = results.make(description, out, steps, runner)
        pages = []
        if args.page:
            typed = ["python", "tools/reproduce.py", *sys.argv[1:]]
            pages = study_page.write(Path(args.page), description, out, summary, steps, runner, typed)
    status = results.report(out, summary, steps, runner)
    if pages:
        print(", ".join(map(str, pages)))
    tell_missing(counts)
    return status


def tell_missing(counts: descriptions.Counts) -> None:
    """Say how many listed videos have no file, where the description lets that be."""
    if counts.missing:
        listed = counts.videos + counts.missing
        command.tell(f"reproduce.py: {counts.missing} of {listed} listed videos have no file and are left out")


def arguments() -> argparse.Namespace:
    options = command.parser(__doc__)
    add_options(options, "reproduce")
    options.add_argument(
        "--workers", type=command.positive, help="processes that decode and encode (default: one a core)"
    )
    options.add_argument(
        "--videos",
        type=command.input_path,
        help="folder of the class folders (default: the description's, as of the next four)",
    )
    options.add_argument("--lists", type=command.input_path, help="folder of the lists and their classInd.txt")
    options.add_argument("--weights", type=command.input_path, dest="pretrained", help="caffemodel to start from")
    options.add_argument("--missing", choices=MISSING, help="what a listed video without a file is")
    options.add_argument("--splits", type=command.positive, nargs="+", help="which")
    options.add_argument(
        "--validate",
        action="store_true",
        help="to choose settings: test on the groups that the description holds out of the training videos",
    )
    options.add_argument(
        "--engine", choices=descriptions.ENGINES, help="what trains (default: what the description says, or else caffe)"
    )
    options.add_argument("--page", type=command.output_file, help="Markdown file to write, with pictures beside it")
    options.add_argument("--no-run", action="store_true", help="run nothing: tables and page of what is done so far")
    args = options.parse_args()
    if args.page and args.dry_run:
        options.error("argument --page: --dry-run writes nothing; --no-run writes the page of what is done so far")
    return args

"""Train and test a GoogLeNet-RCNN from nothing, on synthetic videos: about a quarter of an hour on two cores.

    python tools/demo.py                          # what `make demo` runs; all it makes goes under demo/
    python tools/demo.py --seed 2 --out demo2     # another set of videos, other weights
    python tools/demo.py --engine torch --out demo_torch    # the same, trained in PyTorch
    python tools/demo.py --quick                  # about half a minute: that every step works; its numbers mean nothing

It makes the videos and their LMDBs, trains a single-frame CNN (which stands in for the ImageNet GoogLeNet), and starts
all nets from it: RCNN-r, by random sampling in two stages, RCNN-s, by sequential sampling, and the CNN, which goes on
for as many updates.  It tests all three on held-out groups, and prints one table.  data/demo.json describes it, as
data/ucf101.json does the paper's experiment for tools/reproduce.py.  Every step is a program of tools/; OUT/logs/ has
its command, so that each can be run alone, and what it printed.  Interrupted or killed, the same command goes on where
it stopped; finished, it shows the results again.
"""

from dataclasses import replace
from pathlib import Path

from rcnn.command import output_folder, parser, seed
from rcnn.experiments import demo, plan, trainings
from rcnn.experiments import description as descriptions
from rcnn.experiments.runner import Runner, alone_in, nearest
from rcnn.experiments.steps import refuse_stale

DESCRIPTIONS = Path(__file__).resolve().parents[2] / "data"


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--out", type=output_folder, default="demo", help="folder for what is made (--quick: its quick/)"
    )
    options.add_argument("--seed", type=seed, default=1, help="of the videos, the weights and the crops")
    options.add_argument("--engine", choices=descriptions.ENGINES, default="caffe", help="what trains")
    options.add_argument("--quick", action="store_true", help="tiny set, tiny net, few updates: see that it works")
    args = options.parse_args()
    out = nearest(Path(args.out, "quick") if args.quick else args.out)
    file = DESCRIPTIONS / ("demo_quick.json" if args.quick else "demo.json")
    description = replace(descriptions.read(file), seed=args.seed, engine=args.engine)
    trainings.need(description)
    demo.refuse_older(out)
    steps = plan.steps(description, descriptions.check(description, out), out)
    runner = Runner(out, demo.JOBS)
    refuse_stale(runner.records.states(steps), out, "remove it or give another --out")
    with alone_in(out):
        runner.run(steps)
        runner.demand(steps)
        demo.show(description, out, [replace(step, seconds=runner.records.seconds(step) or 0.0) for step in steps])
    if args.quick:
        print("\nThis was a quick run: each step works, and the numbers above mean nothing.")

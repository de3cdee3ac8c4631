"""Test each of the paper's claims on synthetic videos whose classes differ in appearance, in movement, or in both.

    python tools/claims.py data/claims_small.json --out claims/small --jobs 2 --page docs/claims.md
    python tools/claims.py data/claims_large.json --out claims/large --gpu 0 --page claims.md
    python tools/claims.py data/claims_small.json --out claims/small --dry-run

For each seed it makes the videos and trains and tests all that the claims compare (rcnn/experiments/claims.py), by the
programs of tools/; then it writes OUT/claims.json with every figure, and PAGE with a verdict on each claim and pictures
beside it.  The first is what `make claims` runs: one to three hours on two cores.

Interrupted or killed, the same command goes on where it stopped; done, it only writes the page again.  A step that was
made with other settings is named, and --force makes it again.  A step that fails stops what needs it, and there is no
page: the exit status is 1.
"""

import argparse
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from rcnn import command
from rcnn.experiments import claims, claims_page, plan, preview
from rcnn.experiments import description as descriptions
from rcnn.experiments.films import films
from rcnn.experiments.runner import Runner, add_options, alone_in, nearest
from rcnn.experiments.steps import Records, refuse_stale
from rcnn.files import write_text


def main() -> int:
    args = arguments()
    base = descriptions.read(args.description)
    claims.check(base)
    out = nearest(args.out)
    page = Path(args.page or out / "claims.md")
    runs = {seed: (replace(base, seed=seed), out / f"seed{seed}") for seed in sorted(args.seeds)}
    steps = [
        replace(step, name=f"seed{seed}.{step.name}")
        for seed, (description, folder) in runs.items()
        for step in plan.steps(description, descriptions.check(description, folder), folder, args.gpu, 1)
    ]
    states = Records(out).states(steps)
    if args.dry_run:
        print(preview.summary(steps, states, out, args.jobs))
        return 0
    if not args.force:
        refuse_stale(states, out, "--force makes them again, another --out leaves them alone")
    with alone_in(out):
        runner = Runner(out, args.jobs, args.force)
        runner.run(steps)
        if runner.failed:
            for name, why in runner.failed.items():
                command.tell(f"claims.py: {name} failed: {why}")
            return 1
        results = claims.results(
            base, runs, steps, runner.records, shlex.join(["python", "tools/claims.py", *sys.argv[1:]])
        )
        write_text(out / "claims.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
        first = runs[min(runs)]
        pages = claims_page.write(page, results, claims_page.loss_curves(*first), films(*first))
    print(claims.verdicts(results))
    print(", ".join(map(str, pages)))
    return 0


def arguments() -> argparse.Namespace:
    options = command.parser(__doc__)
    add_options(options, "train and test")
    options.add_argument("--page", type=command.output_file, help="Markdown file to write (default: OUT/claims.md)")
    options.add_argument("--seeds", type=command.positive, nargs="+", default=[1, 2, 3], help="one run each")
    args = options.parse_args()
    if twice := [seed for seed in args.seeds if args.seeds.count(seed) > 1]:
        options.error(f"argument --seeds: {twice[0]} is there twice, and each is one run")
    return args

"""Test each of the paper's claims on made videos whose classes are told by appearance, by movement, or by both.

    python tools/claims.py data/claims_small.json --out claims/small --jobs 2     # what `make claims` runs

For each seed it makes the videos and trains and tests what the description says (rcnn/description.py), all by the
programs of tools/, then writes OUT/claims.json with every figure and OUT/claims.md with a verdict on each claim.
"""
from dataclasses import replace
from pathlib import Path

from rcnn import command, plan
from rcnn import description as descriptions
from rcnn.running import Runner

TOOLS = Path(__file__).resolve().parent


def main():
    options = command.parser(__doc__)
    options.add_argument("description", help="JSON file that says what to train and test")
    options.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    options.add_argument("--seeds", type=command.positive, nargs="+", default=[1, 2, 3], help="one run each")
    options.add_argument("--jobs", type=command.positive, default=1, help="steps that run side by side")
    options.add_argument("--gpu", type=int, help="number of the GPU to train and test on (default: the CPU)")
    args = options.parse_args()
    base = descriptions.read(args.description)
    steps = []
    for seed in args.seeds:
        description, out = replace(base, seed=seed), args.out / f"seed{seed}"
        counts = descriptions.check(description, out)
        steps += [replace(step, name=f"seed{seed}.{step.name}")
                  for step in plan.steps(description, counts, out, args.gpu, 1)]
    args.out.mkdir(parents=True, exist_ok=True)
    runner = Runner(args.out, TOOLS, args.jobs)
    runner.run(steps)


if __name__ == "__main__":
    command.run(main)

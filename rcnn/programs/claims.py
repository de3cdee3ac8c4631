"""Test each of the paper's claims on made videos whose classes are told by appearance, by movement, or by both.

    python tools/claims.py data/claims_small.json --out claims/small --jobs 2 --page docs/claims.md
    python tools/claims.py data/claims_large.json --out claims/large --gpu 0 --page claims.md
    python tools/claims.py data/claims_small.json --out claims/small --dry-run

For each seed it makes the videos and trains and tests all that the claims compare (rcnn/experiments/claims.py), by the programs of
tools/; then it writes OUT/claims.json with every figure, and PAGE with a verdict on each claim and pictures beside it.
The first is what `make claims` runs: under two hours on two cores.

Interrupted or killed, the same command goes on where it stopped; done, it only writes the page again.  A step that was
made with other settings is named, and --force makes it again.  A step that fails stops what needs it, and there is no
page: the exit status is 1.
"""
import json
import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path

from rcnn.experiments import claims

from rcnn.experiments import claims_page

from rcnn import command

from rcnn.experiments import plan
from rcnn.experiments import description as descriptions
from rcnn.files import check_writable, write_text
from rcnn.data.lists import read_classes, read_list
from rcnn.data.records import open_records
from rcnn.experiments.runner import Runner, alone_in, clock, commit, nearest
from rcnn.experiments.steps import Records, refuse_stale

TOOLS = Path(__file__).resolve().parents[2] / "tools"
FRAMES_SHOWN = 6


def main():
    args = arguments()
    base = descriptions.read(args.description)
    claims.check(base)
    out = nearest(args.out)
    page = args.page or out / "claims.md"
    runs = {seed: (replace(base, seed=seed), out / f"seed{seed}") for seed in sorted(set(args.seeds))}
    steps = [step for seed, run in runs.items() for step in planned(seed, *run, args.gpu)]
    states = Records(out).states(steps)
    if args.dry_run:
        left = [step for step in steps if states[step.name] != "done"]
        seconds, needed = sum(step.seconds for step in left), sum(step.bytes for step in left)
        print(f"{len(left)} of {len(steps)} steps to do: about {clock(seconds / args.jobs)} with --jobs {args.jobs}, "
              f"{needed / 1e9:.1f} GB of disk")
        return 0
    if not args.force:
        refuse_stale(states, out, "--force makes them again, another --out leaves them alone")
    check_writable(page)
    with alone_in(out):
        runner = Runner(out, args.jobs, args.force)
        runner.run(steps)
        if runner.failed:
            for name, why in runner.failed.items():
                command.tell(f"claims.py: {name} failed: {why}")
            return 1
        results = measured(out, base, runs, steps)
        write_text(out / "claims.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
        pages = claims_page.write(page, results, *shown(*runs[min(runs)]))
    report(results, pages)
    return 0


def arguments():
    options = command.parser(__doc__)
    options.add_argument("description", help="JSON file that says what to train and test")
    options.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    options.add_argument("--page", type=Path, help="Markdown file to write (default: OUT/claims.md)")
    options.add_argument("--seeds", type=command.positive, nargs="+", default=[1, 2, 3], help="one run each")
    options.add_argument("--jobs", type=command.positive, default=1, help="steps that run side by side")
    options.add_argument("--dry-run", action="store_true", help="say what there is to do, and change nothing")
    options.add_argument("--force", action="store_true",
                         help="make stale steps again; what they made before is removed")
    options.add_argument("--gpu", type=int, help="number of the GPU to train and test on (default: the CPU)")
    return options.parse_args()


def planned(seed, description, out, gpu):
    """Return the steps of one seed."""
    counts = descriptions.check(description, out)
    return [replace(step, name=f"seed{seed}.{step.name}") for step in plan.steps(description, counts, out, gpu, 1)]


def measured(out, base, runs, steps):
    """Return what claims.json holds."""
    figures = [claims.measure(*run) for run in runs.values()]
    records = Records(out)
    judged = [{**asdict(claim), "comparisons": [claims.judge(comparison, figures) for comparison in claim.comparisons]}
              for claim in claims.claims()]
    compared = [row[key] for claim in judged for row in claim["comparisons"] for key in ("better", "worse") if row[key]]
    first = f"seed{min(runs)}."
    return {"description": asdict(base), "seeds": list(runs), "commit": commit(),
            "videos": descriptions.check(base, out).videos,
            "classes": read_classes(plan.lists(*runs[min(runs)]).classes), "split": base.splits[0],
            "command": shlex.join(["python", "tools/claims.py", *sys.argv[1:]]),
            "time": clock(sum(records.read(step)["seconds"] for step in steps)),
            "claims": judged, "figures": figures, "shown": list(dict.fromkeys(compared)),
            "steps": [shlex.join(step.command) for step in steps if step.name.startswith(first)]}


def shown(description, out):
    """Return (the loss curves of stage 2, frames of the longest held-out video of each class) of a seed."""
    curves = {title: claims.loss_log(description, out, net) for title, net in (
        ("RCNN-r (random sampling)", "rcnn_r"), ("RCNN-s (sequential sampling)", "rcnn_s"))}
    lists = plan.lists(description, out)
    classes = read_classes(lists.classes)
    with open_records(plan.frames(description, out), "frames") as frames:
        count = {video["name"]: video["frames"] for video in frames.manifest["videos"]}
        held_out = [video for video in read_list(lists.test(description.splits[0]), classes) if video.name in count]
        longest = {video.label: video.name for video in sorted(held_out, key=lambda video: count[video.name])}
        number = min([FRAMES_SHOWN, *(count[name] for name in longest.values())])
        films = {classes[label]: [frames.frame(name, index)[0] for index in range(number)]
                 for label, name in sorted(longest.items())}
    return curves, films


def report(results, pages):
    """Print the verdicts."""
    for claim in results["claims"]:
        print(claim["title"])
        for comparison in claim["comparisons"]:
            print(f"  {comparison['verdict']:>18}: {comparison['text']}")
    lead, every = claims.lead(results["figures"])
    print(f"RCNN-r over the CNN on motion classes, in points: {', '.join(f'{value:.1f}' for value in lead)} "
          f"(aim: {claims.LEAD} in every seed, {'met' if every else 'NOT met'})")
    print(", ".join(map(str, pages)))

"""Make the paper's Tables 2 and 3 from one description: run whatever is missing, skip what is done and unchanged.

    python tools/reproduce.py data/motion.json --out data/motion --jobs 2     # made videos; under an hour on two cores
    python tools/reproduce.py data/ucf101.json --out data/ucf101/tables --gpu 0
    python tools/reproduce.py data/ucf101.json --out data/ucf101/tables --dry-run

rcnn/experiments/description.py says what a description holds.  The steps are the programs of tools/: videos, frames, pairs, nets,
trainings, tests, for images and if it says so for optical flow; rcnn/experiments/plan.py says what comes from what.  --dry-run
shows each with its state, expected time and disk, and changes nothing; rcnn/experiments/estimates.py says how these are reckoned.

Interrupted or killed, the same command goes on where it stopped.  Done, it does nothing.  A step whose command or files
have changed since is stale: --force makes it again, and removes what it made before.  A step that fails stops only
what needs it: the tables then have a dash where a figure is missing, and the exit status is 1.

OUT holds table2.md, table3.md and tables.html, report.html about the first split (tools/report.py), results.json
(every figure, command, time and the code's commit), logs/ with what each step printed, and steps/ with what each was
made from.
"""
import json
import shutil
from dataclasses import asdict
from pathlib import Path

from rcnn import command

from rcnn.experiments import plan

from rcnn.experiments import tables
from rcnn.experiments import description as descriptions
from rcnn.files import InputError, write_text
from rcnn.experiments.running import Runner, clock, held, nearest
from rcnn.experiments.steps import Records, commit, refuse_stale, stamp

TOOLS = Path(__file__).resolve().parents[2] / "tools"
NEEDS_FORCE = "--dry-run shows what; --force makes it again, another --out leaves it alone"


def main():
    args = arguments()
    description = descriptions.read(args.description)
    out = nearest(args.out)
    counts = descriptions.check(description, out)
    steps = plan.steps(description, counts, out, args.gpu, args.workers)
    if args.dry_run:
        return show([*steps, plan.report(description, out, plan.score_files(description, out))], out, args.jobs)
    states = Records(out).states(steps)
    if not args.force:
        refuse_stale(states, out, NEEDS_FORCE)
    _, needed, free = wanted(steps, states, out)
    if needed > free:
        command.tell(f"this may need about {size(needed)} of disk, and {size(free)} are free in {out}")
    with held(out):
        runner = Runner(out, TOOLS, args.jobs, args.force)
        run(runner, steps, states)
        results = summarize(description, out, steps, runner)
        page(description, out, steps, runner)
    return report(out, results, steps, runner)


def arguments():
    options = command.parser(__doc__)
    options.add_argument("description", help="JSON file that says what to reproduce")
    options.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    options.add_argument("--jobs", type=command.positive, default=1, help="steps that run side by side")
    options.add_argument("--dry-run", action="store_true", help="show the plan and change nothing")
    options.add_argument("--force", action="store_true",
                         help="make stale steps again; what they made before is removed")
    options.add_argument("--gpu", type=int, help="number of the GPU to train and test on (default: the CPU)")
    options.add_argument("--workers", type=command.positive,
                         help="processes that decode and encode (default: one a core)")
    return options.parse_args()


def run(runner, steps, states):
    """Run all steps, the nets first: a wrong option is told by them, and at once."""
    nets = [step for step in steps if step.command[0] == "make_prototxt.py" and states[step.name] != "done"]
    if nets:
        runner.run(nets)
    for step in nets:
        if step.name in runner.failed:
            raise InputError(f"{step.name}: {runner.failed[step.name]}")
    runner.run(steps)


def show(steps, out, jobs):
    """Print the plan."""
    states = Records(out).states(steps)
    print(f"{'state':8} {'time':>11} {'disk':>10}  step")
    for step in steps:
        print(f"{states[step.name]:8} {clock(step.seconds):>11} {size(step.bytes):>10}  {step.name}: {step.command[0]}")
    left, needed, free = wanted(steps, states, out)
    if not left:
        print(f"all {len(steps)} steps are done")
        return
    print(f"{len(left)} of {len(steps)} steps to do: about {clock(wall(left, jobs))} with --jobs {jobs}; "
          f"{size(needed)} of disk, {size(free)} are free")
    stale = sum(state == "stale" for name, state in states.items() if name != "report")  # it is made anew unasked
    if stale:
        print(f"{stale} of them are stale and need --force, which removes what they made before")
    if any(state == "open" for state in states.values()):
        print("open: done as it stands; made again only if what it needs turns out to be another")


def wanted(steps, states, out):
    """Return (steps that are not done, bytes that they need, bytes that are free)."""
    left = [step for step in steps if states[step.name] != "done"]
    folder = next(folder for folder in (out, *out.resolve().parents) if folder.is_dir())
    return left, sum(step.bytes for step in left), shutil.disk_usage(folder).free


def wall(steps, jobs):
    """Return the seconds that steps take, `jobs` side by side: their share of the sum, or their longest chain."""
    ends = {}
    for step in steps:
        ends[step.name] = step.seconds + max((ends[other.name] for other in steps if other.name in ends
                                              and set(other.outputs) & set(step.inputs)), default=0.0)
    return max(sum(step.seconds for step in steps) / jobs, *ends.values())


def size(number):
    """Return bytes in a readable unit: "12.3 GB"."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def scored(description, out, steps):
    """Return {(net, split, fps): Path} of the score files whose steps are done."""
    states = Records(out).states(steps)
    done = {path for step in steps if states[step.name] == "done" for path in step.outputs}
    return {key: path for key, path in plan.score_files(description, out).items() if path in done}


def page(description, out, steps, runner):
    """Make the page about the first split, if it has scores and they or the tables have changed."""
    step = plan.report(description, out, scored(description, out, steps))
    if step and Records(out).state(step) != "done":
        alone = Runner(out, TOOLS, force=True)
        alone.run([step])
        runner.failed.update(alone.failed)


def summarize(description, out, steps, runner):
    """Write the tables and results.json, unless they are of the same scores already; return the results.

    A figure counts only where the step of its score file is done.
    """
    files = scored(description, out, steps)
    failures = [f"{name}: {why}" for name, why in runner.failed.items()]
    made_from = {"description": asdict(description), "scores": {str(path): stamp(path) for path in files.values()},
                 "failures": failures}
    made_from = json.loads(json.dumps(made_from))
    written = [out / name for name in ("table2.md", "table3.md", "tables.html", "results.json")]
    before = read_json(out / "results.json")
    if all(path.is_file() for path in written) and before.get("made_from") == made_from:
        return before
    figures, problems = tables.figures(files, description)
    rows = tables.table_2(description, figures), tables.table_3(description, figures)
    records = Records(out)
    states = records.states(steps)
    results = {
        "name": description.name, "seed": description.seed, "commit": commit(TOOLS),
        "table 2": rows[0], "table 3": rows[1], "problems": problems,
        "figures": [{"net": net, "split": split, "fps": fps, "crops": crops, "signal": signal, "fusion": fusion,
                     "accuracy": share}
                    for (net, split, fps), known in figures.items() for (crops, signal), fusions in known.items()
                    for fusion, share in fusions.items()],
        "steps": {step.name: {"command": ["python", f"tools/{step.command[0]}", *step.command[1:], *step.settings],
                              "state": states[step.name], "seconds": (records.read(step) or {}).get("seconds")}
                  for step in steps},
        "made_from": made_from}
    both = tables.grids(description, *rows)
    text_of_page = tables.html(description.name, both, failures + problems)
    for path, text in zip(written, (*map(tables.markdown, both), text_of_page,
                                    json.dumps(results, indent=1, ensure_ascii=False) + "\n")):
        write_text(path, text)
    return results


def read_json(path):
    """Return a JSON object, {} where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def report(out, results, steps, runner):
    """Print the tables and what is missing; return the exit status."""
    for name in ("table2.md", "table3.md"):
        print((out / name).read_text(encoding="utf-8"))
    seconds = sum(step["seconds"] or 0 for step in results["steps"].values())
    print(f"{len(steps) - len(runner.failed) - len(runner.skipped)} of {len(steps)} steps done, {clock(seconds)} of "
          f"them together; {out}/tables.html, {out}/report.html, {out}/results.json")
    for name, why in runner.failed.items():
        command.tell(f"reproduce.py: {name} failed: {why}")
    if runner.skipped:
        command.tell(f"reproduce.py: not run, as they need what failed: {', '.join(runner.skipped)}")
    for problem in results["problems"]:
        command.tell(f"reproduce.py: {problem}")
    return int(bool(runner.failed or results["problems"]))

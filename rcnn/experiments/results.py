"""What a reproduction gives: the tables, every figure and the page, from the score files whose steps are done."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from rcnn.command import tell
from rcnn.experiments import pair_tables, plan, tables
from rcnn.experiments.description import Description
from rcnn.experiments.runner import Runner, clock, commit, machine
from rcnn.experiments.steps import Step, disk, stamp
from rcnn.files import InputError, write_text

FORM = 2  # of what results.json holds
MARKDOWN = ("table2.md", "table3.md", "pairs.md")  # the tables for people
FIGURES = "results.json"


def make(description: Description, out: Path, steps: Sequence[Step], runner: Runner) -> dict:
    """Write the tables, OUT/results.json and OUT/report.html, unless they are of the same scores and steps already.

    Returns what results.json holds.  A figure counts only where the step of its score file is done; that the page
    cannot be made goes to runner.failed.
    """
    states = runner.records.states(steps)
    done = {path for step in steps if states[step.name] == "done" for path in step.outputs}
    files = {key: path for key, path in plan.pair_files(description, out).items() if path in done}
    seeds = {key: path for key, path in plan.seed_scores(description, out).items() if path in done}
    probes = {key: path for key, path in plan.probe_files(description, out).items() if path in done}
    summary = _summary(description, out, files, seeds, probes, steps, states, runner)
    renew(plan.report(description, out, files), out, runner)
    return summary


def renew(page: Step, out: Path, runner: Runner) -> None:
    """Run a step that shows results, unless it is done; that it fails goes to runner.failed."""
    if runner.records.state(page) != "done":
        alone = Runner(out, force=True)
        alone.run([page])
        runner.failed.update(alone.failed)


def _summary(description, out, files, seeds, probes, steps, states, runner):
    """Write the tables and results.json of score files, unless they are of the same; return what that holds."""
    failures = [f"{name}: {why}" for name, why in runner.failed.items()]
    stamps = {str(path): stamp(path) for path in (*files.values(), *seeds.values(), *probes.values())}
    what = {"form": FORM, "description": asdict(description), "failures": failures, "scores": stamps, "states": states}
    made_from = json.loads(json.dumps(what))
    before = _read(out / FIGURES)
    written = [out / name for name in (*MARKDOWN, plan.TABLES, FIGURES)]
    if all(path.is_file() for path in written) and before.get("made_from") == made_from:
        return before
    listed = plan.score_files(description, out)
    accuracies, problems = tables.figures({key: path for key, path in files.items() if key in listed}, description)
    rows = tables.table_2(description, accuracies), tables.table_3(description, accuracies)
    by_pair, by_previous = [], []
    try:
        by_pair = pair_tables.pairs(description, files)
        by_previous = pair_tables.motion(description, files, probes)
    except InputError as error:
        problems.append(f"pairs: {error}")
    summary = {
        "name": description.name,
        "seed": description.seed,
        "commit": commit(),
        "machine": machine(),
        "table 2": rows[0],
        "table 3": rows[1],
        "pairs": by_pair,
        "motion": by_previous,
        "problems": problems,
        "figures": [
            dict(net=net, split=split, fps=fps, crops=crops, signal=signal, fusion=fusion, accuracy=share)
            for (net, split, fps), of_net in accuracies.items()
            for (crops, signal), fusions in of_net.items()
            for fusion, share in fusions.items()
        ],
        "seeds": _seeds(description, {key: path for key, path in files.items() if key in listed}, seeds),
        "steps": {
            step.name: {
                "command": step.typed,
                "state": states[step.name],
                "seconds": runner.records.seconds(step),
                "bytes": disk(step),
            }
            for step in steps
        },
        "made_from": made_from,
    }
    both = tables.both(description, *rows)
    more = pair_tables.tables(description, by_pair, by_previous)
    texts = [*map(tables.markdown, both), "\n".join(map(tables.markdown, more)) or "No net is scored in every split.\n"]
    texts.append(tables.text([*both, *more], failures + problems))
    for path, text in zip(written, [*texts, json.dumps(summary, indent=1, ensure_ascii=False) + "\n"]):
        write_text(path, text)
    return summary


def _seeds(description, files, seeds):
    """Return {net: its accuracies on the first split by seed, their mean and standard deviation} of several seeds.

    High signal, log-mean, as Table 3's.
    """
    split, fps, wanted = description.splits[0], description.fps[-1], (tables.standard_crops(description), "high")
    found = {}
    for (seed, net), path in {
        **{(description.seed, net): path for (net, *run), path in files.items() if run == [split, fps]},
        **seeds,
    }.items():
        shares = tables.accuracies(path, [wanted])
        found.setdefault(net, {})[seed] = float(shares[wanted]["log-mean"])
    return {
        net: {
            "accuracy": {str(seed): share for seed, share in sorted(shares.items())},
            "mean": float(np.mean(list(shares.values()))),
            "deviation": float(np.std(list(shares.values()), ddof=1)),
        }
        for net, shares in found.items()
        if len(shares) > 1
    }


def report(out: Path, summary: dict, steps: Sequence[Step], runner: Runner) -> int:
    """Print the tables and what is missing; return the exit status."""
    for name in MARKDOWN:
        print((out / name).read_text(encoding="utf-8"))
    for net, of in summary["seeds"].items():
        each = ", ".join(f"{seed}: {100 * share:.1f} %" for seed, share in of["accuracy"].items())
        print(f"{net}, by seed {each}; mean {100 * of['mean']:.1f} %, standard deviation {100 * of['deviation']:.1f}")
    done = [step["state"] for step in summary["steps"].values()].count("done")
    seconds = sum(step["seconds"] or 0 for step in summary["steps"].values())
    print(f"{done} of {len(steps)} steps done, {clock(seconds)} of them together; {out}/report.html, {out}/{FIGURES}")
    for name, why in runner.failed.items():
        tell(f"reproduce.py: {name} failed: {why}")
    if runner.skipped:
        tell(f"reproduce.py: not run, as they need what failed: {', '.join(runner.skipped)}")
    for problem in summary["problems"]:
        tell(f"reproduce.py: {problem}")
    return int(bool(runner.failed or summary["problems"]))


def _read(path):
    """Return a JSON object, {} where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}

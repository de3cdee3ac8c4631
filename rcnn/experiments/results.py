"""What a reproduction gives: the tables, every figure and the page, from the score files whose steps are done."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rcnn.command import tell
from rcnn.experiments import plan, tables
from rcnn.experiments.description import Description
from rcnn.experiments.plan import Step
from rcnn.experiments.runner import Runner, clock, commit, typed
from rcnn.experiments.steps import Records, stamp
from rcnn.files import write_text

MARKDOWN = ("table2.md", "table3.md")  # the tables for people
FIGURES = "results.json"


def summarize(description: Description, out: Path, steps: Sequence[Step], runner: Runner) -> dict:
    """Write the tables and OUT/results.json, unless they are of the same scores already; return what that holds.

    A figure counts only where the step of its score file is done.
    """
    records = Records(out)
    states = records.states(steps)
    files = _scored(description, out, steps, states)
    failures = [f"{name}: {why}" for name, why in runner.failed.items()]
    made_from = json.loads(
        json.dumps(
            {
                "description": asdict(description),
                "failures": failures,
                "scores": {str(path): stamp(path) for path in files.values()},
            }
        )
    )
    before = _read(out / FIGURES)
    written = [out / name for name in (*MARKDOWN, plan.TABLES, FIGURES)]
    if all(path.is_file() for path in written) and before.get("made_from") == made_from:
        return before
    accuracies, problems = tables.figures(files, description)
    rows = tables.table_2(description, accuracies), tables.table_3(description, accuracies)
    results = {
        "name": description.name,
        "seed": description.seed,
        "commit": commit(),
        "table 2": rows[0],
        "table 3": rows[1],
        "problems": problems,
        "figures": [
            {
                "net": net,
                "split": split,
                "fps": fps,
                "crops": crops,
                "signal": signal,
                "fusion": fusion,
                "accuracy": share,
            }
            for (net, split, fps), of_net in accuracies.items()
            for (crops, signal), fusions in of_net.items()
            for fusion, share in fusions.items()
        ],
        "steps": {
            step.name: {"command": typed(step), "state": states[step.name], "seconds": records.seconds(step)}
            for step in steps
        },
        "made_from": made_from,
    }
    both = tables.both(description, *rows)
    for path, text in zip(
        written,
        (
            *map(tables.markdown, both),
            tables.text(both, failures + problems),
            json.dumps(results, indent=1, ensure_ascii=False) + "\n",
        ),
    ):
        write_text(path, text)
    return results


def page(description: Description, out: Path, steps: Sequence[Step], runner: Runner) -> None:
    """Make OUT/report.html, if the tables or what else stands on it have changed; a failure goes to runner.failed."""
    records = Records(out)
    step = plan.report(description, out, _scored(description, out, steps, records.states(steps)))
    if records.state(step) != "done":
        alone = Runner(out, force=True)
        alone.run([step])
        runner.failed.update(alone.failed)


def report(out: Path, results: dict, steps: Sequence[Step], runner: Runner) -> int:
    """Print the tables and what is missing; return the exit status."""
    for name in MARKDOWN:
        print((out / name).read_text(encoding="utf-8"))
    seconds = sum(step["seconds"] or 0 for step in results["steps"].values())
    print(
        f"{len(steps) - len(runner.failed) - len(runner.skipped)} of {len(steps)} steps done, {clock(seconds)} of "
        f"them together; {out}/report.html, {out}/{FIGURES}"
    )
    for name, why in runner.failed.items():
        tell(f"reproduce.py: {name} failed: {why}")
    if runner.skipped:
        tell(f"reproduce.py: not run, as they need what failed: {', '.join(runner.skipped)}")
    for problem in results["problems"]:
        tell(f"reproduce.py: {problem}")
    return int(bool(runner.failed or results["problems"]))


def _scored(description: Description, out: Path, steps: Sequence[Step], states: dict[str, str]):
    """Return those of `plan.score_files` whose steps are done."""
    done = {path for step in steps if states[step.name] == "done" for path in step.outputs}
    return {key: path for key, path in plan.score_files(description, out).items() if path in done}


def _read(path):
    """Return a JSON object, {} where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}

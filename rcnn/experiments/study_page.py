"""The page of a study, Markdown with pictures beside it, from the files of its folder OUT alone.

What is not done has no figure: the page of an unfinished study says which rows are of which splits.
"""

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from rcnn.data.records import open_records
from rcnn.experiments import pages, plan, plots, results, study_tables, tables
from rcnn.experiments.description import Description
from rcnn.experiments.runner import Runner
from rcnn.experiments.steps import Step, program_step
from rcnn.experiments.study_tables import Study
from rcnn.files import replacing, write_text

FIGURE3 = "figure3"  # step and picture
MAPS = 3  # of Fig. 3, to stay small


def write(
    path: Path,
    description: Description,
    out: Path,
    summary: dict[str, Any],
    steps: Sequence[Step],
    runner: Runner,
    command: Sequence[str],
) -> list[Path]:
    """Write the page to `path` and its pictures beside it, named after it; return their paths.

    Parameters
    ----------
    summary
        What OUT/results.json holds.
    steps
        Of the plan.
    runner
        Learns in `failed` why Fig. 3 could not be drawn, where it could not.
    command
        The words that a person typed.
    """
    path, study = Path(path), Study(description, out, summary)
    path.parent.mkdir(parents=True, exist_ok=True)
    places = {name: path.with_name(f"{path.stem}_{name}.png") for name in (FIGURE3, "loss", "confusion")}
    figure3 = draw_figure3(study, steps, runner, places[FIGURE3])
    curves = study_tables.curves(study)
    if curves:
        plots.loss_curves(places["loss"], curves, title=f"Training loss of stage 2, split {description.splits[0]}")
    splits = [split for split in description.splits if split in study.of("rcnn_r")]
    if splits:
        matrix, names = study_tables.confusion(study, "rcnn_r", splits)
        plots.confusion_matrix(places["confusion"], matrix, names, f"RCNN-r, split {', '.join(map(str, splits))}")
    drawn = {FIGURE3: figure3, "loss": curves, "confusion": splits}
    paper, by_pair = _parts(tables.read(out / plan.TABLES)[0])
    text = pages.render(
        "study.md",
        {"markdown": tables.markdown},
        description=description,
        command=portable(study, command),
        commit=summary["commit"],
        machine=summary["machine"],
        done=[step["state"] for step in summary["steps"].values()].count("done"),
        total=len(summary["steps"]),
        settings=study_tables.settings(description.nets),
        problems=[*summary["made_from"]["failures"], *summary["problems"]],
        videos=study_tables.videos(study),
        scored=study_tables.scored(study),
        by_pair=by_pair,
        more=[each for each in (study_tables.seeds(study), *paper, study_tables.signals(study)) if each],
        classes=study_tables.classes(study),
        losses=study_tables.losses(curves) if curves else None,
        figure3=figure3 and portable(study, figure3.typed),
        pictures={name: places[name].name for name, there in drawn.items() if there},
        costs=study_tables.costs(study),
        commands=[
            portable(study, step["command"])
            for name, step in summary["steps"].items()
            if study_tables.within(study, name)[0] in (None, description.splits[0])
        ],
        first=description.splits[0],
    )
    write_text(path, text.rstrip() + "\n")
    return [path, *(places[name] for name, there in drawn.items() if there)]


def _parts(shown):
    """Return (Table 3 and Table 2, the tables by the pair) of those of tables.json."""
    second, third, *by_pair = shown
    return (third, second), by_pair


def draw_figure3(study: Study, steps: Sequence[Step], runner: Runner, path: Path) -> Optional[Step]:
    """Draw Fig. 3 of the first split's RCNN-r to `path`, and return its step; None where that is not trained yet.

    Its pair is the one in the middle of the test pairs.
    """
    description, (split, *_) = study.description, study.splits
    if not (study.done("rcnn_r", split) and study.done("pairs_test", split)):
        return None
    folder = plan.main_folder(description, study.out)
    (weights,) = next(step.outputs for step in steps if step.name == f"{folder.name}.rcnn_r")
    with open_records(folder / "pairs_test.lmdb", "pairs") as records:
        middle = len(records) // 2
    step = program_step(
        FIGURE3,
        "figures.py",
        [study.out / f"{FIGURE3}.png"],
        net=folder / "prototxt" / "deploy_rcnn_r.prototxt" if description.engine == "caffe" else None,
        weights=weights,
        pairs=folder / "pairs_test.lmdb",
        pair=middle,
        number=MAPS,
        **{name: description.nets[name] for name in ("scale", "mean") if name in description.nets},
        out=study.out / f"{FIGURE3}.png",
    )
    results.renew(step, study.out, runner)
    if step.name in runner.failed:
        return None
    with replacing(path) as part:
        shutil.copyfile(step.outputs[0], part)
    return step


def portable(study: Study, words: Sequence[str]) -> str:
    """Return a command with OUT, VIDEOS, LISTS and WEIGHTS for one's own folders and file."""
    description = study.description
    own = {
        "OUT": study.out,
        "VIDEOS": description.videos,
        "LISTS": description.lists,
        "WEIGHTS": description.pretrained,
    }

    def short(word):
        for name, path in own.items():
            if path and (word == str(path) or word.startswith(f"{path}/")):
                return name + word[len(str(path)) :]
        return word

    return shlex.join(map(short, words))

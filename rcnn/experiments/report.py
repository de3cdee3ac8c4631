"""One HTML page of a run, whole in itself: no network, no script, light and dark, phone and desktop.

    page("RCNN-r on split 1", tables=[Table("Table 2", head, rows)], logs={"stage 2": "rcnn_r.jsonl"},
         scores={"RCNN-r": "scores.h5"}, frames="frames_5fps.lmdb")

Its form is templates/report.html; here is what stands in it.
"""

import base64
import re
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Optional

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rcnn.data.records import open_records
from rcnn.experiments.charts import DARK, LIGHT, MARKED, THICK, THIN, Line, key_style, line_chart
from rcnn.experiments.runner import clock
from rcnn.experiments.tables import Table, numeric
from rcnn.files import InputError, existing
from rcnn.scoring import scores as fusion_rules
from rcnn.scoring.outcomes import outcomes
from rcnn.scoring.score_files import ALL, Scores, matched
from rcnn.training import log as training

WINDOW = 40  # iterations that a loss is averaged over (Fig. 2)
FEW = 20  # classes that all stand on the page, with numbers in the confusion matrix
MOST_POINTS = 1000  # of a curve; of longer ones every second, third, ... is drawn
SHOWN_FRAMES, FRAME_WIDTH, JPEG_QUALITY = 8, 112, 80
SHOWN_CLASSES = 3  # whose scores are drawn over a video's time
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def page(
    title: str,
    tables: Sequence[Table] = (),
    logs: Optional[dict[str, str]] = None,
    scores: Optional[dict[str, str]] = None,
    frames: Optional[str] = None,
    signal: str = "high",
    fusion: str = "log-mean",
    crops: Optional[int] = None,
    examples: int = 3,
    problems: Sequence[str] = (),
) -> str:
    """Return the page (HTML).

    Parameters
    ----------
    title
        As all text, it is escaped.
    tables
        Tables of results.
    logs
        {name of the curve: path of a training's log in JSON lines}.
    scores
        {name of the net: path of its score file}, one or two; the second is of the same videos, to compare.
    frames
        Path of the frames LMDB that the scores are of, to show videos.
    signal, fusion, crops
        What the confusion matrix, the classes and the videos are by; signal: "low", "medium", "high" or "all"; crops:
        None for the file's.
    examples
        How many videos are shown of those that the first net gets right, and as many wrong ones.
    problems
        Lines on what could not be made, and why.

    Raises
    ------
    InputError
        Where an input is missing, damaged or does not fit the others.
    """
    logs, scores = logs or {}, scores or {}
    if not (tables or logs or scores or problems):
        raise InputError("report: nothing to show; give scores, logs or tables")
    if frames and not scores:
        raise InputError("report: frames are shown with their scores; give scores too")
    if len(scores) > 2:
        raise InputError(f"report: {len(scores)} score files; one or two can be shown")
    sections: list[dict[str, Any]] = [{"heading": "Not everything could be made", "list": problems}] if problems else []
    sections += [
        {
            "heading": table.title,
            "notes": [table.lead] if table.lead else [],
            "after": table.notes,
            "tables": [("", [table.head, *table.rows])],
        }
        for table in tables
    ]
    summary = ""
    with ExitStack() as stack:
        files = {name: stack.enter_context(Scores(path)) for name, path in scores.items()}
        if files:
            nets = _Nets(files, signal, fusion, crops)
            summary = nets.summary()
            sections += [nets.accuracy()]
        if logs:
            sections += [_training(logs)]
        if files:
            sections += [nets.confusion(), nets.confused(), nets.classes()]
            records = stack.enter_context(open_records(frames, "frames")) if frames else None
            sections += [nets.videos(records, examples), nets.attributes()]
    environment = Environment(
        loader=PackageLoader("rcnn.experiments"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.globals["numeric"] = lambda rows: numeric(rows[1:]) or [False] * len(rows[0])
    environment.filters["percent"] = _percent
    empty: dict[str, Any] = {
        "notes": [],
        "chart": None,
        "matrix": None,
        "tables": [],
        "wrap": False,
        "after": [],
        "classes": None,
        "videos": [],
        "list": [],
    }
    return environment.get_template("report.html").render(
        title=title,
        summary=summary,
        light=LIGHT,
        dark=DARK,
        sections=[{**empty, **section} for section in sections if section],
    )


def _training(logs):
    """Return the section of the training curves, as Fig. 2, and how each training ended."""
    lines, names = [], []
    rows, tests = [], []
    for series, (name, path) in enumerate(logs.items()):
        records = training.read_log(existing(path, "training log"))
        iterations, raw, averaged = training.loss_curve(records, WINDOW)
        if not len(iterations):
            raise InputError(f"training log: {path} has no training record; has an iteration been displayed yet?")
        step = -(-len(iterations) // MOST_POINTS)
        lines += [
            Line(series, iterations[::step], raw[::step], THIN),
            Line(series, iterations[::step], averaged[::step], THICK),
        ]
        names.append(name)
        tested = [record["outputs"] for record in records if record["phase"] == "test"] or [{}]
        tests.append({output: _percent(share) for output, share in tested[-1].items() if output.endswith("accuracy")})
        rows.append(
            [
                name,
                f"{max(record['iteration'] for record in records):,}",
                f"{averaged[0]:.3f}",
                f"{averaged[-1]:.3f}",
                clock(records[-1]["seconds"]),
            ]
        )
    outputs = list(dict.fromkeys(output for test in tests for output in test))
    head = ["training", "updates", "first loss", "last loss", "time", *outputs]
    rows = [row + [test.get(output, "–") for output in outputs] for row, test in zip(rows, tests)]
    label = "Training loss: " + "; ".join(f"{row[0]} from {row[2]} to {row[3]} in {row[1]} updates" for row in rows)
    return {
        "heading": "Training",
        "chart": _with_key(line_chart(lines, label, "update", "loss"), names),
        "tables": [("Losses are averaged; accuracy is that of the training's last test", [head, *rows])],
        "notes": [f"Thick: the loss averaged over {WINDOW} updates; thin: that of single updates."],
    }


class _Nets:
    """What one or two score files say; the first is the net that the page is about."""

    def __init__(self, files, signal, fusion, crops):
        self.files, self.names = list(files.values()), list(files)
        crops = crops or min(file.crops for file in self.files)  # the same for both
        self.file, self.signal, self.fusion, self.crops = self.files[0], signal, fusion, crops
        self.labels, self.class_names = self.file.labels, self.file.classes
        self.order = [slice(None), *(matched(self.file, other) for other in self.files[1:])]
        self.fused = [
            {
                kind: {how: videos[order] for how, videos in file.fused(kind, crops=crops).items()}
                for kind in self._signals(file)
            }
            for file, order in zip(self.files, self.order)
        ]
        if any(signal not in fused for fused in self.fused):
            raise InputError(f"scores: {' or '.join(str(file.path) for file in self.files)} has no signal {signal}")
        self.videos_scores = [fused[signal][fusion] for fused in self.fused]
        self.predicted = [fusion_rules.predictions(videos) for videos in self.videos_scores]
        self.matrices = [
            fusion_rules.confusion(predicted, self.labels, len(self.class_names)) for predicted in self.predicted
        ]
        kind = "mean of the three signals" if signal == ALL else f"{signal} signal"
        self.rule = f"{kind}, {crops} crop{'s' if crops > 1 else ''}, {fusion} over frames"

    @staticmethod
    def _signals(file):
        return [*file.signals, *([ALL] if len(file.signals) == 3 else [])]

    def summary(self):
        shares = [
            f"{name} classifies {_percent(fusion_rules.accuracy(predicted, self.labels))} rightly"
            for name, predicted in zip(self.names, self.predicted)
        ]
        return (
            f"Of {len(self.labels):,} videos of {len(self.class_names)} classes, {', '.join(shares)} "
            f"({self.rule}); chance is {_percent(1 / len(self.class_names))}."
        )

    def accuracy(self):
        top = min(5, len(self.class_names))
        first = [["net", "video accuracy", "mean class accuracy", f"in the top {top}", "by the pair"]]
        second = [["net", "signal", *fusion_rules.FUSIONS]]
        for net, name in enumerate(self.names):
            first.append(
                [
                    name,
                    _percent(fusion_rules.accuracy(self.predicted[net], self.labels)),
                    _percent(fusion_rules.mean_class_accuracy(self.matrices[net])),
                    _percent(fusion_rules.top_accuracy(self.videos_scores[net], self.labels, top)),
                    _percent(outcomes([self.files[net]], self.signal, self.crops).pair_accuracy),
                ]
            )
            for kind, fused in self.fused[net].items():
                shares = [
                    fusion_rules.accuracy(fusion_rules.predictions(fused[how]), self.labels)
                    for how in fusion_rules.FUSIONS
                ]
                second.append([name, "all three" if kind == ALL else kind, *map(_percent, shares)])
        return {
            "heading": "Accuracy",
            "tables": [
                (f"By {self.rule}; by the pair: of each frame but the first by itself", first),
                ("Video accuracy by each signal and each fusion over frames", second),
            ],
        }

    def confusion(self):
        names, matrix = self.class_names, self.matrices[0]
        totals = matrix.sum(axis=1)
        wide = len(names) > FEW
        font, cell = (9, 12) if wide else (11, 26)
        counts = [(row, column, count) for (row, column), count in np.ndenumerate(matrix) if count]
        cells = [
            (
                row,
                column,
                count / totals[row],
                f"{names[row]} taken for {names[column]}: {count} of {totals[row]} videos",
            )
            for row, column, count in counts
        ]
        return {
            "heading": "Confusion matrix",
            "matrix": {
                "names": [_short(name) for name in names],
                "cells": cells,
                "wide": wide,
                "cell": cell,
                "font": font,
                "left": round(0.62 * font * max(len(_short(name)) for name in names)) + 10,
                "numbers": [] if wide else counts,
                "alternative": f"Confusion matrix of {len(names)} classes: {np.trace(matrix)} of {totals.sum()} videos "
                "are on its diagonal; the next two parts give what matters of it in words",
            },
            "notes": [
                f"Of {self.names[0]}. Rows are true classes, columns what they were taken for; the stronger "
                "a cell's colour, the larger its share of the row."
            ],
        }

    def confused(self):
        totals = self.matrices[0].sum(axis=1)
        rows = [
            [self.class_names[label], self.class_names[predicted], str(count), _percent(count / totals[label])]
            for label, predicted, count in fusion_rules.most_confused(self.matrices[0])
        ]
        head = ["true class", "taken for", "videos", "of its class"]
        note = f"Of {self.names[0]}." if rows else "No video is classified wrongly."
        return {"heading": "Most confused classes", "tables": [("", [head, *rows])] if rows else [], "notes": [note]}

    def classes(self):
        shares = np.stack([fusion_rules.class_accuracy(matrix) for matrix in self.matrices], axis=1)
        totals = self.matrices[0].sum(axis=1)
        best_first = np.argsort(-np.nan_to_num(shares[:, 0], nan=-1), kind="stable")
        rows = [
            {"name": self.class_names[label], "videos": int(totals[label]), "shares": shares[label].tolist()}
            for label in best_first
        ]
        tested = [row for row in rows if row["videos"]]
        return {
            "heading": "Accuracy of each class",
            "classes": {"names": self.names, "rows": rows, "lowest": tested[:-11:-1] if len(rows) > FEW else []},
            "notes": [f"The share of a class's videos that are classified rightly, sorted by {self.names[0]}."],
        }

    def videos(self, records, examples):
        right = self.predicted[0] == self.labels
        chosen = [
            places[np.unique(np.linspace(0, len(places) - 1, min(examples, len(places))).round().astype(int))]
            for places in (np.flatnonzero(right), np.flatnonzero(~right))
            if len(places) and examples
        ]
        if not chosen:
            return None
        shown = [
            self._video(index, records, f"video{place}")
            for place, index in enumerate(index for places in chosen for index in places)
        ]
        return {
            "heading": "Videos and their scores over time",
            "videos": shown,
            "notes": [
                f"Scores of {self.names[0]} frame by frame, before they are fused. The videos stand at equal "
                "distances in the list of those that are right and of those that are wrong; nobody chose "
                "them."
            ],
        }

    def _video(self, index, records, name):
        frames, times = self.file.averaged(index, self.signal, self.crops), self.file.times(index)
        label, predicted = int(self.labels[index]), int(self.predicted[0][index])
        best = np.argsort(-self.videos_scores[0][index], kind="stable")
        classes = list(dict.fromkeys([label, predicted, *best.tolist()]))[:SHOWN_CLASSES]
        titles = [self.class_names[number] + (" (true class)" if number == label else "") for number in classes]
        step = -(-len(times) // MOST_POINTS)
        lines = [Line(series, times[::step], frames[::step, number], MARKED) for series, number in enumerate(classes)]
        alternative = f"Scores over {times[-1]:.1f} s: " + "; ".join(
            f"{title} {frames[0, number]:.2f} at first, {frames[-1, number]:.2f} at last, on average "
            f"{frames[:, number].mean():.2f}"
            for title, number in zip(titles, classes)
        )
        at = np.unique(np.linspace(0, len(times) - 1, min(SHOWN_FRAMES, len(times))).round().astype(int))
        rows = [[f"{times[t]:.2f}", *(f"{frames[t, number]:.3f}" for number in classes)] for t in at]
        return {
            "name": self.file.names[index],
            "right": label == predicted,
            "label": self.class_names[label],
            "predicted": self.class_names[predicted],
            "chart": _with_key(line_chart(lines, alternative, "time (s)", "score", 1.02), titles),
            "rows": [["time (s)", *titles], *rows],
            "frames": self._frames(records, index, at, frames[:, label]) if records else [],
        }

    def _frames(self, records, index, at, values):
        """Return some frames of a video as small JPEGs in data URIs, with their times and scores."""
        name, times = self.file.names[index], self.file.times(index)
        stored = {video["name"]: video["times"] for video in records.manifest["videos"]}
        if not set(times) <= set(stored.get(name, ())):
            what = "other frames of" if name in stored else "no"
            raise InputError(
                f"frames: {records.path} has {what} video {name}; give the frames that {self.file.path} is of"
            )
        shown = []
        for t in at:
            image = records.frame(name, stored[name].index(times[t]))[0]
            height = max(1, round(FRAME_WIDTH * image.shape[0] / image.shape[1]))
            small = cv2.resize(image, (FRAME_WIDTH, height), interpolation=cv2.INTER_AREA)
            data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
            shown.append(
                {
                    "source": "data:image/jpeg;base64," + base64.b64encode(data).decode(),
                    "width": FRAME_WIDTH,
                    "height": height,
                    "time": f"{times[t]:.1f}",
                    "score": f"{values[t]:.2f}",
                }
            )
        return shown

    def attributes(self):
        rows = [
            [name, *(", ".join(map(str, np.atleast_1d(file.attributes.get(name, "–")))) for file in self.files)]
            for name in dict.fromkeys(name for file in self.files for name in file.attributes)
        ]
        return {"heading": "What made the scores", "tables": [("", [["attribute", *self.names], *rows])], "wrap": True}


def _with_key(chart, names):
    return {"drawn": chart, "key": [(name, key_style(series)) for series, name in enumerate(names)]}


def _printable(value):
    """Return text without the control characters that HTML cannot hold; other values as they are."""
    if isinstance(value, Markup) or not isinstance(value, str):  # what a template has written, as a macro's
        return value
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", value)


def _percent(share):
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def _short(name):
    return name if len(name) <= 24 else name[:23] + "…"

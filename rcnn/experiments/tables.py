"""Tables 2 and 3 from score files, the paper's figures beside ours: as data, which a file of JSON holds, and Markdown.

{"tables": [{"title": "Table 2", "head": ["net", "mean"], "rows": [["CNN", "73.0"]], "lead": "", "notes": []}],
"problems": ["what could not be made, and why"]}
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional, Union

from rcnn.experiments.description import Description
from rcnn.experiments.plan import FLOW, NET_OF
from rcnn.files import InputError, existing
from rcnn.scoring import scores
from rcnn.scoring.score_files import ALL, Scores, fuse_files

DASH = "–"
NUMBER = re.compile(r"[-+−]?[\d.,:\s]*\d\s*%?|[-–—]?")
Key = tuple[str, int, float]  # net, split, fps
Accuracies = dict[tuple[int, str], dict[str, float]]  # {(crops, signal): {fusion: accuracy from 0 to 1}}
FUSIONS = ("mean", "max", "log-mean")  # in Table 2's order


@dataclass(frozen=True)
class Table:
    """A table of text.

    Parameters
    ----------
    title, lead
        What stands above it; lead is a sentence or empty.
    head, rows
        Its cells, as many in each row as in the head.
    notes
        Lines that stand below it.

    Raises
    ------
    InputError
        Where it is none.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    lead: str = ""
    notes: Sequence[str] = ()

    def __post_init__(self):
        texts = [self.title, self.lead]
        for part in (self.head, *self.rows, self.notes):
            if isinstance(part, str):
                raise InputError(f"table {self.title}: {part} is no list of cells or notes")
            texts += part
        if not all(isinstance(text, str) for text in texts):
            raise InputError(f"table {self.title}: not all its cells are text")
        for number, row in enumerate(self.rows, 1):
            if len(row) != len(self.head):
                raise InputError(f"table {self.title}: row {number} has {len(row)} cells, the head {len(self.head)}")


def read(path: Union[str, Path]) -> tuple[list[Table], list[str]]:
    """Return the tables and problems of a file that `text` was written to; InputError where it is none."""
    path = existing(path, "tables")
    if path.suffix == ".md":
        raise InputError(f"tables: {path} is Markdown; give the tables.json that tools/reproduce.py writes beside it")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [Table(**table) for table in content["tables"]], list(map(str, content.get("problems", [])))
    except InputError as error:
        raise InputError(f"tables: {path}: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InputError(
            f'tables: {path} is not JSON of the form {{"tables": [{{"title", "head", "rows", "lead", '
            '"notes"}], "problems": []}'
        ) from None


def text(tables: Sequence[Table], problems: Sequence[str] = ()) -> str:
    """Return tables, and lines on what is missing and why, as JSON text for `read`."""
    content = {"tables": [asdict(table) for table in tables], "problems": list(problems)}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def numeric(rows: Sequence[Sequence[str]]) -> list[bool]:
    """Return for each column of a table's rows whether all its cells are numbers, which stand at the right."""
    return [bool(cells) and all(NUMBER.fullmatch(cell) for cell in cells) for cells in zip(*rows)]


@dataclass(frozen=True)
class Setting:
    """A row of Table 2.  fps: which of the description's, 0 (row 1) or -1.  paper: per cent, ordered as FUSIONS."""

    number: int
    fps: int
    crops: int
    signal: str
    sampling: str
    paper: tuple[float, float, float]


TABLE_2 = (
    Setting(1, 0, 5, "high", "random", (79.5, 79.6, 79.7)),
    Setting(2, -1, 1, "high", "random", (79.4, 79.1, 79.6)),
    Setting(3, -1, 5, "high", "random", (79.8, 79.0, 80.0)),
    Setting(4, -1, 10, "high", "random", (79.7, 78.7, 79.6)),
    Setting(5, -1, 5, "medium", "random", (78.0, 78.1, 78.1)),
    Setting(6, -1, 5, "low", "random", (74.0, 73.6, 73.4)),
    Setting(7, -1, 5, ALL, "random", (78.8, 78.6, 78.2)),
    Setting(8, -1, 5, "high", "sequential", (71.6, 73.4, 72.9)),
)
BOTH = "_two_stream"
STREAMS = {"image": "", "optical flow": FLOW, "two-stream": BOTH}  # what a net's name ends in
WEIGHT = 0.5  # of the image stream
TABLE_3 = (
    ("cnn", "single-frame CNN", (73.0, 83.7, 88.0)),
    ("rcnn_s", "RCNN-s", (74.1, None, None)),
    ("rcnn_r", "RCNN-r", (81.0, 76.4, 86.3)),
)  # net, name, the paper's per cent in the order of STREAMS
CNN_NOTE = (
    "The paper's single-frame CNN is the CNN + SVM of its reference [12], another network than the GoogLeNet "
    "here; its training set was enlarged with HMDB."
)
ORDER_NOTE = (
    "In the text at hand it is not certain which of the paper's figures of rows 7 and 8 belongs to which fusion."
)
ALL_NOTE = (
    "Fusion of three: the mean of the three signals' probabilities, frame by frame; the paper does not say how "
    "it fuses them."
)
FLOW_NOTE = "Optical flow by the method {}; two-stream: the mean of the logarithms of both streams' video scores."


def figures(files: dict[Key, Path], description: Description) -> tuple[dict[Key, Accuracies], list[str]]:
    """Return the accuracies of score files, and a line for each two that cannot be fused.

    Where both streams of a net are there, net + BOTH is their fusion (Sec. 3.4), which needs the same videos in both.
    """
    shares = {key: accuracies(path, wanted(key, description)) for key, path in files.items()}
    problems = []
    for (net, split, fps), path in files.items():
        other = files.get((net + FLOW, split, fps))
        if other:
            try:
                shares[net + BOTH, split, fps] = two_streams(path, other, standard_crops(description))
            except InputError as error:
                problems.append(f"two streams of {net}, split {split}: {error}")
    return shares, problems


def two_streams(image: Path, flow: Path, crops: int) -> Accuracies:
    """Return the accuracies of the high signal of the log-average of two score files' videos (Sec. 3.4).

    Raises
    ------
    InputError
        Where one is not a file of scores, or they are of different videos.
    """
    with Scores(image) as one, Scores(flow) as two:
        fused, labels = fuse_files([one, two], "high", FUSIONS, crops, WEIGHT), one.labels
    return {(crops, "high"): {how: scores.accuracy(scores.predictions(fused[how]), labels) for how in FUSIONS}}


def accuracies(path: Path, wanted: Sequence[tuple[int, str]]) -> Accuracies:
    """Return the accuracies of a score file for pairs (crops, signal).

    signal: one of googlenet.SIGNALS or score_files.ALL.  Pairs with more crops than the file has, or a signal that it
    lacks, are left out.
    """
    shares = {}
    with Scores(path) as file:
        for crops, signal in wanted:
            if crops <= file.crops and (signal == ALL or signal in file.signals):
                fused = file.fused(signal, FUSIONS, crops)
                shares[crops, signal] = {
                    fusion: scores.accuracy(scores.predictions(fused[fusion]), file.labels) for fusion in FUSIONS
                }
    return shares


def wanted(key: Key, description: Description) -> list[tuple[int, str]]:
    """Return the (crops, signal) that the tables of a description show of a key of `plan.score_files`."""
    pairs = {(standard_crops(description), "high")} if key[2] == description.fps[-1] else set()
    for row in TABLE_2:
        if (
            _source(row, description) == key
            and row.crops in description.crops
            and (row.signal == ALL or row.signal in description.signals)
        ):
            pairs.add((row.crops, row.signal))
    return sorted(pairs)


def _source(row, description):
    """Return the (net, split, fps) whose scores a row of Table 2 shows; fps is None where the description has none."""
    fps = description.fps[row.fps] if row.fps or len(description.fps) == 2 else None
    return NET_OF[row.sampling], description.splits[0], fps


def standard_crops(description: Description) -> int:
    """Return the crops of Table 3 and of most of Table 2: the paper's 5, or fewer where the description has no more."""
    return min(5, max(description.crops))


def table_2(description: Description, figures: dict[Key, Accuracies]) -> list[dict]:
    """Return the rows of Table 2 as dicts; a figure that is missing is None, the others are per cent."""
    rows = []
    for setting in TABLE_2:
        source = _source(setting, description)
        ours = figures.get(source, {}).get((setting.crops, setting.signal), {})
        rows.append(
            {
                "row": setting.number,
                "fps": source[2],
                "patches": setting.crops,
                "signal": setting.signal,
                "sampling": setting.sampling,
                "ours": {fusion: percent(ours.get(fusion)) for fusion in FUSIONS},
                "paper": dict(zip(FUSIONS, setting.paper)),
            }
        )
    return rows


def table_3(description: Description, figures: dict[Key, Accuracies]) -> list[dict]:
    """Return the rows of Table 3 as dicts: log-mean of the high signal, per cent.

    splits: {stream: {split: accuracy}}.  ours: {stream: mean over the splits}, None unless every split is there.
    """
    rows = []
    for net, name, paper in TABLE_3:
        splits = {
            stream: {split: _high(description, figures, net + end, split) for split in description.splits}
            for stream, end in STREAMS.items()
        }
        ours = {stream: None if None in of.values() else sum(of.values()) / len(of) for stream, of in splits.items()}
        rows.append({"net": net, "name": name, "ours": ours, "splits": splits, "paper": dict(zip(STREAMS, paper))})
    return rows


def _high(description, figures, net, split):
    """Return the figure of a net that Table 3 shows, per cent or None."""
    of_net = figures.get((net, split, description.fps[-1]), {})
    return percent(of_net.get((standard_crops(description), "high"), {}).get("log-mean"))


def percent(share: Optional[float]) -> Optional[float]:
    """Return a share in per cent; None stays None."""
    return None if share is None else 100 * share


def cell(value: Optional[float]) -> str:
    """Return a figure as the tables show it."""
    return DASH if value is None else f"{value:.1f}"


def both(description: Description, rows_2: Sequence[dict], rows_3: Sequence[dict]) -> list[Table]:
    """Return Tables 2 and 3 of what `table_2` and `table_3` return."""
    signals = {ALL: "fusion of three"}
    head = ["no.", "fps", "patches", "signal", "sampling"]
    for fusion in FUSIONS:
        head += [fusion, "paper"]
    body = []
    for row in rows_2:
        figures = [cell(row[who][fusion]) for fusion in FUSIONS for who in ("ours", "paper")]
        mark = " [a]" if row["row"] in (7, 8) else ""
        fps = DASH if row["fps"] is None else f"{row['fps']:g}"
        body.append(
            [
                f"{row['row']}{mark}",
                fps,
                str(row["patches"]),
                signals.get(row["signal"], row["signal"]),
                row["sampling"],
                *figures,
            ]
        )
    lead = f"Video accuracy in per cent: ours on {description.name}, the paper's on UCF-101"
    first = Table(
        "Table 2: settings",
        head,
        body,
        f"{lead}; split {description.splits[0]}, seed {description.seed}.",
        [f"[a] {ORDER_NOTE}", ALL_NOTE],
    )
    splits, crops = description.splits, standard_crops(description)
    head = ["net"]
    for stream in STREAMS:
        head += [stream, "paper"]
    body = [
        [
            row["name"] + (" [b]" if row["net"] == "cnn" else ""),
            *(cell(row[who][stream]) for stream in STREAMS for who in ("ours", "paper")),
            *(cell(row["splits"]["image"][split]) for split in splits),
        ]
        for row in rows_3
    ]
    notes = [
        f"[b] {CNN_NOTE}",
        *([FLOW_NOTE.format(description.flow.method)] if description.flow else []),
        f"{DASH}: not there.",
    ]
    lead += (
        f"; means over the splits, then each split's of the image stream; high signal, {crops} "
        f"crop{'s' * (crops > 1)}, log-mean, {description.fps[-1]:g} fps, seed {description.seed}."
    )
    return [first, Table("Table 3: all splits", [*head, *(f"split {split}" for split in splits)], body, lead, notes)]


def markdown(table: Table) -> str:
    """Return a table as Markdown, for people."""
    lines = [
        f"## {table.title}",
        "",
        *([table.lead, ""] if table.lead else []),
        _line(table.head),
        _line("---:" if number else "---" for number in numeric(table.rows)),
        *map(_line, table.rows),
        "",
        *(f"{note}  " for note in table.notes),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _line(cells):
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

"""The report page: well-formed, whole in itself, and the numbers in it are NumPy's."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import cv2
import frames
import in_process
import made_scores
import numpy as np
import pytest
from test_tables import FUSE

from rcnn.experiments import charts, report
from rcnn.experiments import tables as results
from rcnn.experiments.tables import Table
from rcnn.files import InputError, write_text
from rcnn.training import log as training

CLASSES = ["<b>&\"'", "_$a$", "Café \x07"]
SHOWN = ["<b>&\"'", "_$a$", "Café \N{REPLACEMENT CHARACTER}"]
VIDEOS = {
    "v_A_g01_c01": (0, 3),
    "v_A_g01_c02": (0, 2),
    "v_B_g01_c01": (1, 4),
    "v_B_g01_c02": (1, 1),
    "v_C_g01_c01": (2, 12),
    "v_C_g01_c02": (2, 2),
}
SVG = "{http://www.w3.org/2000/svg}"
VOID = {"source", "meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """HTML as a tree; a tag that is not closed where it should be, or an attribute given twice, fails the test."""

    def __init__(self, text):
        super().__init__()
        self.builder, self.open = ElementTree.TreeBuilder(), []
        self.feed(text)
        self.close()
        assert not self.open
        self.root = self.builder.close()

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes)
        self.builder.start(tag, {name: value or "" for name, value in attributes})
        self.open.append(tag)
        if tag in VOID:
            self.handle_endtag(tag)

    def handle_startendtag(self, tag, attributes):
        assert {"svg", "span"} & set(self.open) or tag in VOID
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.builder.end(tag)

    def handle_data(self, data):
        if self.open:
            self.builder.data(data)

    def section(self, heading):
        """Return the part of the page with a heading."""
        return next(part for part in self.root.iter("section") if part.find("h2").text == heading)


def text_of(element):
    return " ".join("".join(element.itertext()).split())


def tables(part):
    """Return every table of a part as lists of cells' text."""
    return [[[text_of(cell) for cell in row] for row in table.iter("tr")] for table in part.iter("table")]


def scored(path, seed=0, order=None, classes=CLASSES, videos=VIDEOS, signals=("low", "medium", "high"), crops=5):
    """Write a score file of random scores; return them, {name: float32 frames x crops x signals x classes}."""
    generator = np.random.default_rng(seed)
    values = {
        name: generator.dirichlet(np.ones(len(classes)), (count, crops, len(signals))).astype(np.float32)
        for name, (_, count) in videos.items()
    }
    listed = [(name, videos[name][0], values[name]) for name in order or videos]
    made_scores.write(path, listed, crops, list(signals), classes, **{"made <by>": "x", "mean": [1.5, 2.0]})
    return values


def predicted(values, signal=2, crops=5, fusion="log-mean"):
    """Return {name: class} by NumPy, in float64; signal: its place, or a slice of them."""
    return {name: int(FUSE[fusion](frame_scores(scores, signal, crops)).argmax()) for name, scores in values.items()}


def frame_scores(scores, signal=2, crops=5):
    scores = scores.astype(float)[:, :crops].mean(axis=1)[:, signal]
    return scores if scores.ndim == 2 else scores.mean(axis=1)


def percent(share):
    return f"{100 * share:.1f} %"


def right(values, **options):
    return percent(np.mean([guess == VIDEOS[name][0] for name, guess in predicted(values, **options).items()]))


def pairs(values):
    """Return the share of frames, without first ones where there are more, that are right by themselves, as shown."""
    guesses = [
        frame_scores(scores)[min(1, len(scores) - 1) :].argmax(1) == VIDEOS[name][0] for name, scores in values.items()
    ]
    return percent(np.concatenate(guesses).mean())


def logged(path, count=30, step=4, test=True):
    """Write a training log; return the losses, one a record."""
    losses = 5 - 3 * np.arange(count) / count + np.sin(np.arange(count)) / 9
    train = {"phase": "train", "average_loss": 1, "outputs": {}, "learning_rate": 0.1}
    records = [
        {**train, "iteration": step * place, "loss": loss, "raw": loss, "seconds": 130.0 * place}
        for place, loss in enumerate(losses)
    ]
    if test:
        outputs = {"high/accuracy": 0.75, "high/loss": 1.0}
        records.append({"phase": "test", "iteration": step * count, "net": 0, "seconds": 7261.0, "outputs": outputs})
    Path(path).write_text("".join(map(training.line, records)))
    return losses


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def all_of_it(tmp_path_factory):
    """Two score files, a log and frames; (their folder, page of all of them, scores of both nets, losses)."""
    folder = tmp_path_factory.mktemp("report")
    one, two = scored(folder / "one.h5", 4), scored(folder / "two.h5", 2, order=list(reversed(VIDEOS)))
    losses = logged(folder / "log.jsonl")
    frames.write(folder / "f.lmdb", VIDEOS, CLASSES)
    page = report.page(
        "A & <B>",
        [Table("T<1>", ["k", "n"], [["<i>x</i>", "1.5"]])],
        {"stage <2>": folder / "log.jsonl"},
        {"RCNN-r": folder / "one.h5", "<CNN>": folder / "two.h5"},
        folder / "f.lmdb",
    )
    return folder, page, one, two, losses


@pytest.fixture
def made(all_of_it, monkeypatch):
    """What `all_of_it` made, but its folder, which is the current one."""
    monkeypatch.chdir(all_of_it[0])
    return all_of_it[1:]


def test_it_is_whole_in_itself(made):
    page = Page(made[0])
    assert not re.search("https?:|@import|<script|<link|<i>|<b>|<cnn>", made[0], re.IGNORECASE)
    ids = [element.get("id") for element in page.root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in page.root.iter():
        assert not {"onload", "onclick", "action", "poster", "data"} & set(element.attrib)
        for place in re.findall(r"url\(([^)]*)\)", " ".join(element.attrib.values())):
            assert place[0] == "#" and place[1:] in ids
        if "href" in element.attrib:
            assert element.get("href")[0] == "#" and element.get("href")[1:] in ids
        if "src" in element.attrib:
            assert re.match("data:image/(jpeg|svg[+]xml);base64,", element.get("src")) and element.get("alt")
        if "srcset" in element.attrib:
            assert re.fullmatch("data:image/svg[+]xml;base64,[A-Za-z0-9+/=]+", element.get("srcset"))
    policy = [meta.get("content") for meta in page.root.iter("meta") if "http-equiv" in meta.attrib]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_it_can_be_read_by_all(made):
    """Landmarks, one heading of the first rank, heads of tables, names of pictures, both themes and a phone's width."""
    page = Page(made[0])
    assert page.root.get("lang") == "en" and text_of(page.root.find("head/title")) == "A & <B>"
    assert [sum(1 for _ in page.root.iter(tag)) for tag in ("header", "nav", "main", "h1")] == [1, 1, 1, 1]
    assert all(head.get("scope") in ("col", "row") for head in page.root.iter("th"))
    assert all(next(row.iter("th")) is not None for table in page.root.iter("table") for row in table.iter("tr"))
    (matrix,) = [svg for svg in page.root.iter("svg") if svg.get("aria-hidden") != "true"]
    assert matrix.get("role") == "img" and len(matrix.get("aria-label")) > 20
    drawn = list(page.root.iter("picture"))
    assert len(drawn) == 7 and all(len(chart.find("img").get("alt")) > 20 for chart in drawn)
    assert "prefers-color-scheme: dark" in made[0] and "width=device-width" in made[0]
    links = [text_of(link) for link in page.root.find("body/nav").iter("a")]
    assert links == [text_of(part.find("h2")) for part in page.root.iter("section")]


def test_accuracy_is_numpys(made):
    page, (_, *nets, _) = Page(made[0]), made
    assert f"RCNN-r classifies {right(nets[0])} rightly" in text_of(page.root.find("body/header"))
    best, by_signal = tables(page.section("Accuracy"))
    assert [row[:2] for row in best[1:]] == [["RCNN-r", right(nets[0])], ["<CNN>", right(nets[1])]]
    assert best[0][3] == "in the top 3" and [row[3] for row in best[1:]] == ["100.0 %"] * 2
    assert best[0][4] == "by the pair" and [row[4] for row in best[1:]] == [pairs(values) for values in nets]
    wanted = [
        [name, kind, *(right(values, signal=place, fusion=how) for how in ("log-mean", "mean", "max"))]
        for name, values in zip(("RCNN-r", "<CNN>"), nets)
        for kind, place in (("low", 0), ("medium", 1), ("high", 2), ("all three", slice(None)))
    ]
    assert by_signal[1:] == wanted and len({row[2] for row in wanted}) > 2


@pytest.mark.parametrize(
    "signal, place, crops, fusion",
    [("high", 2, None, "log-mean"), ("low", 0, 1, "max"), ("all", slice(None), 1, "mean")],
)
def test_confusions_and_classes_are_numpys(made, signal, place, crops, fusion):
    text = report.page("t", scores={"one": "one.h5"}, signal=signal, crops=crops, fusion=fusion, examples=0)
    page, guesses = Page(text), predicted(made[1], place, crops or 5, fusion)
    matrix = np.zeros((3, 3), int)
    for name, guess in guesses.items():
        matrix[VIDEOS[name][0], guess] += 1
    cells = {}
    for rect in page.section("Confusion matrix").iter("rect"):
        spot = int(rect.get("y")) // int(rect.get("height")), int(rect.get("x")) // int(rect.get("width"))
        cells[spot] = text_of(rect), float(rect.get("fill-opacity"))
    assert cells == {
        (row, column): (f"{SHOWN[row]} taken for {SHOWN[column]}: {count} of 2 videos", round(0.15 + 0.25 * count, 2))
        for (row, column), count in np.ndenumerate(matrix)
        if count
    }
    wrong = sorted((-count, row, column) for (row, column), count in np.ndenumerate(matrix) if count and row != column)
    confused = tables(page.section("Most confused classes"))[0][1:]
    assert confused == [[SHOWN[row], SHOWN[column], str(-count), percent(-count / 2)] for count, row, column in wrong]
    shares = matrix.diagonal() / 2
    order = sorted(range(3), key=lambda label: (-shares[label], label))
    assert tables(page.section("Accuracy of each class"))[0] == [
        ["class", "videos", "one"],
        *([SHOWN[label], "2", percent(shares[label])] for label in order),
    ]
    bars = re.findall(r'style="width: ([\d.]+)%"', text)
    assert [float(bar) for bar in bars] == [100 * shares[label] for label in order]


def test_two_nets_are_compared_class_by_class(made):
    _, one, two, _ = made
    head, *rows = tables(Page(made[0]).section("Accuracy of each class"))[0]
    assert head == ["class", "videos", "RCNN-r", "<CNN>"]
    for row in rows:
        label = SHOWN.index(row[0])
        shares = [
            percent(np.mean([guess == label for name, guess in predicted(values).items() if VIDEOS[name][0] == label]))
            for values in (one, two)
        ]
        assert row[1:] == ["2", *shares]


def test_training_is_the_logs(made):
    part, losses = Page(made[0]).section("Training"), made[3]
    averaged = [np.mean(losses[max(0, place - 9) : place + 1]) for place in range(30)]
    assert tables(part)[0] == [
        ["training", "updates", "first loss", "last loss", "time", "high/accuracy"],
        ["stage <2>", "120", f"{losses[0]:.3f}", f"{averaged[-1]:.3f}", "2:01:01 h", "75.0 %"],
    ]
    assert text_of(next(part.iter("li"))) == "stage <2>"
    for theme, svg in drawings(part.find("figure/picture")).items():
        for width, wanted in (("1.8", averaged), ("0.6", losses)):
            path = next(
                path
                for path in svg.iter(f"{SVG}path")
                if f"stroke-width: {width}" in path.get("style", "")
                and f"stroke: {theme.series[0]}" in path.get("style")
            )
            across, down = np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.get("d")), float).T
            values = np.interp(across, np.linspace(across[0], across[-1], 30), wanted)
            slope, start = np.polyfit(values, down, 1)
            assert slope < 0 and np.abs(slope * values + start - down).max() < 0.6


def drawings(picture):
    """Return {charts.LIGHT or DARK: root of its SVG} of a chart of the page."""
    dark, light = picture.find("source"), picture.find("img")
    assert dark.get("media") == "(prefers-color-scheme: dark)"
    return {
        theme: ElementTree.fromstring(base64.b64decode(uri.split(",")[1]))
        for theme, uri in ((charts.LIGHT, light.get("src")), (charts.DARK, dark.get("srcset")))
    }


def test_charts_have_the_colours_of_their_page(made):
    """All that is drawn is in the colours of one theme, which differ from the other's, but for what is see-through."""
    css = made[0][: made[0].index("</style>")]
    for picture in Page(made[0]).root.iter("picture"):
        for theme, svg in drawings(picture).items():
            styles = " ".join(element.get("style", "") for element in svg.iter() if element.tag != f"{SVG}g")
            colours = set(re.findall(r"#[0-9a-f]{6}", styles)) - {"#000000"}
            assert colours <= {theme.ink, *theme.series} and theme.ink in colours
            assert "#000000" not in " ".join(text.get("style") for text in svg.iter(f"{SVG}text"))
            assert all(colour in css for colour in theme.series) and theme.ink in css


def test_videos_are_shown_with_their_frames_and_scores(made):
    _, one, _, _ = made
    guesses, names = predicted(one), list(VIDEOS)
    shown = list(Page(made[0]).section("Videos and their scores over time").iter("article"))
    verdicts = {text_of(video.find("h3")): text_of(video.find("p")) for video in shown}
    assert 1 < len(verdicts) <= 6
    hits = [name for name in names if guesses[name] == VIDEOS[name][0]]
    assert {name for name, verdict in verdicts.items() if "✓ right" in verdict} == set(hits) and 1 <= len(hits) <= 3
    for video in shown:
        name = text_of(video.find("h3"))
        label, count = VIDEOS[name]
        is_right = guesses[name] == label
        assert verdicts[name] == (
            f"{'✓ right' if is_right else '✗ wrong'}: is {SHOWN[label]}, taken for {SHOWN[guesses[name]]}"
        )
        values = frame_scores(one[name])
        at = sorted({round(place) for place in np.linspace(0, count - 1, min(count, 8))})
        head, *rows = tables(video)[0]
        classes = [SHOWN.index(title.replace(" (true class)", "")) for title in head[1:]]
        assert classes[0] == label and head[1].endswith(" (true class)") and (is_right or classes[1] == guesses[name])
        assert [text_of(item) for item in list(video.iter("ul"))[-1]] == head[1:]
        assert rows == [[f"{t / 5:.2f}", *(f"{values[t, number]:.3f}" for number in classes)] for t in at]
        pictures = list(video.find("ul").iter("img"))
        assert [text_of(item) for item in video.find("ul")] == [f"{t / 5:.1f} s: {values[t, label]:.2f}" for t in at]
        for picture, t in zip(pictures, at):
            image = cv2.imdecode(np.frombuffer(base64.b64decode(picture.get("src").split(",")[1]), np.uint8), 1)
            wanted = cv2.resize(frames.image(names.index(name), t), (112, 112), interpolation=cv2.INTER_AREA)
            assert np.abs(image[..., 2] - wanted[..., 2].astype(float)).mean() < 3


def test_more_examples_stand_apart_in_the_list(folder):
    """Of ten right ones and none wrong, three: the first, one of the middle, the last."""
    values = np.tile(np.float32([0.9, 0.1]), (2, 1, 1, 1))
    made_scores.write("s.h5", [(f"v_A_g{index:02d}_c01", 0, values) for index in range(10)], 1, ["high"], ["A", "B"])
    page = Page(report.page("t", scores={"a": "s.h5"}))
    shown = [text_of(video.find("h3")) for video in page.root.iter("article")]
    assert shown == ["v_A_g00_c01", "v_A_g04_c01", "v_A_g09_c01"] and not list(page.root.iter("li/img"))
    assert "No video is classified wrongly." in text_of(page.section("Most confused classes"))
    assert tables(page.section("Accuracy of each class"))[0][2][1:] == ["0", "no videos"]
    assert not list(Page(report.page("t", scores={"a": "s.h5"}, examples=0)).root.iter("article"))


def test_many_classes_and_videos_stay_readable(folder):
    classes = [f"Class{index}" + "x" * (index % 40) for index in range(101)]
    videos = {f"v_{index}": (index % 101, 1) for index in range(1515)}
    values = scored("s.h5", 1, None, classes, videos, ["high"], 1)
    logged("log.jsonl", count=10000, step=1, test=False)
    text = report.page("t", logs={"a": "log.jsonl"}, scores={"a": "s.h5"}, examples=1)
    page = Page(text)
    assert len(text) < 2e6 and len(page.section("Training").find("figure/picture")) == 2
    guesses = {name: int(scores[0, 0, 0].argmax()) for name, scores in values.items()}
    assert len(list(page.section("Confusion matrix").iter("rect"))) == len(
        {(videos[name][0], guess) for name, guess in guesses.items()}
    )
    lowest, every = tables(page.section("Accuracy of each class"))
    assert len(lowest) == 11 and len(every) == 102
    shares = [float(row[2].split()[0]) for row in every[1:]]
    assert shares == sorted(shares, reverse=True) and [row[2] for row in lowest[1:]] == [
        row[2] for row in every[:-11:-1]
    ]


def test_logs_or_tables_alone(folder):
    logged("log.jsonl", count=1, test=False)
    page = Page(report.page("t", logs={"a": "log.jsonl", "b": "log.jsonl"}))
    assert [text_of(part.find("h2")) for part in page.root.iter("section")] == ["Training"]
    for svg in drawings(page.section("Training").find("figure/picture")).values():
        lines = [line for line in svg.iter(f"{SVG}g") if line.get("id", "").startswith("line2d")]
        assert sum(len(list(line.iter(f"{SVG}use"))) for line in lines) >= 2  # a curve of one point is seen
    page = Page(
        report.page(
            "t",
            [Table("T", ["a", "b"], [["1", "x"], ["–", ""]], "Before.", ["[a] <u>"])],
            problems=["split01.cnn: it fails <here>"],
        )
    )
    first, part = page.section("Not everything could be made"), page.section("T")
    assert [text_of(line) for line in first.iter("li")] == ["split01.cnn: it fails <here>"]
    assert tables(part) == [[["a", "b"], ["1", "x"], ["–", ""]]]
    assert [text_of(paragraph) for paragraph in part.iter("p")] == ["Before.", "[a] <u>"]
    assert [cell.get("class") for cell in part.iter("th")] == ["number", None, "number", "number"]


def test_scores_of_a_probe_are_shown_with_their_own_frames(made):
    """The probe leaves out the first frame, so its first score is that of the second."""
    generator = np.random.default_rng(1)
    videos = [("v_C_g01_c01", 2, generator.dirichlet(np.ones(3), (10, 1, 1)).astype(np.float32))]
    listed = [("v_C_g01_c01", 2, np.arange(1, 11) / 5)]
    with made_scores.writing("probe.h5", listed, 1, ["high"], CLASSES, {"previous": "same"}) as writer:
        made_scores.fill(writer, videos)
    page = Page(report.page("t", scores={"a": "probe.h5"}, frames="f.lmdb"))
    (strip,) = [part for part in page.root.iter("ul") if part.get("class") == "strip"]
    pictures = [
        cv2.imdecode(np.frombuffer(base64.b64decode(image.get("src").split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
        for image in strip.iter("img")
    ]
    shown = [round(picture[..., 2].mean() - 16 * 4) for picture in pictures]  # frames.image: 16 x video + t
    times = np.unique(np.linspace(0, 9, report.SHOWN_FRAMES).round().astype(int))
    assert shown == [t + 1 for t in times]


def prepare():
    Path("empty.jsonl").touch()
    scored("low.h5", signals=["low"])
    scored("other.h5", videos={**VIDEOS, "v_D_g01_c01": (0, 1)})
    frames.write(Path("no.lmdb"), {"v_X": (0, 1)}, CLASSES)
    frames.write(Path("less.lmdb"), {name: (label, 2) for name, (label, _) in VIDEOS.items()}, CLASSES)


ONE = {"a": "one.h5"}


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "nothing to show"),
        ({"frames": "f.lmdb", "logs": {"a": "log.jsonl"}}, "give scores too"),
        ({"scores": {"a": "gone.h5"}}, "scores: no such file: gone.h5"),
        ({"scores": {"a": "log.jsonl"}}, "not an HDF5 file"),
        ({"scores": dict.fromkeys("abc", "one.h5")}, "3 score files"),
        ({"scores": ONE, "crops": 10}, "has 5 crops a frame, 10 are asked for"),
        ({"scores": {"a": "low.h5"}}, "low.h5 has no signal high"),
        ({"scores": {**ONE, "b": "other.h5"}}, "v_D_g01_c01 is in other.h5, but not in one.h5"),
        ({"scores": ONE, "frames": "gone.lmdb"}, "no such LMDB: gone.lmdb"),
        ({"scores": ONE, "frames": "no.lmdb"}, "no.lmdb has no video v_"),
        ({"scores": ONE, "frames": "less.lmdb"}, "less.lmdb has other frames of video v_"),
        ({"logs": {"a": "gone.jsonl"}}, "training log: no such file: gone.jsonl"),
        ({"logs": {"a": "empty.jsonl"}}, "empty.jsonl has no training record"),
    ],
)
def test_bad_input_is_one_line(made, options, message):
    if not Path("less.lmdb").exists():
        prepare()
    with pytest.raises(InputError, match=message) as error:
        report.page("t", **options)
    assert "\n" not in str(error.value)


def test_the_program(made, capsys):
    write_text("t.json", results.text([Table("T", ["a"], [["7"]])], ["no pairs"]))
    Path("a=b.jsonl").write_bytes(Path("log.jsonl").read_bytes())
    words = "--scores RCNN-r=one.h5 --scores2 two.h5 --logs log.jsonl stage=2=log.jsonl a=b.jsonl --frames f.lmdb"
    more = "--tables t.json --title <T> --crops 1 --examples 1 --out new/page.html"
    assert in_process.run("report", *words.split(), *more.split()) == 0
    out, error = capsys.readouterr()
    assert error == "" and out.startswith("report: new/page.html, ")
    page = Page(Path("new/page.html").read_text(encoding="utf-8"))
    assert text_of(page.section("Not everything could be made").find("ul")) == "no pairs"
    assert text_of(page.root.find("body/header/h1")) == "<T>" and tables(page.section("T")) == [[["a"], ["7"]]]
    assert [row[0] for row in tables(page.section("Training"))[0]] == ["training", "log", "stage=2", "a=b"]
    assert [row[:2] for row in tables(page.section("Accuracy"))[0][1:]] == [
        ["RCNN-r", right(made[1], crops=1)],
        ["two", right(made[2], crops=1)],
    ]
    shown = {text_of(video.find("h3")): tables(video)[0][1] for video in page.root.iter("article")}
    assert len(shown) == 2
    for name, row in shown.items():
        assert row[1] == f"{frame_scores(made[1][name], crops=1)[0, VIDEOS[name][0]]:.3f}"


@pytest.mark.parametrize(
    "words, message",
    [
        ("--scores2 one.h5", "--scores2 is compared with --scores"),
        ("", "nothing to show"),
        ("--scores one.h5 --scores2 x/one.h5", "are both called one; give one another name, as NAME=FILE"),
        ("--scores one.h5 --out one.h5", "--out: one.h5 is what --scores reads; give another --out"),
        ("--logs log.jsonl --out f.lmdb", "cannot write f.lmdb: Is a directory"),
        ("--scores one.h5 --examples -1", "--examples cannot be less than 0"),
    ],
)
def test_the_program_says_in_one_line_what_is_wrong(made, words, message, capsys):
    before = Path("one.h5").read_bytes()
    assert in_process.run("report", "--out", "page.html", *words.split()) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not Path("page.html").exists() and Path("one.h5").read_bytes() == before

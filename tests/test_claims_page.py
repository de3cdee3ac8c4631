"""rcnn/experiments/claims_page.py: each figure is one of the results, tables are whole, pictures are there."""

import re
from dataclasses import asdict

import cv2
import numpy as np
import pytest

from rcnn.experiments import claim_figures, claims, claims_page

SHARES = ("crop", "conv1")


def results(seeds):
    """Return what tools/claims.py would write, of random figures."""
    generator = np.random.default_rng(seeds)
    names = sorted(
        {name for claim in claims.CLAIMS for row in claim.comparisons for name in (row.better, row.worse) if name}
        | {claim_figures.name("RCNN-s", 5, kind=kind) for kind in claim_figures.KINDS_SHOWN}
    )
    figures = [{name: float(generator.uniform(0.1, 0.9)) for name in names} for _ in range(seeds)]
    judged = [
        {**asdict(claim), "comparisons": [claims.judge(row, figures) for row in claim.comparisons]}
        for claim in claims.CLAIMS
    ]
    return {
        "description": {"name": "a set"},
        "seeds": list(range(1, seeds + 1)),
        "commit": "abc123",
        "videos": 720,
        "classes": list("ABCD"),
        "split": 1,
        "command": "python tools/claims.py x.json",
        "time": "1:02:03 h",
        "claims": judged,
        "figures": figures,
        "shown": names,
        "steps": ["train.py --solver 'a b'", "evaluate.py"],
    }


def write(folder, content):
    """Write the page of results with made curves and films; return (its text, the paths)."""
    updates = np.arange(50)
    curves = {"RCNN-r": (updates, 3 - updates / 50, 3 - updates / 50)}
    films = {name: [np.full((8, 8, 3), 60 * number, np.uint8) for number in range(3)] for name in "ABCD"}
    paths = claims_page.write(folder / "new" / "page.md", content, curves, films)
    return paths[0].read_text(encoding="utf-8"), paths


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    content = results(3)
    return content, *write(tmp_path_factory.mktemp("page"), content)


def tables(text):
    """Return the tables of Markdown as lists of rows of cells, heads first, without the lines below them."""
    result = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, line, *rows = [[cell.strip() for cell in row.strip()[1:-1].split("|")] for row in block.splitlines()]
        assert len(line) == len(head) and all(re.fullmatch("-+:?", cell) for cell in line)
        assert all(len(row) == len(head) for row in rows), block
        result.append([head, *rows])
    return result


def shown(name, value, sign=""):
    """Return a figure as the page has it: shares in points with one place, losses with three."""
    share = any(word in name for word in SHARES)
    return format(100 * value if share else value, f"{sign}.{1 if share else 3}f")


def test_the_links_lead_somewhere(page):
    _, text, (path, *_) = page
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert any(link.endswith("data/README.md") for link in links)
    assert all((path.parent / link).is_file() for link in links)


def test_each_claim_has_its_rows(page):
    content, text, _ = page
    result = tables(text)
    assert len(result) == len(content["claims"]) + 1
    for claim, (_, *rows) in zip(content["claims"], result):
        assert f"\n## {claim['title']}\n" in text and f"\n{claim['source']}." in text and claim["note"] in text
        assert len(rows) == len(claim["comparisons"])
        for row, cells in zip(claim["comparisons"], rows):
            names = [name for name in (row["better"], row["worse"]) if name]
            means = [np.mean([seed[name] for seed in content["figures"]]) for name in names]
            said = " over ".join(f"{name} {shown(name, mean)}" for name, mean in zip(names, means))
            each = ", ".join(shown(names[0], value, "+") for value in row["differences"])
            interval = " to ".join(shown(names[0], row[end], "+") for end in ("low", "high"))
            assert cells == [row["text"], said, each, shown(names[0], row["mean"], "+"), interval, row["verdict"]]


def test_each_figure_of_each_seed_is_there(page):
    content, text, _ = page
    head, *rows = tables(text)[-1]
    assert head == ["net, how tested", "seed 1", "seed 2", "seed 3", "mean", "smallest to largest"]
    assert [row[0] for row in rows] == content["shown"]
    for name, *cells in rows:
        values = [seed[name] for seed in content["figures"]]
        assert cells == [
            *(shown(name, value) for value in values),
            shown(name, sum(values) / 3),
            f"{shown(name, min(values))} to {shown(name, max(values))}",
        ]


def test_the_counts_the_lead_and_how_it_was_made(page):
    content, text, _ = page
    verdicts = [row["verdict"] for claim in content["claims"] for row in claim["comparisons"]]
    one, two, three = (verdicts.count(verdict) for verdict in ("holds", "the opposite holds", "not decided"))
    said = " ".join(text.split())
    assert f"Of {len(verdicts)} comparisons {one} hold, for {two} the opposite holds, {three} are not decided." in said
    lead = ", ".join(f"{value:.1f}" for value in claims.lead(content["figures"])[0])
    assert f"CNN by {lead} points in the 3 seeds (the aim of at least 40 in each is **not met**)" in said
    assert "at 95 % to either side (Student's t, 2 degrees of freedom)" in said
    assert "`python tools/claims.py x.json` at commit abc123" in said and "seeds 1, 2, 3, none left out" in said
    assert "720 videos a seed of 4 classes" in said and "1:02:03 h" in said
    assert "\n\n    python tools/train.py --solver 'a b'\n    python tools/evaluate.py\n" in text
    assert not re.search(r"\b(nan|NaN|None)\b|\{\{|\{%", text)


def test_the_pictures_are_there(page):
    _, text, paths = page
    linked = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert sorted(linked) == sorted(path.name for path in paths[1:]) and len(linked) == 4
    for path in paths[1:]:
        assert path.parent == paths[0].parent and cv2.imread(str(path)).std() > 1
    sections = {block.split("\n")[0]: re.findall(r"\((page_\w+)\.png\)", block) for block in text.split("\n## ")}
    assert sections[claims.LOSSES] == ["page_loss"] and sections[claims.NETS] == ["page_kinds"]


def test_one_seed_has_no_interval(tmp_path):
    content = results(1)
    text, _ = write(tmp_path, content)
    assert "One seed has no interval, and decides nothing." in text and "Student" not in text
    rows = [row for table in tables(text)[:-1] for row in table[1:]]
    assert {tuple(row[-2:]) for row in rows} == {("one seed", "not decided")}
    assert not re.search(r"\b(nan|NaN|None)\b", text)


def test_an_aim_that_is_met(tmp_path):
    content = results(3)
    for seed in content["figures"]:
        seed[claim_figures.name("RCNN-r", 5, kind="motion")] = seed[claim_figures.name("CNN", 5, kind="motion")] + 0.41
    text = " ".join(write(tmp_path, content)[0].split())
    assert "by 41.0, 41.0, 41.0 points in the 3 seeds (the aim of at least 40 in each is met)" in text

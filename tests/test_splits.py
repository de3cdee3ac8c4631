"""rcnn/data/splits.py and tools/make_lists.py: groups that are left out or held out, and what cannot be."""

import in_process
import pytest
from runs import options, run

from rcnn.data import splits
from rcnn.data.lists import read_classes, read_list
from rcnn.files import InputError

PERSON, GROUP = "^([a-z]+)_", "_g([0-9]+)_"
PEOPLE = ("ann", "bea", "cem")


@pytest.fixture
def people(tmp_path):
    """A folder of two classes with a video of each person."""
    for action in ("walk", "run"):
        (tmp_path / "videos" / action).mkdir(parents=True)
        for person in PEOPLE:
            (tmp_path / "videos" / action / f"{person}_{action}.avi").touch()
    (tmp_path / "videos/walk/.hidden.avi").touch()
    (tmp_path / "videos/notes.txt").touch()
    return tmp_path / "videos"


@pytest.fixture
def listed(tmp_path):
    """A folder of official lists: groups 1 and 2 are tested on, 3, 4 and 10 trained on."""
    folder = tmp_path / "official"
    folder.mkdir()
    (folder / "classInd.txt").write_text("1 A\r\n2 B\r\n")
    for part, groups, numbers in (("train", (3, 4, 10), True), ("test", (1, 2), False)):
        lines = [
            f"{kind}/v_{kind}_g{group:02d}_c01.avi{f' {number}' if numbers else ''}\r\n"
            for number, kind in enumerate("AB", 1)
            for group in groups
        ]
        (folder / f"{part}list01.txt").write_text("".join(lines), newline="")
    return folder


def groups(videos, pattern=GROUP):
    return sorted(set(splits.group_names(videos, pattern).values()))


def test_one_group_left_out_at_a_time(people):
    classes, made = splits.read(splits.Sources(people, group=PERSON))
    assert classes == ["run", "walk"] and list(made) == [1, 2, 3]
    for number, person in enumerate(PEOPLE, 1):
        train, test = made[number]
        assert {video.file: video.label for video in test} == {f"run/{person}_run.avi": 0, f"walk/{person}_walk.avi": 1}
        assert groups(train, PERSON) == sorted(set(PEOPLE) - {person}) and len(train) == 4
    assert splits.read(splits.Sources(people, group=PERSON), [2]) == (classes, {2: made[2]})


@pytest.mark.parametrize(
    "how, held", [({"hold_out_next": 1}, [["bea"], ["cem"], ["ann"]]), ({"hold_out": ["cem"]}, [["cem"], ["cem"]])]
)
def test_a_group_held_out_of_each_fold(people, how, held):
    """Those tested on are on neither side."""
    _, made = splits.read(splits.Sources(people, group=PERSON, **how), range(1, len(held) + 1))
    for number, names in enumerate(held, 1):
        assert groups(made[number].test, PERSON) == names
        assert groups(made[number].train, PERSON) == sorted(set(PEOPLE) - {PEOPLE[number - 1], *names})


@pytest.mark.parametrize(
    "how, train, test",
    [
        ({"hold_out": ["10"]}, ["03", "04"], ["10"]),
        ({"hold_out": ["10", "03"]}, ["04"], ["03", "10"]),
        ({"hold_out_next": 2}, ["10"], ["03", "04"]),
    ],
)
def test_groups_held_out_of_a_training_list(listed, how, train, test):
    _, made = splits.read(splits.Sources(lists=listed, group=GROUP, **how))
    assert (groups(made[1].train), groups(made[1].test)) == (train, test)


def test_written_lists_are_read_as_they_were(listed, tmp_path):
    sources = splits.Sources(lists=listed, group=GROUP, hold_out=["04"])
    classes, made = splits.read(sources)
    for _ in range(2):
        splits.write(tmp_path / "own", classes, made)
    assert splits.read(splits.Sources(lists=tmp_path / "own")) == (classes, made)
    with pytest.raises(InputError, match=r"own/trainlist01.txt is there and holds something else"):
        splits.write(tmp_path / "own", classes, splits.read(sources._replace(hold_out=["03"]))[1])
    assert splits.read(splits.Sources(lists=tmp_path / "own")) == (classes, made)


@pytest.mark.parametrize(
    "change, numbers, message",
    [
        ({"group": "("}, None, r"^group: \( is not a regular expression: "),
        ({"group": "g[0-9]+"}, None, r"^group: g\[0-9\]\+ has no \(...\)"),
        ({"group": "_x([0-9]+)"}, None, "^group: .* finds no group in the name of A/v_A_g03_c01.avi"),
        (
            {"hold_out": ["05"]},
            None,
            "^split 1: group 05 cannot be held out, as the groups to train on are 03, 04, 10$",
        ),
        ({"hold_out": ["01"]}, None, "^split 1: group 01 cannot be held out"),
        ({"hold_out": ["03", "04", "10"]}, None, "^split 1: holding out 3 of 3 groups leaves none to train on"),
        ({"hold_out": [], "hold_out_next": 3}, None, "leaves none to train on"),
        ({"lists": "empty"}, None, "^lists: empty has no trainlistNN.txt"),
        ({"lists": "none"}, None, "^lists: no such folder: none"),
        ({}, [2], "^video list: no such file: .*trainlist02.txt"),
        ({"classes": "none.txt"}, None, "^class list: no such file: none.txt"),
    ],
)
def test_what_cannot_be_held_out(listed, tmp_path, monkeypatch, change, numbers, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/classInd.txt").write_text("1 A\n")
    sources = splits.Sources(lists=listed, group=GROUP, hold_out=["03"])._replace(**change)
    with pytest.raises(InputError, match=message):
        splits.read(sources, numbers)


def test_lists_that_share_a_video(listed):
    (listed / "testlist01.txt").write_text("A/v_A_g03_c01.avi\n")
    with pytest.raises(InputError, match="^split 1: 1 videos are in .*trainlist01.txt and in .*, one is v_A_g03_c01"):
        splits.read(splits.Sources(lists=listed))


@pytest.mark.parametrize(
    "file, numbers, message",
    [
        (None, [1, 4], "^splits: there is no split 4, as there are 3 groups"),
        ("run/readme.txt", None, "finds no group in the name of run/readme.txt"),
        ("run/ann_walk.avi", None, "walk/ann_walk.avi has the name of run/ann_walk.avi"),
    ],
)
def test_folders_without_folds(people, file, numbers, message):
    if file:
        (people / file).touch()
    with pytest.raises(InputError, match=message):
        splits.read(splits.Sources(people, group=PERSON), numbers)


def test_a_folder_of_one_group_or_none(people, tmp_path):
    with pytest.raises(InputError, match="^group: all videos of .* are of one group, v; none can be left out"):
        (tmp_path / "one/A").mkdir(parents=True)
        (tmp_path / "one/A/v_1.avi").touch()
        splits.read(splits.Sources(tmp_path / "one", group="^(v)_"))
    with pytest.raises(InputError, match="^videos: .* has no class folders with videos"):
        splits.read(splits.Sources(people / "run", group=PERSON))


def test_the_program(people, listed, tmp_path, capsys):
    words = options(videos=people, group=PERSON, out=tmp_path / "own")
    assert run("make_lists", *words)[:2] == (
        0,
        "".join(f"split {number}: 4 videos to train on, 2 to test on\n" for number in (1, 2, 3))
        + f"lists of 2 classes: {tmp_path / 'own'}\n",
    )
    classes = read_classes(tmp_path / "own/classInd.txt")
    assert [video.name for video in read_list(tmp_path / "own/testlist02.txt", classes)] == ["bea_run", "bea_walk"]
    for words, message in (
        (["--lists", listed], "say what to hold out"),
        (["--lists", listed, "--hold-out", "03", "--hold-out-next", 1], "give one of them"),
        (["--videos", people, "--classes", listed / "classInd.txt"], "--classes are the folders' names"),
        (["--lists", listed, "--hold-out", "03", "--out", listed], "is what --lists reads; give another --out"),
        (["--lists", listed, "--hold-out", "99"], "group 99 cannot be held out"),
    ):
        capsys.readouterr()
        assert in_process.run("make_lists", "--out", tmp_path / "more", "--group", GROUP, *words) == 2
        error = capsys.readouterr().err
        assert message in error and len(error.splitlines()) == 1 and not (tmp_path / "more").exists()


def test_weizmanns_folds(real_data):
    """No person is on both sides, each is tested on once, and nothing is left out."""
    classes, made = splits.read(splits.Sources(real_data / "Weizmann", group=PERSON))
    assert len(classes) == 10 and len(made) == 9
    tested = [groups(split.test, PERSON) for split in made.values()]
    assert tested == [[name] for name in sorted(name for [name] in tested)]
    for train, test in made.values():
        assert not set(groups(train, PERSON)) & set(groups(test, PERSON)) and len({*train, *test}) == 90


def test_groups_that_no_official_split_tests_on(real_data):
    """Those that data/ucf101_16.json holds out: 22 to 25 are to train on in every split."""
    sources = splits.Sources(lists=real_data / "ucfTrainTestlist", group=GROUP)
    official = splits.read(sources)[1]
    held = splits.read(sources._replace(hold_out=["22", "23", "24", "25"]))[1]
    tested = {video for split in official.values() for video in split.test}
    for number, (train, test) in held.items():
        assert groups(test) == ["22", "23", "24", "25"] and not set(test) & tested
        assert {*train, *test} == set(official[number].train) and not set(groups(train)) & set(groups(test))

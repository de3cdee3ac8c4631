import pytest

from rcnn.data.lists import Video, choose, find_files, read_classes, read_list, read_lists
from rcnn.files import InputError

CLASSES = ["Archery", "HandstandPushups"]


def write(path, text):
    path.write_bytes(text.encode())
    return path


def read_videos(path):
    return read_list(path, CLASSES)


def test_classes(tmp_path):
    assert read_classes(write(tmp_path / "c.txt", "1 Archery\r\n2 HandstandPushups\r\n\r\n")) == CLASSES


def test_names_with_spaces(tmp_path):
    """As Kinetics has them; labels are the order of the class file, not of the names."""
    names = ["playing  guitar", "air drumming", "1 2", "走 路"]
    lines = "".join(f" {number}\t{name} \n" for number, name in enumerate(names, 1))
    assert (classes := read_classes(write(tmp_path / "c.txt", lines))) == names
    text = "air drumming/my clip 3.mp4 2\n1 2/a 1.avi 3\nplaying  guitar/b.avi\n走 路/c.avi  4\n"
    assert read_list(write(tmp_path / "l.txt", text), classes) == [
        Video("my clip 3", "air drumming/my clip 3.mp4", 1),
        Video("a 1", "1 2/a 1.avi", 2),
        Video("b", "playing  guitar/b.avi", 0),
        Video("c", "走 路/c.avi", 3),
    ]


def test_train_and_test_list(tmp_path):
    first, second = "Archery/v_Archery_g08_c01.avi", "HandstandPushups/v_HandStandPushups_g01_c02.avi"
    wanted = [Video("v_HandStandPushups_g01_c02", second, 1), Video("v_Archery_g08_c01", first, 0)]
    assert read_videos(write(tmp_path / "trainlist01.txt", f"{second} 2\r\n{first} 1\r\n")) == wanted
    assert read_videos(write(tmp_path / "testlist01.txt", f"{second}\n\n{first}")) == wanted


def test_union(tmp_path):
    one = write(tmp_path / "1.txt", "Archery/b.avi 1\nArchery/a.avi 1\n")
    two = write(tmp_path / "2.txt", "HandstandPushups/c d.avi\nArchery/b.avi\n")
    assert [video.name for video in read_lists([one, two], CLASSES)] == ["b", "a", "c d"]


@pytest.mark.parametrize(
    "read, text, message",
    [
        (read_classes, "", "class list: .*l.txt is empty"),
        (read_classes, "Archery\n", "line 1: 'Archery' is not a class number and a class name"),
        (read_classes, "air drumming\n", "line 1: 'air drumming' is not a class number and a class name"),
        (read_classes, "1\n", "line 1: '1' is not a class number and a class name"),
        (read_videos, "Archery/a b.avi 2\n", "line 1: number 2 disagrees with the class list, where Archery is 1"),
        (read_classes, "1 Archery\n3 Biking\n", "line 2: class number 3 where 2 is due"),
        (read_classes, "1 Archery\n2 Archery\n", "line 2: class Archery is there twice"),
        (read_videos, "\n\n", "video list: .*l.txt is empty"),
        (read_videos, "v_Archery.avi 1\n", "line 1: 'v_Archery.avi 1' is not a video of a list"),
        (read_videos, "../x/v.avi\n", "is not a video"),
        (read_videos, "Archery/a.avi one\n", "is not a video"),
        (read_videos, "Archery/a.avi 1\nRowing/b.avi 2\n", "line 2: class Rowing is not in the class list"),
        (read_videos, "Archery/a.avi 2\n", "line 1: number 2 disagrees with the class list, where Archery is 1"),
        (read_videos, "Archery/a.avi 1\nArchery/a.avi 1\n", "line 2: Archery/a.avi is there twice"),
        (read_videos, "Archery/a.avi 1\nHandstandPushups/a.avi 2\n", "has the name of Archery/a.avi"),
        (read_videos, "\udcff\udcfe", "not a text file"),
        (read_videos, None, "no such file"),
    ],
)
def test_bad_lists(tmp_path, read, text, message):
    if text is not None:
        (tmp_path / "l.txt").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=message):
        read(tmp_path / "l.txt")


def test_union_of_equal_names(tmp_path):
    one, two = write(tmp_path / "1.txt", "Archery/a.avi\n"), write(tmp_path / "2.txt", "Archery/a.mp4\n")
    with pytest.raises(InputError, match="has the name of Archery/a.avi"):
        read_lists([one, two], CLASSES)


def test_missing_files(tmp_path):
    (tmp_path / "Archery").mkdir()
    (tmp_path / "Archery/a.avi").touch()
    videos = [Video(name, f"Archery/{name}.avi", 0) for name in "abc"]
    assert find_files(videos[:1], str(tmp_path)) == (videos[:1], [])
    with pytest.raises(InputError, match="lacks 2 of the 3 .*, the first is Archery/b.avi; .*--missing skip"):
        find_files(videos, tmp_path)
    assert find_files(videos, tmp_path, "skip") == (videos[:1], videos[1:])
    with pytest.raises(InputError, match="lacks 2 of the 2 .*, the first is Archery/b.avi; .* as --videos$"):
        find_files(videos[1:], tmp_path, "skip")
    with pytest.raises(InputError, match="no such folder"):
        find_files(videos, tmp_path / "x", "skip")


def test_some_classes(tmp_path):
    """Labels count the chosen classes in the class list's order; numbers are still those of the whole list."""
    classes = ["Archery", "Biking", "Rowing"]
    chosen = choose(classes, ["Rowing", "Archery"])
    assert chosen == ["Archery", "Rowing"] and choose(classes, None) == classes
    path = write(tmp_path / "l.txt", "Rowing/a.avi 3\r\nBiking/b.avi 2\r\nArchery/c.avi\r\n")
    assert read_list(path, classes, chosen) == [Video("a", "Rowing/a.avi", 1), Video("c", "Archery/c.avi", 0)]
    assert read_lists([path], classes, ["Biking"]) == [Video("b", "Biking/b.avi", 0)]
    write(path, "Rowing/a.avi 2\n")
    for wanted in (["Rowing"], ["Archery"]):
        with pytest.raises(InputError, match="line 1: number 2 disagrees with the class list, where Rowing is 3"):
            read_list(path, classes, wanted)
    write(path, "Rowing/a.avi 3\n")
    with pytest.raises(InputError, match="l.txt has no video of the classes Archery, Biking"):
        read_list(path, classes, ["Archery", "Biking"])
    for names, message in ((["Rowing", "Judo"], "Judo is not in the"), (["Rowing", "Rowing"], "Rowing is there twice")):
        with pytest.raises(InputError, match=f"^only-classes: {message}"):
            choose(classes, names)


def test_official_lists(real_data):
    """CRLF line ends, numbers in the training lists alone; groups 1 to 7 of split 1 are its test."""
    folder = real_data / "ucfTrainTestlist"
    classes = read_classes(folder / "classInd.txt")
    chosen = choose(classes, ["PushUps", "Archery"])
    assert len(classes) == 101 and chosen == ["Archery", "PushUps"]
    assert [len(read_list(folder / f"{part}list01.txt", classes)) for part in ("train", "test")] == [9537, 3783]
    train, test = (read_list(folder / f"{part}list01.txt", classes, chosen) for part in ("train", "test"))
    assert {video.label: video.file.split("/")[0] for video in train + test} == {0: "Archery", 1: "PushUps"}
    assert {video.name[-7:-4] for video in test} == {f"g{group:02d}" for group in range(1, 8)}
    assert {video.name[-7:-4] for video in train} == {f"g{group:02d}" for group in range(8, 26)}
    there, missing = find_files(train + test, real_data / "UCF-101", "skip")
    assert len(there) == 50 and len(missing) == len(train + test) - 50

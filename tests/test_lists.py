import pytest

from rcnn.data.lists import Video, check_files, read_classes, read_list, read_lists
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
    assert check_files(videos[:1], str(tmp_path)) == tmp_path
    with pytest.raises(InputError, match="lacks 2 of the 3 listed videos, the first is Archery/b.avi"):
        check_files(videos, tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        check_files(videos, tmp_path / "x")

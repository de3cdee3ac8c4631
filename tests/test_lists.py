import pytest

from rcnn.data.lists import Video, check_files, read_classes, read_list, read_lists
from rcnn.files import InputError

CLASSES = ["Archery", "HandstandPushups"]


def write(path, text):
    path.write_bytes(text.encode())
    return path


def test_classes(tmp_path):
    assert read_classes(write(tmp_path / "c.txt", "1 Archery\r\n2 HandstandPushups\r\n\r\n")) == CLASSES


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is empty"),
        ("Archery\n", "line 1: 'Archery' is not a class number and a class name"),
        ("0 Archery\n", "line 1: class number 0 where 1 is due"),
        ("1 Archery\n3 Biking\n", "line 2: class number 3 where 2 is due"),
        ("1 Archery\n2 Archery\n", "line 2: class Archery is there twice"),
    ],
)
def test_bad_classes(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_classes(write(tmp_path / "c.txt", text))


def test_train_and_test_list(tmp_path):
    first, second = "Archery/v_Archery_g08_c01.avi", "HandstandPushups/v_HandStandPushups_g01_c02.avi"
    wanted = [Video("v_HandStandPushups_g01_c02", second, 1), Video("v_Archery_g08_c01", first, 0)]
    assert read_list(write(tmp_path / "trainlist01.txt", f"{second} 2\r\n{first} 1\r\n"), CLASSES) == wanted
    assert read_list(write(tmp_path / "testlist01.txt", f"{second}\n\n{first}"), CLASSES) == wanted


def test_union(tmp_path):
    one = write(tmp_path / "1.txt", "Archery/b.avi 1\nArchery/a.avi 1\n")
    two = write(tmp_path / "2.txt", "HandstandPushups/c d.avi\nArchery/b.avi\n")
    assert [video.name for video in read_lists([one, two], CLASSES)] == ["b", "a", "c d"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("\n\n", "is empty"),
        ("v_Archery.avi 1\n", "line 1: 'v_Archery.avi 1' is not a video of a list"),
        ("../x/v.avi\n", "is not a video"),
        ("Archery/a.avi one\n", "is not a video"),
        ("Archery/a.avi 1\nRowing/b.avi 2\n", "line 2: class Rowing is not in the class list"),
        ("Archery/a.avi 2\n", "line 1: number 2 disagrees with the class list, where Archery is 1"),
        ("Archery/a.avi 1\nArchery/a.avi 1\n", "line 2: Archery/a.avi is there twice"),
        ("Archery/a.avi 1\nHandstandPushups/a.avi 2\n", "has the name of Archery/a.avi"),
    ],
)
def test_bad_list(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_list(write(tmp_path / "l.txt", text), CLASSES)


def test_union_of_equal_names(tmp_path):
    one, two = write(tmp_path / "1.txt", "Archery/a.avi\n"), write(tmp_path / "2.txt", "Archery/a.mp4\n")
    with pytest.raises(InputError, match="has the name of Archery/a.avi"):
        read_lists([one, two], CLASSES)


def test_not_text(tmp_path):
    (tmp_path / "l.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="not a text file"):
        read_list(tmp_path / "l.txt", CLASSES)
    with pytest.raises(InputError, match="no such file"):
        read_list(tmp_path / "m.txt", CLASSES)


def test_missing_files(tmp_path):
    (tmp_path / "Archery").mkdir()
    (tmp_path / "Archery/a.avi").touch()
    videos = [Video(name, f"Archery/{name}.avi", 0) for name in "abc"]
    assert check_files(videos[:1], str(tmp_path)) == tmp_path
    with pytest.raises(InputError, match="lacks 2 of the 3 listed videos, the first is Archery/b.avi"):
        check_files(videos, tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        check_files(videos, tmp_path / "x")

import json

import pytest

from rcnn.data.folders import difference, recipe_folder
from rcnn.files import InputError, WriteError

RECIPE = {"seconds": (1.0, 2), "classes": ["A"]}


def enter(folder, recipe=RECIPE):
    with recipe_folder(folder, recipe, "synthetic videos"):
        pass


def test_a_folder_is_begun_and_gone_on_with_by_its_recipe(tmp_path):
    folder = tmp_path / "new" / "folder"
    enter(folder)
    assert json.loads((folder / "recipe.json").read_text()) == {"seconds": [1.0, 2], "classes": ["A"]}
    (folder / "content").write_text("x")
    enter(folder)
    with pytest.raises(InputError, match=r"was made with other settings \(seed, classes\); remove it or name another"):
        enter(folder, {"seconds": [1, 2.0], "seed": 3})
    assert (folder / "content").read_text() == "x"
    assert difference({"a": 1}, {"a": 1}) == ""


def test_what_is_somebody_elses_is_left_alone(tmp_path):
    (tmp_path / ".recipe.half.json").write_text("left by a program that was killed")
    enter(tmp_path)
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(InputError, match="recipe.json is damaged; remove"):
        enter(tmp_path)
    (tmp_path / "recipe.json").rename(tmp_path / "thesis.txt")
    with pytest.raises(InputError, match="holds something else than synthetic videos; move it away"):
        enter(tmp_path)
    with pytest.raises(WriteError, match="cannot make the folder .*thesis.txt: "):
        enter(tmp_path / "thesis.txt")


def test_one_program_at_a_time(tmp_path):
    with recipe_folder(tmp_path, RECIPE, "synthetic videos"):
        with pytest.raises(InputError, match="another program is at work in"):
            enter(tmp_path)
    enter(tmp_path)

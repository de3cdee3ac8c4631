"""From nothing to a trained and tested GoogLeNet-RCNN, on videos it makes itself; a few minutes on two cores.

    python tools/demo.py                          # what `make demo` runs; all it makes goes under demo/
    python tools/demo.py --seed 2 --out demo2     # another set of videos, other weights

It makes the videos and their LMDBs, trains the single-frame CNN (which stands in for the ImageNet GoogLeNet), starts the RCNN from
it, trains stage 1 and stage 2, tests both nets on held-out groups, and prints one table.  Every step is a program of tools/ with the
command shown, so that each can be run alone.  Interrupted, the same command goes on where it stopped; finished, it shows the results.
"""
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from rcnn import plots, recipes, scores, training
from rcnn.command import parser, run
from rcnn.files import InputError, write_text
from rcnn.lists import read_classes, read_list
from rcnn.records import open_records

APPEARANCES = ("Flowers", "Crates")
MOVEMENTS = ("Up", "Down", "Sideways", "In", "Spin", "Still")
SECONDS, GROUPS, CLIPS = 3, 12, 4
FPS, FRAME_SIZE = 5, 72
TOOLS = Path(__file__).resolve().parent


def main():
    options = parser(__doc__)
    options.add_argument("--out", type=Path, default=Path("demo"), help="folder for all that is made")
    options.add_argument("--seed", type=int, default=1, help="of the videos, the weights and the crops")
    args = options.parse_args()
    # Two threads gain nothing on products this small, and where something else wants the processor they wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    demo = Demo(args.out, args.seed)
    demo.videos()
    demo.records()
    demo.train()
    demo.evaluate()
    demo.show()


class Demo:
    """The steps of one run; each is done by a program that goes on where it was stopped, and does nothing when it is done."""

    def __init__(self, out, seed):
        self.out, self.seed = out, seed
        self.recipe = replace(recipes.DEMO, seed=seed, snapshots=str(out / "snapshots"),
                              train_pairs=str(out / "pairs_train.lmdb"), test_pairs=str(out / "pairs_test.lmdb"))
        if self.recipe != recipes.DEMO:
            self.recipe = replace(self.recipe, folder=str(out / "prototxt"))
        self.lists = out / "videos" / "lists"
        self.seconds = Seconds(out / "seconds.json")
        (out / "snapshots").mkdir(parents=True, exist_ok=True)

    def step(self, name, program, *arguments):
        """Run a program of tools/ and note how long it took; a step that fails ends the demo with its status."""
        words = [str(word) for word in arguments]
        print(f"\n== {name}\n$ python tools/{program} {' '.join(words)}", flush=True)
        with self.seconds.of(name):
            status = subprocess.run([sys.executable, TOOLS / program, *words]).returncode
        if status:
            raise InputError(f"{name}: tools/{program} ended with status {status}; see what it says above")

    def videos(self):
        self.step("videos", "make_motion_videos.py", "--out", self.out / "videos", "--appearances", *APPEARANCES,
                  "--movements", *MOVEMENTS, "--seconds", SECONDS, "--groups", GROUPS, "--clips", CLIPS, "--seed", self.seed)

    def records(self):
        lists = [self.lists / "trainlist01.txt", self.lists / "testlist01.txt"]
        classes, frames = ["--classes", self.lists / "classInd.txt"], self.out / "frames.lmdb"
        self.step("frames", "build_frames.py", "--videos", self.out / "videos", "--list", *lists, *classes, "--fps", FPS,
                  "--size", FRAME_SIZE, "--out", frames)
        for list_, pairs in zip(lists, (self.recipe.train_pairs, self.recipe.test_pairs)):
            self.step(Path(pairs).stem.replace("_", " "), "build_pairs.py", "--frames", frames, "--list", list_, *classes,
                      "--out", pairs, "--seed", self.seed)

    def train(self):
        for path, text in recipes.files(self.recipe).items():
            if self.recipe != recipes.DEMO:
                write_text(path, text)
        folder, snapshots = Path(self.recipe.folder), Path(self.recipe.snapshots)
        start = snapshots / "start.caffemodel"
        self.step("CNN, single frames", "train.py", "--solver", folder / "solver_cnn.prototxt")
        self.step("starting weights", "init_weights.py", "--net", folder / "deploy_rcnn_r.prototxt", "--weights",
                  self.weights("cnn"), "--out", start, "--unhalved", "--seed", self.seed)
        self.step("RCNN-r, stage 1", "train.py", "--solver", folder / "solver_rcnn_r_stage1.prototxt", "--weights", start)
        self.step("RCNN-r, stage 2", "train.py", "--solver", folder / "solver_rcnn_r.prototxt", "--weights",
                  self.weights("rcnn_r_stage1"))

    def weights(self, run_name):
        iterations = {"cnn": self.recipe.cnn_iterations, "rcnn_r_stage1": self.recipe.stage1_iterations,
                      "rcnn_r": self.recipe.iterations}[run_name]
        return Path(self.recipe.snapshots) / f"{run_name}_iter_{iterations}.caffemodel"

    def evaluate(self):
        for name in ("cnn", "rcnn_r"):
            self.step(f"test of {name}", "evaluate.py", "--net", Path(self.recipe.folder) / f"deploy_{name}.prototxt",
                      "--weights", self.weights(name), "--frames", self.out / "frames.lmdb", "--list",
                      self.lists / "testlist01.txt", "--classes", self.lists / "classInd.txt", "--crops", 5, "--batch", 40,
                      "--input-scale", self.recipe.data.scale, "--out", self.out / f"scores_{name}.h5", "--confusion",
                      self.out / f"confusion_{name}.png")

    def show(self):
        """Draw the loss curves, print the table and keep it as results.json."""
        runs = {"CNN": "cnn", "RCNN-r, stage 1": "rcnn_r_stage1", "RCNN-r, stage 2": "rcnn_r"}
        plots.loss_curves(self.out / "loss.png", {
            name: training.loss_curve(training.read_log(Path(self.recipe.snapshots) / f"{run_name}.jsonl"))
            for name, run_name in runs.items()})
        self.draw_films()
        results = {"seed": self.seed, "chance": 1 / self.recipe.model.classes, "appearance alone": 1 / len(MOVEMENTS),
                   "seconds": self.seconds.known, "accuracy": {}, "videos": 0}
        for name in ("cnn", "rcnn_r"):
            with scores.Scores(self.out / f"scores_{name}.h5") as file:
                predicted = scores.predictions(file.videos("high"))
                results["accuracy"][name] = float(scores.accuracy(predicted, file.labels))
                results["videos"] = len(file)
        write_text(self.out / "results.json", json.dumps(results, indent=1) + "\n")
        print(table(results))
        print(f"\npictures: {self.out}/films.png, {self.out}/loss.png, {self.out}/confusion_cnn.png, {self.out}/confusion_rcnn_r.png; "
              f"figures: {self.out}/results.json")


    def draw_films(self, length=6):
        """Draw a few frames of one held-out video of each class."""
        classes = read_classes(self.lists / "classInd.txt")
        held_out = {video.label: video for video in read_list(self.lists / "testlist01.txt", classes)}
        with open_records(self.out / "frames.lmdb", "frames") as frames:
            plots.film_strips(self.out / "films.png", {
                classes[label]: [frames.frame(video.name, index)[0] for index in range(length)]
                for label, video in sorted(held_out.items())}, f"one video a class, {FPS} frames a second")


def table(results):
    """Return the results as a Markdown table."""
    seconds = results["seconds"]
    training_time = {"cnn": seconds["CNN, single frames"],
                     "rcnn_r": sum(seconds[name] for name in ("starting weights", "RCNN-r, stage 1", "RCNN-r, stage 2"))}
    lines = [f"\n{results['videos']} held-out videos, log-mean of the frames' scores, 5 crops, seed {results['seed']}", "",
             "| net | video accuracy | training | test |", "|---|---:|---:|---:|"]
    for name, title in (("cnn", "single-frame CNN"), ("rcnn_r", "RCNN-r")):
        lines.append(f"| {title} | {100 * results['accuracy'][name]:.1f} % | {clock(training_time[name])} "
                     f"| {clock(seconds['test of ' + name])} |")
    lines += [f"| what appearance alone allows | {100 * results['appearance alone']:.1f} % | | |",
              f"| chance | {100 * results['chance']:.1f} % | | |", "",
              f"all steps together: {clock(sum(seconds.values()))}"]
    return "\n".join(lines)


def clock(seconds):
    """Return seconds as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


class Seconds:
    """How long each step took, in a file, so that a run that was interrupted knows it too."""

    def __init__(self, path):
        self.path = path
        self.known = json.loads(path.read_text()) if path.is_file() else {}

    def of(self, name):
        return _Timed(self, name)

    def note(self, name, seconds):
        self.known[name] = max(seconds, self.known.get(name, 0.0))
        write_text(self.path, json.dumps(self.known, indent=1) + "\n")


class _Timed:
    def __init__(self, seconds, name):
        self.seconds, self.name = seconds, name

    def __enter__(self):
        self.began = time.monotonic()

    def __exit__(self, *exception):
        self.seconds.note(self.name, time.monotonic() - self.began)


if __name__ == "__main__":
    run(main)

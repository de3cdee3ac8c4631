"""From nothing to a trained and tested GoogLeNet-RCNN, on videos it makes itself; a few minutes on two cores.

    python tools/demo.py                          # what `make demo` runs; all it makes goes under demo/
    python tools/demo.py --seed 2 --out demo2     # another set of videos, other weights
    python tools/demo.py --quick                  # under a minute: that every step works; its numbers mean nothing

It makes the videos and their LMDBs, trains the single-frame CNN (which stands in for the ImageNet GoogLeNet), starts
the RCNN from it, trains it in two stages by random and, at the same time, by sequential sampling (RCNN-r and RCNN-s),
tests all three on held-out groups, and prints one table.  Every step is a program of tools/ with the command shown, so
that each can be run alone.  Interrupted or killed, the same command goes on where it stopped; finished, it shows the
results again.
"""
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from rcnn.experiments import plots

from rcnn.nets import recipes

from rcnn.scoring import score_files

from rcnn.scoring import scores

from rcnn.training import log as training
from rcnn.command import parser
from rcnn.files import InputError, write_text
from rcnn.data.lists import read_classes, read_list
from rcnn.data.records import open_records

APPEARANCES = ("Flowers", "Crates")
MOVEMENTS = ("Up", "Down", "Sideways", "In", "Spin", "Still")
SECONDS, GROUPS, CLIPS = 3, 12, 8
FPS, FRAME_SIZE = 5, 72
NETS = {"cnn": "single-frame CNN", "rcnn_s": "RCNN-s", "rcnn_r": "RCNN-r"}
TRAINED = {"cnn": ("CNN, single frames",), "rcnn_s": ("RCNN-s, stage 1", "RCNN-s, stage 2"),
           "rcnn_r": ("RCNN-r, stage 1", "RCNN-r, stage 2")}
RCNN_AIM, LEAD_AIM, APPEARANCE_AIM = 0.75, 0.3, 0.1
TOOLS = Path(__file__).resolve().parents[2] / "tools"


@dataclass(frozen=True)
class Videos:
    """What tools/make_motion_videos.py is asked for; `seconds` is the length of each video."""
    appearances: tuple = APPEARANCES
    movements: tuple = MOVEMENTS
    seconds: float = SECONDS
    groups: int = GROUPS
    clips: int = CLIPS


QUICK_VIDEOS = Videos(APPEARANCES[:1], MOVEMENTS[:2], seconds=2, groups=4, clips=1)
QUICK = replace(
    recipes.DEMO, model=replace(recipes.DEMO.model, classes=2, width=1 / 16), data=replace(recipes.DEMO.data, batch=4),
    cnn_iterations=40, stage1_iterations=40, iterations=80, display=20, test_iterations=4, test_interval=40,
    snapshot=20, note="A few updates of a sixteenth of the width on a few videos, only to see that each step works.")


def main():
    options = parser(__doc__)
    options.add_argument("--out", type=Path, default=Path("demo"), help="folder for what is made (--quick: its quick/)")
    options.add_argument("--seed", type=int, default=1, help="of the videos, the weights and the crops")
    options.add_argument("--quick", action="store_true", help="tiny set, tiny net, few updates: see that it works")
    args = options.parse_args()
    # Two threads gain nothing on products this small, and where others want the processor they wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    demo = Demo(args.out / "quick", args.seed, QUICK, QUICK_VIDEOS) if args.quick else Demo(args.out, args.seed)
    demo.videos()
    demo.records()
    demo.train()
    demo.evaluate()
    demo.show()


class Demo:
    """The steps of one run; each is done by a program that goes on where it was stopped."""

    def __init__(self, out, seed, recipe=recipes.DEMO, videos=Videos()):
        """out: folder, made.  Raises InputError where it holds a demo of another seed, recipe or set of videos."""
        self.out, self.seed, self.set, self.lists = out, seed, videos, out / "videos" / "lists"
        self.recipe = replace(recipe, seed=seed, snapshots=str(out / "snapshots"),
                              train_pairs=str(out / "pairs_train.lmdb"), test_pairs=str(out / "pairs_test.lmdb"),
                              frames=str(out / "frames.lmdb"), train_list=str(self.lists / "trainlist01.txt"),
                              test_list=str(self.lists / "testlist01.txt"))
        if self.recipe != recipes.DEMO:
            self.recipe = replace(self.recipe, folder=str(out / "prototxt"))
        try:
            (out / "snapshots").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {out}: {error.strerror}; give another --out") from None
        self.keep_settings()
        self.seconds = Seconds(out / "seconds.json")

    def keep_settings(self):
        """Write settings.json; raise InputError where it has others, as what is there would be taken for this run's."""
        path = self.out / "settings.json"
        text = json.dumps({"videos": asdict(self.set), "recipe": asdict(self.recipe)}, indent=1) + "\n"
        if path.is_file() and path.read_text() != text:
            raise InputError(f"{self.out} holds a demo of other settings; remove it or give another --out")
        write_text(path, text)

    def step(self, name, program, *arguments, line=0):
        """Run a program of tools/ and note how long it took; a step that fails ends the demo with its status.

        line: of the terminal that its progress bar is on, below others'.
        """
        words = [str(word) for word in arguments]
        print(f"\n== {name}\n$ python tools/{program} {' '.join(words)}", flush=True)
        with self.seconds.of(name):
            environment = {**os.environ, "TQDM_POSITION": str(line)}
            if status := finish(subprocess.Popen([sys.executable, TOOLS / program, *words], env=environment)):
                raise InputError(f"{name}: tools/{program} ended with status {status}; see what it says above")

    def videos(self):
        self.step("videos", "make_motion_videos.py", "--out", self.out / "videos",
                  "--appearances", *self.set.appearances, "--movements", *self.set.movements,
                  "--seconds", self.set.seconds, "--groups", self.set.groups, "--clips", self.set.clips,
                  "--seed", self.seed)

    def records(self):
        recipe, classes = self.recipe, ["--classes", self.lists / "classInd.txt"]
        self.step("frames", "build_frames.py", "--videos", self.out / "videos", "--list", recipe.train_list,
                  recipe.test_list, *classes, "--fps", FPS, "--size", FRAME_SIZE, "--out", recipe.frames)
        for videos, pairs in ((recipe.train_list, recipe.train_pairs), (recipe.test_list, recipe.test_pairs)):
            self.step(Path(pairs).stem.replace("_", " "), "build_pairs.py", "--frames", recipe.frames, "--list", videos,
                      *classes, "--out", pairs, "--seed", self.seed)

    def train(self):
        if self.recipe != recipes.DEMO:
            for path, text in recipes.files(self.recipe).items():
                write_text(path, text)
        folder, start = Path(self.recipe.folder), Path(self.recipe.snapshots) / "start.caffemodel"
        self.step(*TRAINED["cnn"], "train.py", "--solver", folder / "solver_cnn.prototxt")
        self.step("starting weights", "init_weights.py", "--net", folder / "deploy_rcnn_r.prototxt", "--weights",
                  self.weights("cnn"), "--out", start, "--unhalved", "--seed", self.seed)

        def stages(name, line):
            for step, run_name, weights in zip(TRAINED[name], (f"{name}_stage1", name),
                                               (start, self.weights(f"{name}_stage1"))):
                self.step(step, "train.py", "--solver", folder / f"solver_{run_name}.prototxt", "--weights", weights,
                          line=line)

        # One of these nets keeps one core busy, so two take hardly longer than one.
        with ThreadPoolExecutor() as both:
            for ended in [both.submit(stages, name, line) for line, name in enumerate(("rcnn_r", "rcnn_s"))]:
                ended.result()

    def weights(self, run_name):
        recipe = self.recipe
        iterations = recipe.cnn_iterations if run_name == "cnn" else (
            recipe.stage1_iterations if run_name.endswith("stage1") else recipe.iterations)
        return Path(recipe.snapshots) / f"{run_name}_iter_{iterations}.caffemodel"

    def evaluate(self):
        for name in NETS:
            self.step(f"test of {name}", "evaluate.py", "--net", Path(self.recipe.folder) / f"deploy_{name}.prototxt",
                      "--weights", self.weights(name), "--frames", self.recipe.frames,
                      "--list", self.recipe.test_list, "--classes", self.lists / "classInd.txt",
                      "--crops", 5, "--batch", 40, "--scale", self.recipe.data.scale,
                      "--out", self.out / f"scores_{name}.h5", "--confusion", self.out / f"confusion_{name}.png")

    def show(self):
        """Draw the loss curves, print the table and keep it as results.json."""
        plots.loss_curves(self.out / "loss.png", {
            "single-frame CNN": self.loss("cnn"), "RCNN-s (sequential sampling)": self.loss("rcnn_s_stage1", "rcnn_s"),
            "RCNN-r (random sampling)": self.loss("rcnn_r_stage1", "rcnn_r")},
            title=f"Training loss; stage 1 until {self.recipe.stage1_iterations}")
        self.draw_films()
        results = {"seed": self.seed, "chance": 1 / self.recipe.model.classes,
                   "appearance alone": 1 / len(self.set.movements), "seconds": self.seconds.finished,
                   "accuracy": {}, "videos": 0}
        for name in NETS:
            with score_files.Scores(self.out / f"scores_{name}.h5") as file:
                predicted = scores.predictions(file.videos("high"))
                results["accuracy"][name] = float(scores.accuracy(predicted, file.labels))
                results["videos"] = len(file)
        results["verdicts"] = verdicts(results)
        write_text(self.out / "results.json", json.dumps(results, indent=1) + "\n")
        print(table(results))
        if self.set == QUICK_VIDEOS:
            print("\nThis was a quick run: each step works, and the numbers above mean nothing.")
        pictures = ", ".join(f"{self.out}/{name}.png"
                             for name in ("films", "loss", *(f"confusion_{name}" for name in NETS)))
        print(f"\npictures: {pictures}; figures: {self.out}/results.json")

    def loss(self, *runs):
        """Return the loss curve (Fig. 2) of a training, or of stage 1 and stage 2 one after the other."""
        curves = [training.loss_curve(training.read_log(Path(self.recipe.snapshots) / f"{run_name}.jsonl"))
                  for run_name in runs]
        # Stage 2's first point is left out: it averages one iteration alone.
        later = [(iterations[1:] + self.recipe.stage1_iterations, raw[1:], averaged[1:])
                 for iterations, raw, averaged in curves[1:]]
        return tuple(map(np.concatenate, zip(curves[0], *later)))

    def draw_films(self, length=6):
        """Draw a few frames of one held-out video of each class."""
        classes = read_classes(self.lists / "classInd.txt")
        held_out = {video.label: video for video in read_list(self.recipe.test_list, classes)}
        with open_records(self.recipe.frames, "frames") as frames:
            plots.film_strips(self.out / "films.png", {
                classes[label]: [frames.frame(video.name, index)[0] for index in range(length)]
                for label, video in sorted(held_out.items())}, f"one video a class, {FPS} frames a second")


def finish(process):
    """Wait for a program and return its status; a Ctrl-C, which it gets too, leaves it the time to save its work."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def table(results):
    """Return the results as a Markdown table."""
    seconds = results["seconds"]
    training_time = {name: sum(seconds[step] for step in steps) for name, steps in TRAINED.items()}
    at_once = min(training_time["rcnn_s"], training_time["rcnn_r"])  # these two ran side by side
    lines = [f"\n{results['videos']} held-out videos, log-mean of the frames' scores, 5 crops, seed {results['seed']}",
             "", "| net | video accuracy | training | test |", "|---|---:|---:|---:|"]
    for name, title in NETS.items():
        lines.append(f"| {title} | {100 * results['accuracy'][name]:.1f} % | {clock(training_time[name])} "
                     f"| {clock(seconds['test of ' + name])} |")
    lines += [f"| what appearance alone allows | {100 * results['appearance alone']:.1f} % | | |",
              f"| chance | {100 * results['chance']:.1f} % | | |", "",
              f"all steps together: {clock(sum(seconds.values()) - at_once)}", "",
              *(f"{'yes' if held else 'NO '}  {what}" for what, held in results["verdicts"].items())]
    return "\n".join(lines)


def verdicts(results):
    """Return {what the demo is to show: whether it did}."""
    cnn, rcnn_r, appearance = (*(results["accuracy"][name] for name in ("cnn", "rcnn_r")), results["appearance alone"])
    return {f"RCNN-r is right on at least {RCNN_AIM:.0%} of the videos": rcnn_r >= RCNN_AIM,
            f"RCNN-r is at least {100 * LEAD_AIM:.0f} points above the CNN": rcnn_r - cnn >= LEAD_AIM,
            f"the CNN is within {100 * APPEARANCE_AIM:.0f} points of what appearance alone allows":
                abs(cnn - appearance) <= APPEARANCE_AIM}


def clock(seconds):
    """Return seconds as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


class Seconds:
    """How long each step took until it was finished, over all runs but those that were killed; kept in a file."""

    def __init__(self, path):
        known = json.loads(path.read_text()) if path.is_file() else {}
        self.path, self.finished, self.unfinished = path, known.get("finished", {}), known.get("unfinished", {})
        self.lock = threading.Lock()

    @contextmanager
    def of(self, name):
        """Time a step.  Once it has been finished, doing it again does not count."""
        began, known = time.monotonic(), self.unfinished
        try:
            yield
            known = self.finished
        finally:
            with self.lock:
                self.note(name, known, time.monotonic() - began)

    def note(self, name, known, seconds):
        if name not in self.finished:
            known[name] = self.unfinished.pop(name, 0.0) + seconds
            text = json.dumps({"finished": self.finished, "unfinished": self.unfinished}, indent=1) + "\n"
            write_text(self.path, text)

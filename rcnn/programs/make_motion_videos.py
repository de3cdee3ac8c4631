"""Make a set of videos whose classes need motion, laid out and named as UCF-101.

    python tools/make_motion_videos.py --out demo/videos --appearances Flowers Crates --movements Up Down --groups 12
    python tools/make_motion_videos.py --out data/scenes --set scenes --groups 12 --clips 6 --splits 3

--set motion (rcnn/data/synthetic/motion.py): a class is an appearance and a movement, such as FlowersUp; one object on a smooth
background.  --set scenes (rcnn/data/synthetic/scenes.py, and data/README.md): twelve classes, told by appearance, by movement, or by
both; textures, a moving camera, noise, lengths of 1 to 10 seconds.

OUT/FlowersUp/v_FlowersUp_g01_c01.avi and so on are 320x240, 25 frames a second, MPEG-4 (XVID; Motion JPEG where OpenCV
cannot write that, and OUT/recipe.json says so).  OUT/lists/ has classInd.txt and, for each split NN, trainlistNN.txt
and testlistNN.txt.  Split 01 tests on the last quarter of the groups, 02 on the quarter before it.

No drawn frame tells the movement.  The codec may leave a trace of it, as MPEG-4 keeps best what stands still.

Each video depends on --set, --seed, --seconds and its own name alone, not on --workers or on what else is made.
Interrupted or killed, the same command goes on where it stopped; each file is complete or not there.
"""
import json
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from rcnn import command

from rcnn.data.synthetic import motion

from rcnn.data.synthetic import scenes

from rcnn.data import workers
from rcnn.files import LOCK, InputError, locked, remove, replacing, write_text

CODECS = ("XVID", "MJPG")  # the first that OpenCV can write
RECIPE = "recipe.json"
LISTS = "lists"
SECONDS = {"motion": (3.0,), "scenes": (scenes.SHORTEST, scenes.LONGEST)}  # by --set
SECONDS_MEAN = {"motion": "one length", "scenes": "the shortest length and the longest"}
SHARE = 4  # one group in four is held out


@dataclass(frozen=True)
class Video:
    """One video to make.  parts: (appearance, movement) of the set motion, () of scenes; seconds: its length, or the
    shortest and the longest of scenes."""
    path: Path
    name: str
    parts: tuple
    group: int
    clip: int
    seconds: tuple
    seed: int
    codec: str

    def frames(self):
        """Return (number of frames, iterator over them)."""
        generator = np.random.default_rng([self.seed, self.group, self.clip, *self.name.encode()])
        if self.parts:
            return round(self.seconds[0] * motion.FPS), motion.frames(*self.parts, self.seconds[0], generator)
        number = scenes.draw_length(generator, *self.seconds)
        return number, scenes.frames(self.name, number, place(self.seed, self.group), generator)


@lru_cache(maxsize=1)  # the videos of a group come one after the other
def place(seed, group):
    """Return the background of a group of scenes."""
    return scenes.place(np.random.default_rng([seed, group]))


def write_video(video):
    """Write one Video; runs in a worker process."""
    cv2.setNumThreads(1)  # the work is spread over videos
    number, frames = video.frames()
    with replacing(video.path) as part:
        writer = open_writer(part, video.codec)
        for frame in frames:
            writer.write(frame)
        writer.release()
        # VideoWriter does not say when a disk is full.
        if frame_count(part) != number:
            raise InputError(f"cannot write {video.path}; is the disk full? Mend that and run the same command again")


def frame_count(path):
    """Return how many frames of a video can be read; what its header promises may never have been written."""
    capture, number = cv2.VideoCapture(str(path)), 0
    while capture.grab():
        number += 1
    return number


def open_writer(path, codec):
    """Return a cv2.VideoWriter of `path` (.avi), or None where OpenCV cannot write that codec (four letters)."""
    cv2.setLogLevel(0)  # else it reports a failure in its own words
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), motion.FPS, (motion.WIDTH, motion.HEIGHT))
    return writer if writer.isOpened() else None


def choose_codec():
    """Return the first of CODECS that OpenCV can write here."""
    with tempfile.TemporaryDirectory() as folder:
        for codec in CODECS:
            writer = open_writer(Path(folder) / "probe.avi", codec)
            if writer is not None:
                writer.release()
                return codec
    raise InputError(f"OpenCV {cv2.__version__} can write none of {', '.join(CODECS)} as AVI; install "
                     "opencv-python-headless")


def held_out(groups, split):
    """Return the groups (1 to `groups`) that split 1, 2, ... tests on: a quarter of them, the last one first."""
    size = max(1, groups // SHARE)
    last = groups - (split - 1) * size
    return range(last - size + 1, last + 1)


def video_name(name, group, clip):
    return f"v_{name}_g{group:02d}_c{clip:02d}"


def write_lists(folder, names, groups, clips, splits):
    """Write classInd.txt and the lists of every split, in UCF-101's format."""
    write_text(folder / "classInd.txt", "".join(f"{number} {name}\n" for number, name in enumerate(names, 1)))
    for split in range(1, splits + 1):
        lines = {"train": [], "test": []}
        for number, name in enumerate(names, 1):
            for group in range(1, groups + 1):
                kind = "test" if group in held_out(groups, split) else "train"
                label = f" {number}" if kind == "train" else ""
                lines[kind] += [f"{name}/{video_name(name, group, clip)}.avi{label}\n" for clip in range(1, clips + 1)]
        for kind, text in lines.items():
            write_text(folder / f"{kind}list{split:02d}.txt", "".join(text))


@contextmanager
def working_in(folder, recipe):
    """Hold the folder for this program alone, with this recipe (dict) in it, and without a killed one's half files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
    with locked(folder):
        check_recipe(folder, recipe)
        for left in folder.glob("*/.v_*.avi"):
            remove(left)
        yield


def check_recipe(folder, recipe):
    """Write the recipe of an empty folder; raise InputError where it is of another recipe, or not this program's."""
    path = folder / RECIPE
    if path.is_file():
        try:
            begun = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise InputError(f"{path} is damaged; remove {folder} or give another --out") from None
        if begun != recipe:
            begun = begun if isinstance(begun, dict) else {}
            differ = ", ".join(key for key in {**recipe, **begun} if begun.get(key) != recipe.get(key))
            raise InputError(f"{folder} was made with other settings ({differ}); remove it or give another --out")
    elif any(entry for entry in folder.iterdir() if not entry.name.startswith((".recipe.", LOCK))):
        raise InputError(f"{folder} holds something else than made videos; give another --out")
    else:
        write_text(path, json.dumps(recipe, indent=1) + "\n")


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--out", required=True, help="folder to make the class folders and lists/ in")
    parser.add_argument("--set", choices=tuple(SECONDS), default="motion", help="which kind of videos")
    parser.add_argument("--appearances", nargs="+", choices=motion.APPEARANCES, help="what moves, of the set motion "
                        "(default: all)")
    parser.add_argument("--movements", nargs="+", choices=motion.MOVEMENTS, help="how it moves, of the set motion "
                        "(default: all)")
    parser.add_argument("--groups", type=command.positive, default=12, help="groups of each class, 2 to 99")
    parser.add_argument("--clips", type=command.positive, default=4, help="videos of each group, at most 99")
    parser.add_argument("--seconds", type=command.positive_real, nargs="+", help="length of a video, at most 600; of "
                        "the set scenes the shortest and the longest (default: 3, of scenes 1 10)")
    parser.add_argument("--splits", type=command.positive, default=1, help="how many lists of held-out groups to write")
    parser.add_argument("--seed", type=int, default=1, help="of the videos, 0 to 4294967295")
    parser.add_argument("--workers", type=command.positive, default=workers.cores(), help="processes that encode")
    args = parser.parse_args()
    args.seconds = tuple(args.seconds or SECONDS[args.set])
    check(args)
    classes = named(args)
    names = sorted(classes)
    codec = choose_codec()
    recipe = {"classes": names, "groups": args.groups, "clips": args.clips,
              "seconds": list(args.seconds) if len(args.seconds) > 1 else args.seconds[0], "seed": args.seed,
              "width": motion.WIDTH, "height": motion.HEIGHT, "fps": motion.FPS, "codec": codec,
              "made_with": f"OpenCV {cv2.__version__}, NumPy {np.__version__}"}
    out = Path(args.out)
    jobs = [Video(out / name / f"{video_name(name, group, clip)}.avi", name, classes[name], group, clip, args.seconds,
                  args.seed, codec)
            for group in range(1, args.groups + 1) for name in names for clip in range(1, args.clips + 1)]
    with working_in(out, recipe):
        make(jobs, args.workers)
        write_lists(out / LISTS, names, args.groups, args.clips, args.splits)
    tested = len(names) * len(held_out(args.groups, 1)) * args.clips
    print(f"{out}: {len(jobs)} videos of {len(names)} classes, {' to '.join(f'{number:g}' for number in args.seconds)} "
          f"s each, {codec}; each split has {len(jobs) - tested} to train on and {tested} to test on")
    if codec != CODECS[0]:
        print(f"OpenCV cannot write {CODECS[0]} (MPEG-4) here, so the videos are {codec}", file=sys.stderr)


def named(args):
    """Return {class name: (appearance, movement) of the set motion, () of scenes}."""
    if args.set == "scenes":
        return dict.fromkeys(scenes.CLASSES, ())
    return {appearance + movement: (appearance, movement) for appearance in args.appearances or motion.APPEARANCES
            for movement in args.movements or motion.MOVEMENTS}


def check(args):
    """Raise InputError for arguments that make no set."""
    if not 2 <= args.groups <= 99 or args.clips > 99:
        raise InputError(f"--groups {args.groups} --clips {args.clips}: there can be 2 to 99 groups, at most 99 clips")
    shortest, longest = min(args.seconds), max(args.seconds)
    if round(shortest * motion.FPS) < 2 or longest > 600:
        raise InputError(f"--seconds {shortest if longest <= 600 else longest:g}: a video has two frames "
                         f"({2 / motion.FPS} s) at least, and 600 s at most")
    if len(args.seconds) != len(SECONDS[args.set]) or args.seconds[0] != shortest:
        raise InputError(f"--seconds: the set {args.set} takes {SECONDS_MEAN[args.set]}")
    if args.set != "motion" and (args.appearances or args.movements):
        raise InputError(f"--appearances and --movements are of the set motion; {args.set} has its own classes")
    most = args.groups // max(1, args.groups // SHARE)
    if args.splits > most:
        raise InputError(f"--splits {args.splits}: {args.groups} groups have {most} quarters to hold out, no more")
    if not 0 <= args.seed < 2 ** 32:
        raise InputError(f"--seed {args.seed} is not in 0 to 4294967295")


def make(jobs, number):
    """Write those videos of `jobs` that are not there yet, in `number` processes."""
    missing = [job for job in jobs if not job.path.is_file()]
    with command.progress(len(jobs), "video", len(jobs) - len(missing)) as progress:
        if missing:
            with workers.Pool(min(number, len(missing))) as executor:
                for _ in workers.in_order(executor, write_video, missing, 4 * number):
                    progress.update()

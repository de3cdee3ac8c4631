"""Write every net and solver as prototxt, from rcnn/nets/prototxt.py.

    python tools/make_prototxt.py                 # prototxt/ (the paper's, for UCF-101) and prototxt/demo/
    python tools/make_prototxt.py --check         # change nothing; fail if a file there is not what this would write

A set of your own, here for 24 classes on a GPU with little memory (two batches of 32 make one update):

    python tools/make_prototxt.py --out prototxt/mine --classes 24 --batch 32 --iter-size 2 \\
        --train-pairs data/mine/pairs_train.lmdb --test-pairs data/mine/pairs_test.lmdb \\
        --frames data/mine/frames.lmdb --train-list data/mine/trainlist01.txt --test-list data/mine/testlist01.txt

The pairs are for random sampling (RCNN-r, and the CNN), the frames and lists for sequential sampling (RCNN-s).

--channels 2 makes the nets of the optical-flow stream, whose files and weights have names that end in _flow.  They
start from nothing (Sec. 3.4), so there is no stage 1.

Each file's head says which call made it.  Never edit one: give the option here, and make it again.
"""
import argparse
import sys
from dataclasses import fields, replace
from pathlib import Path

from rcnn.data import flow

from rcnn.nets import recipes
from rcnn.command import finite, parser, positive, positive_real
from rcnn.files import InputError, write_text

MOST = 2 ** 31 - 1  # Caffe counts in 32 bits


def main():
    args = arguments()
    if args.out is None:
        if given := [name for name in vars(args) if name not in ("out", "check")]:
            raise InputError(f"--{given[0].replace('_', '-')} makes another set: say where with --out")
        files = {path: text for each in (recipes.UCF101, recipes.UCF101_FLOW, recipes.DEMO)
                 for path, text in recipes.files(each).items()}
    else:
        files = recipes.files(recipe(args))
    if args.check:
        return check(files)
    for path, text in files.items():
        write_text(path, text)
    if args.out is not None:
        Path(recipe(args).snapshots).mkdir(parents=True, exist_ok=True)  # Caffe wants it to exist
    print(f"{len(files)} files written under {', '.join(sorted({str(Path(path).parent) for path in files}))}")


def recipe(args):
    """Return the UCF-101 recipe, of images or of flow, with what the arguments change."""
    base = recipes.UCF101_FLOW if getattr(args, "channels", 3) == flow.CHANNELS else recipes.UCF101
    batch = getattr(args, "batch", base.data.batch)
    given = {"snapshots": str(args.out / "snapshots"),  # its own, or two sets would go on with each other's weights
             "test_iterations": -(-base.test_iterations * base.data.batch // batch), **vars(args)}

    def changed(part):
        return replace(part, **{field.name: given[field.name] for field in fields(part) if field.name in given})

    return replace(changed(base), folder=str(args.out), model=changed(base.model), data=changed(base.data),
                   learning=changed(base.learning))


def default(name):
    """Return what the UCF-101 recipe has for an option, as it would be typed."""
    base = recipes.UCF101
    value = next(getattr(part, name) for part in (base, base.model, base.data, base.learning) if hasattr(part, name))
    if isinstance(value, tuple):
        return " ".join(f"{number:g}" for number in value)
    return {"True": "yes", "False": "no", "None": "none"}.get(str(value), value)


def check(files):
    """Print each file that is missing or differs and return how many do, at most 1."""
    stale = [path for path, text in files.items()
             if not Path(path).is_file() or Path(path).read_bytes() != text.encode()]
    known = {Path(path) for path in files}
    stray = [str(path) for folder in {path.parent for path in known} for path in sorted(folder.glob("*.prototxt"))
             if path not in known]
    for path in stale:
        print(f"{path} is not what tools/make_prototxt.py writes; run it again", file=sys.stderr)
    for path in stray:
        print(f"{path} is made by nothing; remove it", file=sys.stderr)
    return int(bool(stale or stray))


def flag(text):
    """An argparse type: yes or no."""
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{text} is neither yes nor no")
    return text == "yes"


def count(text):
    """An argparse type: a number of things, as large as Caffe can hold."""
    number = positive(text)
    if number > MOST:
        raise argparse.ArgumentTypeError(f"{text} is more than {MOST}")
    return number


def share(text):
    """An argparse type: a number above 0 and at most 1."""
    number = positive_real(text)
    if number > 1:
        raise argparse.ArgumentTypeError(f"{text} is more than 1")
    return number


def seed(text):
    """An argparse type: a whole number of 0 to 4294967295."""
    number = int(text)
    if not 0 <= number < 2 ** 32:
        raise argparse.ArgumentTypeError(f"{text} is not in 0 to 4294967295")
    return number


def arguments():
    options = parser(__doc__)
    options.add_argument("--check", action="store_true",
                         help="write nothing; exit with 1 if a file is not as it should be")
    options.add_argument("--out", type=Path, help="folder for a set of your own; every option below needs it")

    def option(name, help, **kwargs):
        said = default(name[2:].replace("-", "_"))
        options.add_argument(name, help=f"{help} (default: {said})", default=argparse.SUPPRESS, **kwargs)

    option("--train-pairs", help="pairs LMDB to train RCNN-r and the CNN on")
    option("--test-pairs", help="pairs LMDB to test them on while training")
    option("--frames", help="frames LMDB to train RCNN-s on")
    option("--train-list", help="list of the videos to train RCNN-s on")
    option("--test-list", help="list of the videos to test it on while training")
    option("--encoding", choices=("jpeg", "raw"), help="how the pairs are stored")
    options.add_argument("--snapshots", default=argparse.SUPPRESS,
                         help="folder that training writes its weights to (default: OUT/snapshots)")
    option("--classes", type=count, help="classes of videos")
    option("--channels", type=count, help="of a frame: 3 images, 2 flow; others with raw pairs only, and no RCNN-s")
    option("--mean", type=finite, nargs="+", help="what is taken off each channel, blue first")
    option("--width", type=positive_real, help="multiplies the channels of every layer")
    option("--size", type=count, help="side of the network's input in pixels")
    option("--batch", type=count, help="pairs, or streams of RCNN-s, a forward pass")
    option("--iter-size", type=count, help="forward passes an update")
    option("--cnn-iterations", type=count, help="updates of the single-frame net")
    option("--iterations", type=count, help="updates of stage 2")
    option("--stage1-iterations", type=count, help="updates of stage 1")
    option("--rate", type=positive_real, help="learning rate at the start")
    option("--final-rate", type=share, help="share of --rate that is left at the end")
    option("--clip-gradients", type=positive_real, help="largest norm of the gradients; the paper does not clip")
    option("--test-iterations", type=count, help="batches a test while training; as many pairs with another --batch")
    option("--test-interval", type=count, help="updates between tests")
    option("--display", type=count, help="updates between shown losses")
    option("--snapshot", type=count, help="updates between snapshots")
    option("--seed", type=seed, help="of Caffe's and the crops' random numbers, 0 to 4294967295")
    option("--scale", type=positive_real, help="multiplies the input after the mean is taken off")
    option("--combine", choices=("average", "sum"), help="how the two parts of Eq. 3 combine at t > 1")
    option("--previous-loss", type=flag, metavar="yes|no", help="a loss on frame t-1 too")
    option("--cut-gradient", type=flag, metavar="yes|no", help="no gradient into frame t-1 (Eq. 6)")
    option("--temporal-bias", type=flag, metavar="yes|no", help="a bias in the temporal parts")
    option("--high-rnn", type=flag, metavar="yes|no", help="an RNN layer of 1024 under the high classifier")
    option("--conv1-temporal-kernel", type=count, help="side of conv1's temporal kernel, odd")
    option("--together", type=flag, metavar="yes|no", help="one crop and mirror for both frames of a pair")
    option("--spatial-rate", type=positive_real, help="lr_mult of the spatial weights in stage 2; a temporal one has 1")
    option("--filler", choices=("xavier", "msra"), help="of every spatial weight that is not copied")
    option("--temporal-filler", choices=("xavier", "msra", "constant"), help="of every temporal weight; constant is 0")
    option("--bias", type=finite, help="what the spatial biases start at")
    return options.parse_args()

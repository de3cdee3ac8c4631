r"""Write every net and solver as prototxt, from rcnn/nets/prototxt.py.

    python tools/make_prototxt.py                 # prototxt/, the paper's set for images, on UCF-101
    python tools/make_prototxt.py --check         # change nothing; fail if a file there is not what this would write

A set of your own, here for 24 classes on a GPU with little memory (two batches of 32 make one update):

    python tools/make_prototxt.py --out prototxt/mine --classes 24 --batch 32 --iter-size 2 \
        --train-pairs data/mine/pairs_train.lmdb --test-pairs data/mine/pairs_test.lmdb \
        --frames data/mine/frames.lmdb --train-list data/mine/trainlist01.txt --test-list data/mine/testlist01.txt

The pairs are for random sampling (RCNN-r, and the CNN), the frames and lists for sequential sampling (RCNN-s), whose
--batch is of so many videos side by side.

--weights names what the trainings start from, as init_weights.py reads it: what these weights lack or do not fit (side
heads of a deploy-only GoogLeNet, say) learns in stage 1, and what they have stays as it is.  Without it, stage 1 holds
what BVLC GoogLeNet's whole file has.  --cnn-stage1-iterations gives the CNN a stage 1 too, in which it learns what is
fresh alone:

    python tools/make_prototxt.py --out prototxt/mine --weights bvlc_googlenet.caffemodel --cnn-stage1-iterations 1000

--channels 2 makes the nets of the optical-flow stream, whose files and weights have names that end in _flow.  They
start from nothing (Sec. 3.4), so there is no stage 1:

    python tools/make_prototxt.py --out prototxt/flow --channels 2

Each file's head says which command made it.  Never edit one: give the option here, and make it again.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Optional

from rcnn import recipe
from rcnn.command import any_path, input_path, output_folder, parser
from rcnn.files import InputError, write_text
from rcnn.nets import prototxt_set, weight_files
from rcnn.nets.prototxt_set import FLOW_PATHS, FOLDER, PATHS, Paths

HELP = {
    "train_pairs": "pairs LMDB to train RCNN-r and the CNN on",
    "test_pairs": "pairs LMDB to test them on while training",
    "frames": "frames LMDB to train RCNN-s on",
    "train_list": "list of the videos to train RCNN-s on",
    "test_list": "list of the videos to test it on while training",
    "snapshots": "folder that training writes its weights to",
}


def main() -> Optional[int]:
    args = arguments()
    settings = recipe.typed(args)
    typed = {field.name: getattr(args, field.name) for field in fields(Paths) if hasattr(args, field.name)}
    folder, chosen, paths = FOLDER, recipe.Recipe(), PATHS
    if args.out is not None:
        folder, chosen = args.out, recipe.parse(settings)
        paths = replace(prototxt_set.default_paths(chosen, folder), **typed)
    elif typed or settings or args.weights is not None:
        option = next(iter({**typed, **settings, "weights": None})).replace("_", "-")
        raise InputError(f"--{option} makes another set: say where with --out")
    weight_files.need("caffe")
    files = prototxt_set.files(chosen, folder, paths, args.weights)
    if args.check:
        return check(files)
    for path, text in files.items():
        write_text(path, text)
    if args.out is not None:
        Path(paths.snapshots).mkdir(parents=True, exist_ok=True)  # Caffe wants it to exist
    print(f"{len(files)} files written under {folder}")
    if args.weights is not None:
        fresh = prototxt_set.fresh_layers(chosen, args.weights)
        print(f"beside temporal parts, stage 1 lets learn: {', '.join(fresh) or 'nothing'}")
    return None


def check(files: Mapping[str, str]) -> int:
    """Print each file of {path: text} that is missing or differs, and each stray one; return 1 if there are any."""
    stale = [
        path for path, text in files.items() if not Path(path).is_file() or Path(path).read_bytes() != text.encode()
    ]
    folders = {Path(path).parent for path in files}
    stray = [str(path) for folder in folders for path in sorted(folder.glob("*.prototxt")) if str(path) not in files]
    for path in stale:
        print(f"{path} is not what tools/make_prototxt.py writes; run it again", file=sys.stderr)
    for path in stray:
        print(f"{path} is made by nothing; remove it", file=sys.stderr)
    return int(bool(stale or stray))


def arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if a file is not as it should be"
    )
    options.add_argument("--out", type=output_folder, help="folder for a set of your own; every option below needs it")
    options.add_argument("--weights", type=input_path, help="what the trainings start from, which decides stage 1")
    for name, help in HELP.items():
        default = "OUT/snapshots" if name == "snapshots" else getattr(PATHS, name)
        if getattr(FLOW_PATHS, name) != getattr(PATHS, name):
            default += f"; of flow {getattr(FLOW_PATHS, name)}"
        options.add_argument(
            f"--{name.replace('_', '-')}", type=any_path, default=argparse.SUPPRESS, help=f"{help} (default: {default})"
        )
    recipe.add_options(options)
    return options.parse_args()

r"""Write lists of UCF-101's form, for a set that has none, or for choosing settings without a look at the test videos.

    python tools/make_lists.py --videos data/weizmann --group '^([a-z]+)_' --out data/weizmann_lists
    python tools/make_lists.py --lists data/ucf101/ucfTrainTestlist --group '_g([0-9]+)_' --hold-out 22 23 24 25 \
        --out data/ucf101/held_out_lists

A group is what is not to be on both sides of a split, such as a person; --group is a regular expression whose first
(...) finds it in a video's name.  The first command takes the classes from the folders' names and leaves one group out
at a time: split 1 tests on the first group by name and trains on the others, and so on.

--hold-out takes groups out of the videos to train on and tests on them instead: the test videos are in neither list.
--hold-out-next N takes the N groups that come by name after those to test on, from the first again after the last.

tools/reproduce.py does both by itself where a description says so.  OUT gets classInd.txt, trainlistNN.txt and
testlistNN.txt; other files there stay, and a list that is there and differs is refused.
"""

from rcnn import command
from rcnn.data import splits


def main() -> None:
    options = command.parser(__doc__)
    source = options.add_mutually_exclusive_group(required=True)
    source.add_argument("--videos", type=command.input_path, help="folder of class folders: leave one group out")
    source.add_argument(
        "--lists", type=command.input_path, help="folder of lists whose training videos are split again"
    )
    options.add_argument("--classes", type=command.input_path, help="of --lists (default: their classInd.txt)")
    options.add_argument("--group", required=True, help="regular expression that finds a video's group in its name")
    options.add_argument("--hold-out", nargs="+", default=[], metavar="GROUP", help="groups to hold out of training")
    options.add_argument(
        "--hold-out-next",
        type=command.positive,
        default=0,
        metavar="N",
        help="how many groups to hold out, after those tested on",
    )
    options.add_argument("--splits", type=command.positive, nargs="+", help="which (default: all)")
    options.add_argument("--out", type=command.output_folder, required=True, help="folder for the lists")
    args = options.parse_args()
    if args.hold_out and args.hold_out_next:
        options.error("--hold-out names the groups, and --hold-out-next counts them; give one of them")
    if args.lists and not (args.hold_out or args.hold_out_next):
        options.error("--lists are there already; say what to hold out, --hold-out or --hold-out-next")
    if args.classes and not args.lists:
        options.error("--classes are the folders' names where there is no --lists")
    sources = splits.Sources(**{field: getattr(args, field) for field in splits.Sources._fields})
    classes, made = splits.read(sources, args.splits)
    splits.write(args.out, classes, made)
    for number, split in made.items():
        print(f"split {number}: {len(split.train)} videos to train on, {len(split.test)} to test on")
    print(f"lists of {len(classes)} classes: {args.out}")

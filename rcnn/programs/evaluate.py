r"""Test a net on videos: a score for each frame, and the share of videos that they classify rightly (Sec. 2.4).

    lists=data/ucf101/ucfTrainTestlist
    python tools/evaluate.py --net prototxt/deploy_rcnn_r.prototxt --weights snapshots/rcnn_r_iter_30000.caffemodel \
        --frames data/ucf101/frames_5fps.lmdb --list $lists/testlist01.txt --classes $lists/classInd.txt \
        --crops 5 --out scores.h5
    python tools/evaluate.py --weights rcnn.onnx --frames ... --list ... --classes ... --out s.h5   # needs no Caffe

deploy_cnn scores each frame by itself.  deploy_rcnn_r scores each with the one before it, as RCNN-r was trained, and a
video's first frame alone (Eq. 3 at t = 1).  deploy_rcnn_s is fed a video's frames in order and keeps its state, as
RCNN-s was trained; --mode pair makes it score as deploy_rcnn_r does.

Without --net the weights tell the net, and ONNX Runtime or PyTorch runs it without Caffe: an .onnx or .pt of
tools/export.py, or a caffemodel, if its shapes tell enough.  Only an .onnx tells its mode.

--previous is the motion probe of a two-frame net: each frame is scored with another one in place of the one before, as
by --mode pair; a net that looks at motion loses by it.  In all its modes, to compare the same frames, a video's first
and last one are left out, and so are videos of fewer than three.

The file of --out (HDF5, described in rcnn/scoring/score_files.py) has the score of every frame and crop by every
signal; tools/fuse.py fuses it by any rule without the net.  Interrupted, the same command goes on with the videos that
are left; finished, it only prints the accuracy again: of scores averaged over crops and fused over frames.
"""

import time
from argparse import Namespace

from rcnn.command import input_path, output_file, output_picture, parser, positive, tell_reasons
from rcnn.data import crops
from rcnn.data.lists import add_class_options, read_chosen, read_list
from rcnn.data.records import MANIFEST, open_records
from rcnn.data.sequences import videos_with_frames
from rcnn.experiments import plots
from rcnn.files import InputError, sha256
from rcnn.googlenet import SIGNALS
from rcnn.nets.backends import add_options, check_choices, mean_of, open_network
from rcnn.nets.network import KINDS
from rcnn.scoring import outcomes, probe, score_files, scores
from rcnn.scoring.score_videos import write_scores


def main() -> None:
    args = arguments()
    began = time.monotonic()
    whole, classes = read_chosen(args)
    mode = args.mode or (args.previous and "pair")
    network, mode = open_network(args.backend, args.net, args.weights, args.gpu, mode, pairs=bool(args.previous))
    name = args.net or args.weights
    check_choices(network, name, args.signal, args.classes, classes)
    mean = mean_of(args.mean, network, name)
    with open_records(args.frames, "frames") as frames:
        if frames.channels != network.channels:
            raise InputError(
                f"--frames: {args.frames} has frames of {frames.channels} channels, {name} takes "
                f"{network.channels}; 3 are images, 2 are flow"
            )
        videos, skipped = videos_with_frames(read_list(args.list, whole, classes), frames, args.list)
        tell_reasons("not tested", [(video.name, reason) for video, reason in skipped])
        attributes = {
            # Caffe's as ever, so that finished files stay finished
            **({"net_sha256": sha256(args.net)} if network.backend == "caffe" else {"backend": network.backend}),
            "weights_sha256": sha256(args.weights),
            "frames_manifest_sha256": sha256(frames.path / MANIFEST),
            "fps": str(frames.manifest["recipe"]["fps"]),
            "crops": args.crops,
            "mean": mean,
            "input_scale": args.scale,
            "mode": mode,
            **probe.attributes(args.previous, args.seed),
        }
        if not write_scores(args.out, network, frames, videos, classes, attributes, args.batch, args.force):
            print(f"{args.out} is there already, made with these settings")
    print_results(args, time.monotonic() - began)


def arguments() -> Namespace:
    options = parser(__doc__)
    add_options(options, KINDS)
    options.add_argument("--frames", type=input_path, required=True, help="frames LMDB (tools/build_frames.py)")
    options.add_argument(
        "--list", type=input_path, required=True, help="the videos to test, as UCF-101's testlist01.txt"
    )
    add_class_options(options)
    options.add_argument("--out", type=output_file, required=True, help="HDF5 file to write the scores to")
    options.add_argument("--crops", type=int, choices=crops.PROTOCOLS, default=5, help="crops a frame")
    options.add_argument("--signal", choices=SIGNALS, default="high", help="the signal whose accuracy is printed")
    probe.add_options(options)
    options.add_argument("--confusion", type=output_picture, help="PNG to draw the confusion matrix of log-mean to")
    options.add_argument(
        "--batch", type=positive, default=10, help="crops a forward pass, at least one frame's; it bounds the memory"
    )
    options.add_argument("--force", action="store_true", help="replace an OUT of other videos or settings")
    return options.parse_args()


def print_results(args: Namespace, seconds: float) -> None:
    """Print the accuracy by each fusion and draw the confusion matrix."""
    with score_files.Scores(args.out) as file:
        predicted = {how: scores.predictions(videos) for how, videos in file.fused(args.signal).items()}
        shares = [f"{how} {100 * scores.accuracy(predicted[how], file.labels):.1f} %" for how in scores.FUSIONS]
        print(
            f"video accuracy, {args.signal} signal, {args.crops} crops: {', '.join(shares)}; "
            f"chance {100 / len(file.classes):.1f} %"
        )
        pairs = f"{100 * outcomes.outcomes([file], args.signal).pair_accuracy:.1f} % by the pair"
        print(f"{len(file)} videos, {file.first[-1]} frames, {pairs}, {seconds:.1f} s; scores: {args.out}")
        if args.confusion:
            matrix = scores.confusion(predicted["log-mean"], file.labels, len(file.classes))
            plots.confusion_matrix(
                args.confusion,
                matrix,
                file.classes,
                f"{args.signal} signal, {args.crops} crops, log-mean, {len(file)} videos",
            )
            print(f"confusion matrix: {args.confusion}")

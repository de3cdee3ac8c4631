"""Test a net on videos: a score for each frame, and the share of videos that they classify rightly (Sec. 2.4).

    lists=data/ucf101/ucfTrainTestlist
    python tools/evaluate.py --net prototxt/deploy_rcnn_r.prototxt --weights snapshots/rcnn_r_iter_30000.caffemodel \\
        --frames data/ucf101/frames_5fps.lmdb --list $lists/testlist01.txt --classes $lists/classInd.txt \\
        --crops 5 --out scores.h5

deploy_cnn scores each frame by itself.  deploy_rcnn_r scores each with the one before it, as RCNN-r was trained, and a
video's first frame alone (Eq. 3 at t = 1).  deploy_rcnn_s is fed a video's frames in order and keeps its state, as
RCNN-s was trained; --mode pair makes it score as deploy_rcnn_r does.

The file of --out (HDF5, described in rcnn/scoring/score_files.py) has the score of every frame and crop by every signal;
tools/fuse.py fuses it by any rule without the net.  Interrupted, the same command goes on with the videos that are
left; finished, it only prints the accuracy again: of scores averaged over crops and fused over frames.
"""
import os
import sys
import time

from rcnn.data import crops

from rcnn.experiments import plots

from rcnn.scoring import score_files

from rcnn.scoring import score_writing

from rcnn.scoring import scores
from rcnn.command import finite, parser, positive, positive_real, progress
from rcnn.files import InputError, check_writable, existing, sha256
from rcnn.googlenet import SIGNALS
from rcnn.data.lists import read_classes, read_list
from rcnn.data.records import MANIFEST, open_records
from rcnn.data.sequences import videos_with_frames


def main():
    args = arguments()
    began = time.monotonic()
    for path in filter(None, (args.out, args.confusion)):
        check_writable(path)
    classes = read_classes(args.classes)
    os.environ.setdefault("GLOG_minloglevel", "2")  # else Caffe prints the whole net; it reads this when imported
    from rcnn.nets.inference import Network
    network = Network(args.net, existing(args.weights, "weights"), args.gpu)
    mode = args.mode or network.kind
    if args.signal not in network.signals:
        raise InputError(f"--signal: {args.net} has no output {args.signal}, only {', '.join(network.signals)}")
    if network.classes != len(classes):
        raise InputError(f"--classes: {args.classes} has {len(classes)} classes, {args.net} has {network.classes}")
    args.mean = args.mean or list(crops.MEANS[network.channels])
    if len(args.mean) != network.channels:
        raise InputError(f"--mean: {len(args.mean)} values for the {network.channels} channels of {args.net}")
    with open_records(args.frames, "frames") as frames:
        if frames.channels != network.channels:
            raise InputError(f"--frames: {args.frames} has frames of {frames.channels} channels, {args.net} takes "
                             f"{network.channels}; 3 are images, 2 are flow")
        videos, skipped = videos_with_frames(read_list(args.list, classes), frames, args.list)
        for video, reason in skipped:
            print(f"not tested, as it has no frames: {video.name} ({reason})", file=sys.stderr)
        write(args, network, mode, classes, frames, videos)
    print_results(args, time.monotonic() - began)


def arguments():
    options = parser(__doc__)
    options.add_argument("--net", required=True, help="the deploy net's prototxt")
    options.add_argument("--weights", required=True, help="its caffemodel")
    options.add_argument("--frames", required=True, help="frames LMDB (tools/build_frames.py)")
    options.add_argument("--list", required=True, help="the videos to test, as UCF-101's testlist01.txt")
    options.add_argument("--classes", required=True, help="class names, as UCF-101's classInd.txt")
    options.add_argument("--out", required=True, help="HDF5 file to write the scores to")
    options.add_argument("--crops", type=int, choices=crops.PROTOCOLS, default=5, help="crops a frame")
    options.add_argument("--signal", choices=SIGNALS, default="high", help="the signal whose accuracy is printed")
    options.add_argument("--confusion", help="PNG to draw the confusion matrix of log-mean to")
    options.add_argument("--batch", type=positive, default=10,
                         help="crops a forward pass, at least one frame's; it bounds the memory")
    options.add_argument("--mode", choices=("pair", "recurrent"),
                         help="how deploy_rcnn_s scores (default: recurrent); the other nets know one way each")
    options.add_argument("--gpu", type=int, help="number of the GPU (default: the CPU)")
    options.add_argument("--force", action="store_true", help="replace an OUT of other videos or settings")
    options.add_argument("--scale", type=positive_real, default=1.0,
                         help="what the input is multiplied by after the mean is taken off, as in training")
    options.add_argument("--mean", type=finite, nargs="+", metavar="VALUE",
                         help="what is taken off each channel, blue first, as in training (default: "
                         f"{' '.join(f'{value:g}' for value in crops.MEAN)}; "
                         f"{' '.join(f'{value:g}' for value in crops.FLOW_MEAN)} for flow)")
    return options.parse_args()


def write(args, network, mode, classes, frames, videos):
    """Score the videos and write the file of scores, unless it is there; what an interrupted run finished is kept."""
    from rcnn.nets.inference import score_videos
    attributes = {"net_sha256": sha256(args.net), "weights_sha256": sha256(args.weights),
                  "frames_manifest_sha256": sha256(frames.path / MANIFEST),
                  "fps": str(frames.manifest["recipe"]["fps"]), "crops": args.crops, "mean": args.mean,
                  "input_scale": args.scale, "mode": mode}

    def read(video, index):
        bar.update()
        return frames.frame(videos[left[video]][0].name, index)[0]

    listed = [(video.name, video.label, times) for video, times in videos]
    counts = [len(times) for _, times in videos]
    run = args.out, listed, args.crops, network.signals, classes, attributes
    if not args.force and score_writing.finished(*run):
        print(f"{args.out} is there already, made with these settings")
        return
    with score_writing.writing(*run) as writer, \
            progress(sum(counts), "frame", sum(counts[index] for index in writer.done)) as bar:
        left = [index for index in range(len(videos)) if index not in writer.done]
        results = score_videos(network, [counts[index] for index in left], read, args.crops, args.batch, args.mean,
                               args.scale, mode)
        for video, block in results:
            writer.add(left[video], block)


def print_results(args, seconds):
    """Print the accuracy by each fusion and draw the confusion matrix."""
    with score_files.Scores(args.out) as file:
        predicted = {how: scores.predictions(videos) for how, videos in file.fused(args.signal).items()}
        shares = [f"{how} {100 * scores.accuracy(predicted[how], file.labels):.1f} %" for how in scores.FUSIONS]
        print(f"video accuracy, {args.signal} signal, {args.crops} crops: {', '.join(shares)}; "
              f"chance {100 / len(file.classes):.1f} %")
        print(f"{len(file)} videos, {file.first[-1]} frames, {seconds:.1f} s; scores: {args.out}")
        if args.confusion:
            matrix = scores.confusion(predicted["log-mean"], file.labels, len(file.classes))
            plots.confusion_matrix(args.confusion, matrix, file.classes,
                                   f"{args.signal} signal, {args.crops} crops, log-mean, {len(file)} videos")
            print(f"confusion matrix: {args.confusion}")

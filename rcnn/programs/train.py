"""Train a net: run `caffe train` with a progress bar, a log of records, and resume.

    python tools/train.py --solver prototxt/solver_rcnn_r.prototxt --weights start.caffemodel --plot loss.png
    python tools/train.py --solver prototxt/raw/solver_rcnn_r.prototxt --weights start.caffemodel --gpu 0,1

Paths in the solver and the nets are relative to the folder this is run from, as in Caffe.  Beside the solver's
snapshots (snapshot_prefix P) it keeps P.caffe.log, all that caffe printed, and P.jsonl, a line of JSON for each
displayed iteration and each test (rcnn/training/log.py describes it).

On several GPUs each computes the net's whole batch, so that an iteration sees as many times more pairs; Caffe must have
been built with NCCL, and the nets must have no Python layer (tools/make_prototxt.py --encoding raw).

Run again, it goes on from the newest whole snapshot (--weights then only served the first start), and says so if the
training is finished.  A snapshot holds the weights, the momentum and the iteration, and not all else: Caffe's Data
layers begin again at the first record of their LMDB, and crops and dropout begin their random numbers afresh, so a
training that was interrupted sees other batches than one that was not.

Ctrl-C, SIGTERM and a closed terminal make caffe end its iteration, snapshot and stop; a second
Ctrl-C ends it at once, without a snapshot.  A loss that is not finite ends the training.
"""
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path

from rcnn.nets import device

from rcnn.experiments import plots

from rcnn.training import log as training
from rcnn.command import parser, progress
from rcnn.files import InputError, check_writable

PR_SET_PDEATHSIG = 1  # linux/prctl.h
WAIT_FOR_LOCK = 2.0  # seconds; a killed training's caffe is gone by then


def main():
    args = arguments()
    from rcnn.nets import protos
    from rcnn.training import snapshots
    solver = protos.read_solver(args.solver)
    check_solver(args.solver, solver)
    prefix = Path(solver.snapshot_prefix)
    log = Path(args.log or f"{prefix}.jsonl")
    with locked(f"{prefix}.caffe.log") as caffe_log:
        for path in filter(None, (log, args.plot)):
            check_writable(path)
        start, state = (0, None) if args.fresh else snapshots.newest(prefix)
        status = 0
        if state and start >= solver.max_iter:
            print(f"finished already: {state} is at iteration {start} of {solver.max_iter}; --fresh starts over")
        else:
            nets = protos.nets_of(solver)
            for _, net, phase in nets:
                protos.check_data(net, phase)
            check_processor(args.gpu, solver, nets)
            weights = args.weights.split(",") if args.weights else ",".join(solver.weights).split(",")
            weights = [path.strip() for path in weights if path.strip()]
            if not state:
                check_weights(weights, nets[0][1], prefix)
            command = caffe_command(args, state, weights)
            if args.fresh:
                print(f"--fresh: removed {snapshots.discard(prefix)} snapshot files of {prefix}")
                caffe_log.truncate(0)
                log.unlink(missing_ok=True)
            snapshots.set_aside(prefix, start)
            print(f"going on from {state}" if state else f"starting from {', '.join(weights) or 'fresh weights'}")
            status = train(command, solver, start, log, caffe_log)
            models = snapshots.of(prefix, "caffemodel")
            report({number: path for number, path in models.items() if start < number <= solver.max_iter}, log)
        if args.plot:
            draw(args.plot, log, Path(args.solver).stem)
    return status


def arguments():
    options = parser(__doc__)
    options.add_argument("--solver", required=True, help="the solver's prototxt")
    options.add_argument("--weights", help="caffemodel to start from, or several, separated by commas")
    options.add_argument("--log", help="log of records (default: the snapshot prefix with .jsonl)")
    options.add_argument("--plot", help="PNG to draw the loss curve to when training ends or is already finished")
    options.add_argument("--fresh", action="store_true", help="start over; removes this solver's snapshots and logs")
    options.add_argument("--gpu", type=device.numbers,
                         help="number of the GPU, or several, separated by commas (default: what the solver says)")
    return options.parse_args()


def check_solver(path, solver):
    """Raise InputError for a solver that Caffe would run but this program could not follow."""
    if solver.max_iter < 1:
        raise InputError(f"solver: {path} has max_iter {solver.max_iter}; set how many iterations to train")
    if solver.display < 1:
        raise InputError(f"solver: {path} has display 0, so that no loss would be seen; set display")
    if solver.snapshot_format != solver.BINARYPROTO:
        raise InputError(f"solver: {path} asks for HDF5 snapshots; only BINARYPROTO ones can be resumed here")


def check_processor(gpus, solver, nets):
    """Raise InputError if Caffe cannot train on the GPUs that --gpu names, or else the solver."""
    option = "--gpu"
    if not gpus and solver.HasField("solver_mode") and solver.solver_mode == solver.GPU:
        gpus, option = (solver.device_id,), "the solver has solver_mode GPU and device_id"
    if gpus:
        device.check_training(gpus, [(what, net) for what, net, _ in nets], option)


def check_weights(paths, net, prefix):
    """Raise InputError for weights that a new training of `net` and the snapshot prefix cannot start from.

    A caffemodel must be whole, have a layer of a name of the net's, and not be in the way of the training's own.
    """
    from rcnn.nets import caffemodel
    from rcnn.training import snapshots
    names = {layer.name for layer in net.layer}
    own = {path.resolve() for path in snapshots.of(prefix, "caffemodel").values()}
    for path in paths:
        if Path(path).resolve() in own:
            raise InputError(f"weights: {path} has a name that this training writes; move it to another folder")
        if not names & set(caffemodel.read(path).arrays):
            raise InputError(f"weights: no layer of {path} is in the net, so nothing of it would be used; wrong file?")


def caffe_command(args, state, weights):
    """Return the argument list of `caffe train`."""
    program = shutil.which("caffe", path=search_path())
    if not program:
        raise InputError("no caffe program, neither beside this python nor on PATH; run make caffe")
    # Caffe's "stop" ends the iteration and snapshots first; its "snapshot" would go on training
    command = [program, "train", "-solver", str(args.solver), "-sigint_effect", "stop"]
    if state:
        command += ["-snapshot", str(state)]
    elif weights:
        command += ["-weights", ",".join(weights)]
    if args.gpu is not None:
        command += ["-gpu", ",".join(map(str, args.gpu))]
    return command


def search_path():
    """Return PATH with this python's folder first: caffe's embedded Python takes the first environment on it."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


@contextmanager
def locked(path):
    """Yield a file open for appending lines that one training at a time can have; caffe holds it too while it lives."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a", buffering=1, encoding="utf-8")
    except OSError as error:
        raise InputError(f"snapshot_prefix: cannot write {path}: {error.strerror}; mend the solver's") from None
    with file:
        deadline = time.monotonic() + WAIT_FOR_LOCK
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise InputError(f"a training that writes {path} is running; wait for it, or stop it") from None
                time.sleep(0.1)
        yield file


def train(command, solver, start, log, caffe_log):
    """Run caffe to its end and return the exit status; InputError if it failed or the loss was not finite."""
    kept = training.rewind(log, start)
    before = kept[-1]["seconds"] if kept else 0.0
    lines = training.LogParser(solver.average_loss)
    tail = deque(maxlen=300)
    began = time.monotonic()
    with child(command, caffe_log) as (process, stopped), open(log, "a", buffering=1, encoding="utf-8") as file, \
            progress(solver.max_iter, "it", start, Path(solver.snapshot_prefix).name) as bar:
        for line in process.stdout:
            caffe_log.write(line)
            tail.append(line)
            take(lines.feed(line), process, file, bar, before + time.monotonic() - began)
        take(lines.finish(), process, file, bar, before + time.monotonic() - began)
        status = process.wait()
        if not (status or stopped):
            bar.update(solver.max_iter - bar.n)
    if stopped:
        print("stopped; run the same command to go on")
        return 130
    if status:
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        raise InputError(f"caffe ended {how}: {training.complaint(list(tail))} (all it said: {caffe_log.name})")
    return 0


def take(record, process, file, bar, seconds):
    """Log a record and show it; one that is not finite ends the process and raises InputError."""
    if record is None:
        return
    bad = training.not_finite(record)
    if bad:
        process.kill()
        raise InputError(f"{record['phase']} values at iteration {record['iteration']} are not finite "
                         f"({', '.join(bad)}): training diverged; lower base_lr, or check the data and the input scale")
    record["seconds"] = round(seconds, 3)
    file.write(training.line(record))
    if record["phase"] == "train":
        rate = record["learning_rate"]
        bar.set_postfix_str(f"loss {record['loss']:.4g}" + (f", rate {rate:.3g}" if rate is not None else ""),
                                refresh=False)
    else:
        values = ", ".join(f"{name} {value:.4g}" for name, value in record["outputs"].items()
                           if not isinstance(value, list))
        bar.write(f"{bar.desc}, iteration {record['iteration']}, test net {record['net']}: {values}", file=sys.stderr)
    bar.update(record["iteration"] - bar.n)


@contextmanager
def child(command, caffe_log):
    """Yield (process, stopped): the running caffe and a list that is empty until the user asks it to stop.

    caffe has a session of its own, so that Ctrl-C reaches this program alone, which tells caffe; and it dies with
    this program, so that no second caffe ever writes the same snapshots.
    """
    environment = dict(os.environ, GLOG_logtostderr="1", GLOG_minloglevel="0", PATH=search_path())
    prctl = ctypes.CDLL(None).prctl
    stopped, handlers, process = [], {}, None

    def stop(number, frame):
        if process is not None:
            process.send_signal(signal.SIGKILL if stopped else signal.SIGINT)
        stopped.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            handlers[number] = signal.signal(number, stop)
    try:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", bufsize=1, start_new_session=True, pass_fds=[caffe_log.fileno()],
            preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        yield process, stopped
    finally:
        if process is not None:
            process.kill()
            process.wait()
            process.stdout.close()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def report(models, log):
    """Say where the results are; InputError if the newest weights went bad after the last loss was shown.

    models: {iteration: caffemodel}, newest first.
    """
    from rcnn.nets import caffemodel
    for iteration, path in list(models.items())[:1]:
        caffemodel.read(path)
        print(f"weights of iteration {iteration}: {path}; log: {log}")


def draw(path, log, name):
    """Draw the loss curve of a log to a PNG."""
    plots.loss_curves(path, {name: training.loss_curve(training.read_log(log))})
    print(f"loss curve: {path}")

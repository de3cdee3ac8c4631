"""What every command-line program here has in common: how it parses, and how it ends."""
import argparse
import math
import os
import signal
import sys
from contextlib import contextmanager

from tqdm import tqdm

from rcnn.files import ProgramError


class _Ended(KeyboardInterrupt):
    """A signal asks the program to end; all that Ctrl-C cleans up is cleaned up then too."""

    def __init__(self, number):
        super().__init__()
        self.status = 128 + number


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}; --help tells more\n")


def parser(doc):
    """Return an ArgumentParser whose --help is the program's docstring, with every default that is not None.

    A wrong argument is answered in one line, with status 2.
    """
    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        def _get_help_string(self, action):
            return action.help if action.default is None else super()._get_help_string(action)
    return _Parser(description=doc, formatter_class=Formatter)


def positive(text):
    """An argparse type: an integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return number


def positive_real(text):
    """An argparse type: a finite number above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def finite(text):
    """An argparse type: a finite number."""
    number = float(text)
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text} is not finite")
    return number


def progress(total, unit, done=0, name=None):
    """Return a tqdm bar of `total` units, `done` of them there before; into a file it writes twice a minute.

    name: stands before it.
    """
    return tqdm(total=total, initial=done, unit=unit, desc=name, dynamic_ncols=True,
                mininterval=0.1 if sys.stderr.isatty() else 30)


def tell(text):
    """Print a line to standard error, above a progress bar if there is one."""
    tqdm.write(text, file=sys.stderr)


def run(main):
    """Call `main()` and exit with what it returns (None is 0).

    ProgramError, and an OSError such as that of a full disk, becomes one line on standard error and status 2; an
    interruption by the keyboard becomes status 130, by SIGTERM 143, by the end of the terminal 129.  Where nobody
    reads its output any more, the program ends with status 141, silently.
    """
    program = sys.argv[0].rsplit("/", 1)[-1]
    try:
        with _ending_on(signal.SIGTERM, signal.SIGHUP):
            status = main()
        sys.stdout.flush()
    except ProgramError as error:
        print(f"{program}: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt as error:
        print(f"\n{program}: interrupted; run the same command again to go on", file=sys.stderr)
        status = getattr(error, "status", 130)
    except BrokenPipeError:
        # else Python fails to print what is left when it ends, says so, and its status is 120
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except OSError as error:
        print(f"{program}: {' '.join(str(error).split())}", file=sys.stderr)
        status = 2
    sys.exit(status)


@contextmanager
def _ending_on(*numbers):
    """Have signals raise _Ended, except those that are dealt with already, as nohup does with SIGHUP."""
    def end(number, _):
        raise _Ended(number)
    numbers = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)

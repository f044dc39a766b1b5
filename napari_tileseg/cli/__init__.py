"""The command `tileseg`: what the dock does on a desk, without a window."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from napari_tileseg.errors import Cancelled, SettingsError, TilesegError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DONE, FAILED, WRONG_USE, CANCELLED = 0, 1, 2, 3

COMMANDS = ("predict", "demo", "models", "info", "convert", "export", "evaluate", "train", "bench")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv
        What follows `tileseg` on the command line; None reads it from there.

    Returns
    -------
    0 done, 1 failed, 2 wrong use, 3 cancelled.
    """
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as end:  # argparse has printed the help, or what is wrong
        return end.code if isinstance(end.code, int) else WRONG_USE
    if argv is None:  # a queue on a cluster ends its jobs with this signal
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if args.verbose:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("napari_tileseg").setLevel(logging.INFO)
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        code = run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read what is printed, like `head`, has seen enough
        _print_no_more()
        return FAILED
    except (KeyboardInterrupt, Cancelled) as stop:
        _complain("cancelled", str(stop) or "Stopped. No unfinished file is left.")
        return CANCELLED
    except TilesegError as error:
        if args.verbose:
            import traceback

            traceback.print_exc()
        _complain("error", str(error))
        return WRONG_USE if isinstance(error, SettingsError) else FAILED


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; it loads nothing that is slow to load."""
    parser = argparse.ArgumentParser(
        prog="tileseg",
        description="Segment images of any size with a neural network, tile by tile.",
        epilog="'tileseg COMMAND --help' explains a command and shows an example.\n"
        "Exit codes: 0 done, 1 failed, 2 wrong use, 3 cancelled.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"{__name__}.{name}").add_parser(subparsers)
    return parser


class _Version(argparse.Action):
    """Ask for the version only when a person does: reading it takes a while."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import napari_tileseg

        print(f"tileseg {napari_tileseg.__version__}")
        parser.exit()


def _print_no_more() -> None:
    """Let what is still to be printed go nowhere, also what Python flushes at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _complain(what: str, message: str) -> None:
    print(f"tileseg: {what}: {message}", file=sys.stderr)

"""What is said about the work on disk: when it was saved, what there is from before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Offer:
    """Earlier work on the chosen image.

    Attributes
    ----------
    path
        Its folder.
    saved
        When it was saved last, in words.
    vouched_px
        How many pixels a person vouched for.
    classes
        The names of its classes.
    changed
        Whether the image was written since.
    aside
        Whether there is newer work already, so that this was put beside it.
    """

    path: Path
    saved: str
    vouched_px: int = 0
    classes: tuple[str, ...] = ()
    changed: bool = False
    aside: bool = False


@dataclass(frozen=True)
class Work:
    """Where the work on the chosen image is kept.

    Attributes
    ----------
    path
        Its folder; None while there is nothing to keep.
    saved_at
        When something was saved last, as "14:02".
    offer
        Earlier work that nobody has decided about.
    opening
        Whether earlier work is being read.
    problem
        Why nothing is saved at the moment; empty if it is.
    read_only
        Whether nothing is saved here at all, because somebody else does.
    """

    path: Path | None = None
    saved_at: str = ""
    offer: Offer | None = None
    opening: bool = False
    problem: str = ""
    read_only: bool = False


@dataclass(frozen=True)
class WorkView:
    """What the dock shows of it; every text is final.

    Attributes
    ----------
    saved_line
        "saved 14:02", "not saved", or nothing: for the end of another line.
    footer
        The same with the name of the folder.
    folder
        The whole path of the folder, for a tooltip.
    warning
        Why nothing is saved, and what to do.
    offer
        What there is from before, as a question.
    go_on, decline
        What the two buttons below say.
    can_save_as
        Whether there is something to save under another name.
    """

    saved_line: str = ""
    footer: str = ""
    folder: str = ""
    warning: str = ""
    offer: str = ""
    go_on: str = ""
    decline: str = ""
    can_save_as: bool = False


def work_view(work: Work, *, has_labels: bool) -> WorkView:
    """Work out what is shown. Pure."""
    offer = work.offer
    return WorkView(
        saved_line=_saved(work),
        footer=_footer(work),
        folder="" if work.path is None else str(work.path),
        warning=_warning(work),
        offer="" if offer is None or work.opening else _question(offer),
        go_on="Bring it back" if offer is not None and offer.aside else "Go on with it",
        decline="Not now" if offer is not None and offer.aside else "Start anew",
        can_save_as=has_labels and not work.opening,
    )


def _saved(work: Work) -> str:
    if work.problem or work.read_only:
        return "not saved"
    return f"saved {work.saved_at}" if work.saved_at else ""


def _footer(work: Work) -> str:
    if work.opening:
        return "Opening what you did before …"
    saved = _saved(work)
    if not saved or work.path is None:
        return saved.capitalize()
    if work.problem or work.read_only:
        return saved.capitalize()
    return f"{saved.capitalize()} in {work.path.name}"


def _warning(work: Work) -> str:
    if work.read_only:
        return (
            "This image is being worked on in another napari window, which saves there. Here you "
            "can look and try things, but nothing is saved. Close it there and open the image "
            "again, or save the project under another name."
        )
    return work.problem


def _question(offer: Offer) -> str:
    vouched = f"{offer.vouched_px:,} px vouched for, " if offer.vouched_px else ""
    classes = f"{len(offer.classes)} classes, " if offer.classes else ""
    what = f"{vouched}{classes}saved {offer.saved}"
    if offer.aside:
        return f"What you did before on this image is kept in '{offer.path.name}': {what}."
    changed = (
        " The image file was changed since: check that the labels still lie where they belong."
        if offer.changed
        else ""
    )
    return f"You have worked on this image before: {what}.{changed}"

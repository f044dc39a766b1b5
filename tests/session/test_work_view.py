"""What is said about the work on disk, in every state it can be in."""

from pathlib import Path

import pytest

from napari_tileseg.session.project import Offer, Work, work_view

FOLDER = Path("/data/slide.tif.tileseg")


def view(has_labels=True, **known):
    return work_view(Work(**known), has_labels=has_labels)


def test_nothing_to_keep_says_nothing():
    shown = view(has_labels=False)
    assert [shown.saved_line, shown.footer, shown.warning, shown.offer] == [""] * 4
    assert not shown.can_save_as


def test_saved_work_says_when_and_where():
    shown = view(path=FOLDER, saved_at="14:02")
    assert shown.saved_line == "saved 14:02"
    assert shown.footer == "Saved 14:02 in slide.tif.tileseg"
    assert shown.folder == str(FOLDER)
    assert shown.can_save_as


def test_work_that_cannot_be_saved_never_says_that_it_is():
    shown = view(path=FOLDER, saved_at="14:02", problem="The disk is full: make room.")
    assert shown.saved_line == "not saved"
    assert shown.footer == "Not saved"
    assert shown.warning == "The disk is full: make room."


def test_a_second_window_is_told_why_it_does_not_save_and_what_to_do():
    shown = view(path=FOLDER, read_only=True, saved_at="14:02")
    assert shown.saved_line == "not saved"
    for words in ("another napari window", "nothing is saved", "under another name"):
        assert words in shown.warning
    assert shown.can_save_as


def test_earlier_work_is_described_before_it_is_brought_back():
    offer = Offer(FOLDER, "today at 14:02", 12345, ("background", "axon"))
    shown = view(offer=offer)
    for words in ("12,345 px vouched for", "2 classes", "saved today at 14:02"):
        assert words in shown.offer
    assert (shown.go_on, shown.decline) == ("Go on with it", "Start anew")
    assert "changed" not in shown.offer


def test_an_image_that_was_written_since_is_told():
    assert "changed since" in view(offer=Offer(FOLDER, "today", changed=True)).offer


def test_work_that_was_set_aside_says_where_it_is():
    shown = view(offer=Offer(FOLDER, "today at 14:02", aside=True))
    assert "kept in 'slide.tif.tileseg'" in shown.offer
    assert (shown.go_on, shown.decline) == ("Bring it back", "Not now")


@pytest.mark.parametrize("has_labels", [False, True])
def test_while_earlier_work_is_read_nothing_else_can_be_done_with_it(has_labels):
    shown = view(has_labels, offer=Offer(FOLDER, "today"), opening=True, saved_at="14:02")
    assert not shown.offer
    assert "Opening" in shown.footer
    assert not shown.can_save_as

"""The list of the models that were in use."""

import pytest

from napari_tileseg.session.versions import Versions
from tests.stubs import small_conv


@pytest.fixture
def versions():
    made = Versions()
    made.follow(small_conv(), "cells")
    return made


def test_one_model_alone_is_no_history(versions):
    assert versions.rows() == ()


def test_what_was_taught_is_listed_newest_first_and_not_in_use_by_itself(versions):
    first = versions.add(small_conv(), "Dice 0.71 → 0.83")
    assert [(row.title, row.in_use) for row in versions.rows()] == [
        ("cells · taught 1", False),
        ("cells", True),
    ]
    versions.follow(first.network, first.origin)
    assert [row.in_use for row in versions.rows()] == [True, False]


def test_teaching_begins_at_the_loaded_model_however_often_it_was_taught(versions):
    base = versions.base
    for _ in range(3):
        version = versions.add(small_conv(), "")
        versions.follow(version.network, version.origin)
    assert versions.base is base
    assert version.origin == "cells · taught 3"


def test_going_back_and_teaching_again_does_not_take_a_name_twice(versions):
    base = versions.active
    first = versions.add(small_conv(), "")
    versions.follow(first.network, first.origin)
    versions.follow(base.network, base.origin)
    second = versions.add(small_conv(), "")
    assert first.origin != second.origin


def test_models_that_were_only_looked_at_are_forgotten(versions):
    versions.add(small_conv(), "")
    versions.follow(small_conv(), "other")
    versions.follow(small_conv(), "third")
    assert [row.title for row in versions.rows()] == ["third", "cells · taught 1", "cells"]


def test_the_version_in_use_follows_the_session(versions):
    versions.follow(None, "")
    assert versions.active is None
    assert versions.base is None


def test_who_listens_is_told_of_what_was_taught(versions):
    told = []
    versions.added.connect(told.append)
    version = versions.add(small_conv(), "note")
    assert told == [version]

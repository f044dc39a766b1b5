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


def test_versions_of_an_earlier_session_come_back_behind_those_that_are_there(versions):
    earlier, told = Versions(), []
    earlier.follow(small_conv(), "axons")
    earlier.follow((taught := earlier.add(small_conv(), "Dice 0.71 → 0.83")).network, taught.origin)
    versions.added.connect(told.append)
    _, back = versions.bring_back(earlier.all)
    assert versions.active.origin == "cells"
    assert not told
    versions.follow(back.network, back.origin)
    assert versions.base is earlier.base
    assert versions.add(small_conv(), "").origin == "axons · taught 2"
    assert len({one.number for one in versions.all}) == len(versions.all) == 3


def test_a_version_that_came_back_is_not_listed_twice(versions):
    base = versions.active
    taught = versions.add(small_conv(), "")
    assert versions.bring_back(versions.all) == (base, taught)
    assert len(versions.all) == 2


def test_a_version_whose_root_was_lost_becomes_its_own(versions):
    taught = versions.add(small_conv(), "")
    later = Versions()
    (back,) = later.bring_back([taught])
    later.follow(back.network, back.origin)
    assert later.base is taught.network

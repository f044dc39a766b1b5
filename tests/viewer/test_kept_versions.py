"""The versions of a model in a project: what was taught is there the next day."""

from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Architecture, ModelSpec, default_classes
from napari_tileseg.io.project import Project
from napari_tileseg.models import registry
from napari_tileseg.session import Session
from napari_tileseg.session.versions import Versions
from napari_tileseg.viewer.kept_versions import KeptVersions, read_versions
from tests.stubs import small_conv
from tests.tasks import AtOnce

RECIPE = Architecture(
    "original-unet",
    {"in_channels": 1, "classes": 3, "depth": 1, "base_channels": 4, "padding": "same"},
)


def a_network(seed):
    torch.manual_seed(seed)
    spec = ModelSpec("cells", default_classes(3), channels=("grey",), stride=2, tile=32)
    return Network(registry.build(RECIPE).eval(), spec, RECIPE)


class Never(AtOnce):
    """Tasks of a window that closes before they have begun."""

    def start(self, *_, **__):
        pass


class Window:
    """One window with one image; its project is saved as autosave would."""

    opened: ClassVar = []

    def __init__(self, path, tasks=None):
        self.project = Project.open(path) if path.exists() else Project.create(path, {})
        self.opened.append(self.project)
        self.work = SimpleNamespace(project=self.project, extra={})
        self.work.extra.update(self.project.facts.get("extra", {}))
        self.session = Session()
        self.versions = Versions()
        self.taken = []
        history = SimpleNamespace(versions=self.versions, take_up=self._take_up)
        self.kept = KeptVersions(self.session, history, tasks or AtOnce(), lambda: self.work)

    def _take_up(self, version):
        self.taken.append(version)
        self.versions.follow(version.network, version.origin)

    def teach(self, seed, note=""):
        version = self.versions.add(a_network(seed), note)
        self.versions.follow(version.network, version.origin)
        return version

    def go_on(self):
        stored = read_versions(self.project, self.kept.known())
        self.kept.bring_back(self.project, stored)
        return stored

    def close(self):
        self.kept.close()
        self.project.set_facts({"extra": self.work.extra})
        self.project.close()


@pytest.fixture
def path(tmp_path):
    yield tmp_path / "a.tileseg"
    while Window.opened:
        Window.opened.pop().close()


def titles(window):
    return [(row.title, row.note, row.in_use) for row in window.versions.rows()]


def weights(network):
    return torch.cat([one.flatten() for one in network.module.state_dict().values()])


def taught(path, tasks=None):
    window = Window(path, tasks)
    base = a_network(0)
    window.versions.follow(base, "cells")
    window.teach(1, "Dice 0.71 → 0.83")
    window.teach(2, "not proven")
    window.versions.follow(base, "cells")
    return window


@pytest.mark.parametrize("tasks", [AtOnce(), Never()])
def test_all_versions_come_back_with_the_one_in_use(path, tasks):
    window = taught(path, tasks)
    before, networks = titles(window), [one.network for one in window.versions.all]
    window.close()
    window = Window(path)
    window.go_on()
    assert titles(window) == before
    assert window.versions.active.origin == "cells"
    for old, new in zip(networks, window.versions.all, strict=True):
        assert torch.equal(weights(old), weights(new.network))


def test_teaching_goes_on_from_the_model_that_was_loaded_at_first(path):
    taught(path).close()
    window = Window(path)
    window.go_on()
    version = window.teach(3)
    assert version.origin == "cells · taught 3"
    assert torch.equal(weights(window.versions.base), weights(a_network(0)))
    window.close()
    window = Window(path)
    window.go_on()
    assert [one.taught for one in window.versions.all] == [0, 1, 2, 3]
    assert window.versions.active.taught == 3
    assert {one.root for one in window.versions.all} == {window.versions.all[0].number}


def test_a_model_that_was_never_taught_is_not_copied(path):
    window = Window(path)
    window.versions.follow(a_network(0), "cells")
    window.close()
    assert not list((path / "models").iterdir())


def test_a_version_that_cannot_be_read_is_told_and_the_others_come_back(path):
    window = taught(path)
    digest = window.kept._digests[window.versions.all[1].network]
    window.close()
    (path / "models" / f"{digest}.safetensors").unlink()
    window = Window(path)
    stored = window.go_on()
    assert "cannot be read any more" in stored.note
    assert [row.title for row in window.versions.rows()] == ["cells · taught 2", "cells"]


def test_a_dock_that_is_opened_again_finds_the_versions_of_the_one_before(path):
    window = taught(path)
    before = titles(window)
    window.close()
    window = Window(path)
    window.kept.advance()
    assert titles(window) == before


def test_a_second_project_gets_the_models_in_use_too_and_none_is_listed_twice(path, tmp_path):
    window = taught(path)
    other = Project.create(tmp_path / "b.tileseg", {})
    window.work.project = other
    window.kept.advance()
    assert len(other.models) == 3
    assert len(window.versions.all) == 3
    assert window.work.extra["versions"]
    other.close()


def test_a_window_that_only_reads_writes_no_models(path):
    first = Project.create(path, {})
    window = SimpleNamespace(project=Project.open(path, read_only=True), extra={})
    versions = Versions()
    history = SimpleNamespace(versions=versions)
    session = Session()
    kept = KeptVersions(session, history, AtOnce(), lambda: window)
    versions.follow(a_network(0), "cells")
    versions.add(a_network(1), "")
    kept.close()
    assert session.view.notice is None
    assert not list((path / "models").iterdir())
    window.project.close()
    first.close()


def test_a_model_that_cannot_be_saved_is_told_once(path):
    window = Window(path)
    window.versions.follow(small_conv(), "stub")
    window.versions.add(small_conv(), "")
    assert "cannot be saved" in window.session.view.notice.text
    window.session.dismiss()
    window.kept._retry_at = 0.0
    window.kept.advance()
    assert window.session.view.notice is None


def test_the_history_says_what_was_taught_and_what_was_in_use(path):
    window = taught(path)
    window.close()
    entries = [(one["what"], one["origin"]) for one in Window(path).project.history]
    assert entries[:2] == [("loaded", "cells"), ("taught", "cells · taught 1")]
    assert ("in use", "cells · taught 2") in entries
    assert entries[-1] == ("in use", "cells")

"""Correct and teach with real clicks in a real viewer, with a network that learns in seconds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog
from torch import nn

from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import (
    Architecture,
    ClassInfo,
    ModelSpec,
    Normalisation,
    NormalisationKind,
)
from napari_tileseg.models import registry
from napari_tileseg.session import State
from napari_tileseg.session.teaching import Phase
from napari_tileseg.training.held_out import gap_px, split
from napari_tileseg.viewer import lesson_job
from napari_tileseg.viewer.teaching import _judged

CLASSES = (
    ClassInfo("background", "#000000"),
    ClassInfo("dim", "#ff0000"),
    ClassInfo("bright", "#00ff00"),
)
PLACES = (
    (slice(0, 100), slice(0, 100)),
    (slice(150, 256), slice(0, 100)),
    (slice(0, 100), slice(150, 256)),
)


def click(button):
    assert button.isVisible()
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def linear_network(weights=(-8.0, 0.0, 8.0), biases=(0.0, 0.0, 0.0)):
    """Return a network that looks at single pixels; as it is it takes dim for bright."""
    module = nn.Conv2d(1, 3, 1)
    with torch.no_grad():
        module.weight[:, 0, 0, 0] = torch.tensor(weights)
        module.bias[:] = torch.tensor(biases)
    spec = ModelSpec(
        "stub",
        CLASSES,
        channels=("grey",),
        tile=64,
        normalisation=Normalisation(NormalisationKind.NONE),
    )
    return Network(module.eval(), spec)


GOOD = {"weights": (-8.0, 0.0, 8.0), "biases": (2.0, 0.0, -4.0)}
"""Splits at 0.25 and 0.5: as right as can be."""


@pytest.fixture
def truth(image):
    return np.searchsorted([50, 150], image).astype(np.uint8)


def prepare(viewer, dock, image, network):
    viewer.add_image(image.astype(np.float32) / 255, name="slide")
    dock.session.set_model(network, "stub")
    settings = dock.session.view.teach.settings
    dock.controller.teaching.choose_settings(
        settings.but(epochs=40, learning_rate=0.3, anchor=0.0, augmentation=0.0, patch=32, batch=8)
    )
    dock.teach_step.set_open(True)


@pytest.fixture
def ready(viewer, dock, image, qtbot):
    """The dock after a run of a network that has something to learn."""
    prepare(viewer, dock, image, linear_network())
    run(dock, qtbot)
    return dock


def run(dock, qtbot):
    dock.controller.run()
    wait_for_run(dock, qtbot)


def wait_for_run(dock, qtbot):
    qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=30_000)


def layer_of(dock):
    return dock.controller.chosen.results.front


def review(dock, labels, qtbot, places=PLACES):
    for region in places:
        layer_of(dock).review(region, labels=labels[region])
    qtbot.waitUntil(lambda: dock.session.view.teach.can_teach, timeout=20_000)


def teach(dock, qtbot):
    click(dock.teach_panel.teach)
    qtbot.waitUntil(lambda: not dock.session.view.teach.teaching, timeout=60_000)


def return_to(dock, line, qtbot):
    button = dock.teach_panel.versions.lines[line].button
    qtbot.waitUntil(button.isVisible, timeout=5_000)
    click(button)


class Gone:
    """A timer that Qt has deleted; it is no longer asked to stop."""

    def start(self):
        """Do nothing."""

    def stop(self):
        raise RuntimeError("deleted")


def test_teaching_can_be_closed_twice(dock, monkeypatch):
    teaching = dock.controller.teaching
    teaching.close()
    monkeypatch.setattr(teaching._readiness, "_timer", Gone())
    teaching.close()


def test_nothing_vouched_says_what_to_do(ready):
    assert not ready.teach_panel.teach.isEnabled()
    assert "reviewed" in ready.session.view.teach.readiness


def test_a_better_model_is_offered_used_and_the_labels_are_those_of_the_new_one(
    ready, truth, qtbot
):
    wrong_before = (layer_of(ready).data != truth).sum()
    review(ready, truth, qtbot)
    teach(ready, qtbot)
    finding = ready.session.view.teach.finding
    assert finding.outcome == "better"
    assert ready.session.view.teach.points
    old = ready.session.network
    assert (layer_of(ready).data != truth).sum() <= wrong_before  # nothing has changed yet
    click(ready.teach_panel.verdict.use)
    wait_for_run(ready, qtbot)
    assert ready.session.network is not old
    assert (layer_of(ready).data != truth).sum() < wrong_before / 4
    assert ready.session.view.origin == "stub · taught 1"


def test_a_click_brings_back_the_former_model_and_its_exact_labels(ready, viewer, truth, qtbot):
    review(ready, truth, qtbot)
    before, old = layer_of(ready).data.copy(), ready.session.network
    count = len(viewer.layers)
    teach(ready, qtbot)
    click(ready.teach_panel.verdict.use)
    wait_for_run(ready, qtbot)
    after, new = layer_of(ready).data.copy(), ready.session.network
    assert (before != after).any()
    return_to(ready, 1, qtbot)
    np.testing.assert_array_equal(layer_of(ready).data, before)
    assert ready.session.network is old
    return_to(ready, 0, qtbot)
    np.testing.assert_array_equal(layer_of(ready).data, after)
    assert ready.session.network is new
    assert len(viewer.layers) == count


def test_after_a_merge_it_can_be_taught_again_and_again(viewer, dock, image, truth, qtbot):
    recipe = Architecture(
        "original-unet",
        {"padding": "same", "depth": 1, "base_channels": 4, "in_channels": 1, "classes": 3},
    )
    spec = linear_network().spec
    network = Network(registry.build(recipe).eval(), replace(spec, stride=2), recipe)
    prepare(viewer, dock, image, network)
    run(dock, qtbot)
    dock.class_list.merge_requested.emit(1, 2)
    two = np.minimum(truth, 1)
    for _ in range(2):
        review(dock, two, qtbot)
        teach(dock, qtbot)
        assert dock.session.view.teach.finding is not None, dock.session.view.notice
        assert len(dock.session.view.teach.finding.classes) == 2
        dock.controller.teaching.use()
        wait_for_run(dock, qtbot)
        assert set(np.unique(layer_of(dock).data)) <= {0, 1}
    assert len(dock.session.view.teach.versions) == 3


def test_a_verdict_that_cannot_be_shown_ends_the_teaching(ready, truth, qtbot, monkeypatch):
    def broken(verdict):
        raise ValueError("no figures")

    monkeypatch.setattr(ready.session.learning, "decide", broken)
    review(ready, truth, qtbot)
    teach(ready, qtbot)
    qtbot.waitUntil(lambda: ready.session.view.teach.can_teach, timeout=10_000)
    assert ready.session.view.teach.finding is None
    ready.controller.teaching.use()  # there is nothing to use
    assert ready.session.view.origin == "stub"


def test_a_last_look_that_fails_takes_nothing_away_from_the_verdict(
    ready, truth, qtbot, monkeypatch
):
    def look(looks, network, *, final):
        if final:
            raise ValueError("no look")
        yield from ()

    monkeypatch.setattr(lesson_job._Looks, "at", look)
    review(ready, truth, qtbot)
    teach(ready, qtbot)
    qtbot.waitUntil(lambda: not ready.controller.teaching.is_teaching, timeout=10_000)
    assert ready.session.view.teach.finding is not None
    ready.controller.teaching.show_place()
    ready.controller.teaching.use()
    assert ready.session.view.origin == "stub · taught 1"


def test_discarding_leaves_model_and_labels_alone(ready, viewer, truth, qtbot):
    review(ready, truth, qtbot)
    before, old, layers = layer_of(ready).data.copy(), ready.session.network, list(viewer.layers)
    teach(ready, qtbot)
    click(ready.teach_panel.verdict.discard)
    np.testing.assert_array_equal(layer_of(ready).data, before)
    assert ready.session.network is old
    assert list(viewer.layers) == layers
    assert ready.session.view.teach.phase is Phase.IDLE


def test_what_was_learnt_stays_in_the_history_whatever_is_decided(ready, truth, qtbot):
    review(ready, truth, qtbot)
    old = ready.session.network
    teach(ready, qtbot)
    undecided = ready.session.view.teach
    assert [row.in_use for row in undecided.versions] == [False, True]
    assert not undecided.can_return
    click(ready.teach_panel.verdict.discard)
    assert ready.session.network is old
    return_to(ready, 0, qtbot)
    wait_for_run(ready, qtbot)
    assert ready.session.view.origin == "stub · taught 1"


def test_labels_shuffled_where_it_learns_are_not_offered(viewer, dock, image, truth, qtbot):
    prepare(viewer, dock, image, linear_network(**GOOD))
    run(dock, qtbot)
    review(dock, truth, qtbot)
    given = dock.controller.teaching._assignment()
    words = [one.vouchings for one in given.examples]
    held = _judged(given, split(words, gap_px(given.base.spec), given.settings.seed))
    random = np.random.default_rng(0).integers(0, 3, truth.shape).astype(np.uint8)
    for region in PLACES:
        inside = any(
            all(a.start < b.stop and b.start < a.stop for a, b in zip(region, box, strict=True))
            for box in held
        )
        if not inside:
            layer_of(dock).review(region, labels=random[region])
    before = layer_of(dock).data.copy()
    teach(dock, qtbot)
    assert dock.session.view.teach.finding.outcome == "not better"
    assert dock.teach_panel.verdict.use.text() == "Use it anyway"
    click(dock.teach_panel.verdict.places)
    click(dock.teach_panel.verdict.discard)
    np.testing.assert_array_equal(layer_of(dock).data, before)


def test_one_painted_spot_teaches_and_nothing_is_claimed(ready, truth, qtbot):
    region = (slice(40, 60), slice(40, 60))
    layer_of(ready).data_setitem(np.nonzero(np.ones((20, 20))), truth[region].ravel())
    qtbot.waitUntil(lambda: ready.session.view.teach.can_teach, timeout=20_000)
    assert "Not enough to prove" in ready.session.view.teach.readiness
    teach(ready, qtbot)
    assert ready.session.view.teach.finding.outcome == "not proven"


def test_cancel_ends_soon_and_what_was_learnt_is_compared(ready, truth, qtbot):
    teaching = ready.controller.teaching
    teaching.choose_settings(ready.session.view.teach.settings.but(epochs=1000, minutes=30))
    review(ready, truth, qtbot)
    click(ready.teach_panel.teach)
    qtbot.waitUntil(lambda: len(ready.session.view.teach.points) > 5, timeout=30_000)
    assert ready.teach_panel.curve.isVisible()
    click(ready.teach_panel.cancel)
    qtbot.waitUntil(lambda: not ready.session.view.teach.teaching, timeout=20_000)
    assert ready.session.view.teach.finding.early


def test_while_it_learns_runs_use_the_model_in_use_and_no_other_can_be_chosen(ready, truth, qtbot):
    teaching, old = ready.controller.teaching, ready.session.network
    teaching.choose_settings(ready.session.view.teach.settings.but(epochs=1000, minutes=30))
    review(ready, truth, qtbot)
    before = layer_of(ready).data.copy()
    click(ready.teach_panel.teach)
    qtbot.waitUntil(lambda: len(ready.session.view.teach.points) > 5, timeout=30_000)
    ready.controller.choose_model("cells")
    assert "teaching" in ready.session.view.notice.text
    run(ready, qtbot)
    assert ready.session.network is old
    np.testing.assert_array_equal(layer_of(ready).data, before)
    assert ready.session.view.teach.teaching
    teaching.discard()
    assert ready.session.view.teach.phase is Phase.IDLE


def test_what_it_thinks_and_would_change_are_layers_of_their_own_that_can_be_hidden(
    ready, viewer, truth, qtbot
):
    teaching = ready.controller.teaching
    teaching.choose_settings(ready.session.view.teach.settings.but(epochs=1000, minutes=30))
    review(ready, truth, qtbot)
    before = layer_of(ready).data.copy()
    click(ready.teach_panel.teach)
    thought = "slide · labels · while it learns"
    qtbot.waitUntil(lambda: thought in viewer.layers, timeout=30_000)
    assert viewer.layers.selection.active is layer_of(ready)
    click(ready.teach_panel.preview)
    assert not viewer.layers[thought].visible
    np.testing.assert_array_equal(layer_of(ready).data, before)
    teaching.stop()
    changes = "slide · labels · would change"
    qtbot.waitUntil(lambda: changes in viewer.layers, timeout=30_000)
    assert thought not in viewer.layers
    changed = viewer.layers[changes].data.astype(bool)
    low = np.round(viewer.layers[changes].translate).astype(int)
    seen = tuple(slice(a, a + n) for a, n in zip(low, changed.shape, strict=True))
    assert changed.any()
    assert not changed[layer_of(ready).vouched.read(seen)].any()
    assert ready.image_panel.layers.count() == 1
    click(ready.teach_panel.verdict.discard)
    assert changes not in viewer.layers


def test_what_a_person_vouched_for_survives_teaching_and_the_swap(ready, truth, qtbot):
    review(ready, truth, qtbot)
    spot = (slice(200, 220), slice(200, 220))
    painted = np.where(truth[spot] == 1, 2, 1).astype(np.uint8)  # a person who is wrong
    layer_of(ready).review(spot, labels=painted)
    qtbot.wait(600)
    teach(ready, qtbot)
    click(ready.teach_panel.verdict.use)
    wait_for_run(ready, qtbot)
    np.testing.assert_array_equal(layer_of(ready).data[spot], painted)


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(1, 3, 1)

    def forward(self, tiles):
        if self.training:
            raise RuntimeError("out of luck")
        return self.inner(tiles)


def test_a_failure_is_told_and_the_model_stays(viewer, dock, image, truth, qtbot):
    network = linear_network()
    broken = Network(Broken().eval(), network.spec)
    prepare(viewer, dock, image, broken)
    run(dock, qtbot)
    review(dock, truth, qtbot)
    teach(dock, qtbot)
    assert "out of luck" in dock.session.view.notice.text
    assert "as it was" in dock.session.view.notice.text
    assert dock.session.network is broken
    assert dock.session.view.teach.can_teach


def test_a_second_image_of_the_viewer_teaches_too(ready, viewer, image, truth, qtbot):
    review(ready, truth, qtbot)
    first = layer_of(ready)
    other = viewer.add_image(image[::-1].astype(np.float32) / 255, name="other")
    ready.controller.choose_image(other.unique_id)
    run(ready, qtbot)
    layer_of(ready).review(PLACES[0], labels=truth[::-1][PLACES[0]])
    qtbot.waitUntil(lambda: "4 regions" in ready.session.view.teach.readiness, timeout=20_000)
    assert layer_of(ready) is not first


def test_another_image_teaches_with_the_channel_that_was_chosen_for_it(viewer, dock, qtbot):
    stacks = np.random.default_rng(0).random((2, 3, 128, 128)).astype(np.float32)
    dock.session.set_model(linear_network(), "stub")
    for stack, channel in zip(stacks, (2, 1), strict=True):
        added = viewer.add_image(stack, axis_labels=("c", "y", "x"), name=f"by {channel}")
        dock.controller.choose_image(added.unique_id)
        dock.session.set_settings(dock.session.settings.but(channels=(channel,)))
        run(dock, qtbot)
        layer_of(dock).review((slice(0, 60), slice(0, 60)))
    examples = dock.controller.teaching._readiness.examples()
    assert [one.channels for one in examples] == [(1,), (2,)]


def test_closing_the_dock_while_it_learns_ends_it(ready, viewer, truth, qtbot):
    teaching = ready.controller.teaching
    teaching.choose_settings(ready.session.view.teach.settings.but(epochs=1000, minutes=30))
    review(ready, truth, qtbot)
    click(ready.teach_panel.teach)
    qtbot.waitUntil(lambda: len(ready.session.view.teach.points) > 2, timeout=30_000)
    ready.parent().destroyOnClose()
    assert not teaching.is_teaching
    assert [one.name for one in viewer.layers] == ["slide", "slide · labels"]


def test_the_model_in_use_can_be_saved_and_loaded_again(ready, tmp_path, truth, qtbot, monkeypatch):
    review(ready, truth, qtbot)
    teach(ready, qtbot)
    click(ready.teach_panel.verdict.use)
    wait_for_run(ready, qtbot)
    begun = []

    def answer(_parent, _title, start, kinds, _kind):
        begun.append(start)
        return str(tmp_path / "mine"), kinds.split(";;")[0]

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
    click(ready.teach_panel.save)
    assert begun == [ready.session.view.origin]
    qtbot.waitUntil(lambda: ready.session.view.teach.can_save, timeout=20_000)
    # a network without a recipe cannot be saved, and that is said
    assert "cannot be saved" in ready.session.view.notice.text
    assert ready.session.view.state is State.FINISHED

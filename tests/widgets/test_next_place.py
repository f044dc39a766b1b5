"""From place to place with the button, in a real viewer."""

import numpy as np
import pytest
import torch
from gated import CLASSES
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from torch import nn

from napari_tileseg.annotation.doubts import CELL_PX
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import (
    NOT_COMPUTED,
    ModelSpec,
    Normalisation,
    NormalisationKind,
)
from napari_tileseg.viewer.viewport import visible_region

UNSURE = [(600, 200), (150, 900)]


class Unsure(nn.Module):
    """The darker it is, the less it can tell the classes apart."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return torch.cat([tiles * 0, tiles / 20, tiles * 0], 1)


def unsure():
    none = Normalisation(NormalisationKind.NONE)
    spec = ModelSpec("stub", CLASSES, channels=("grey",), tile=256, normalisation=none)
    return Network(Unsure().eval(), spec)


@pytest.fixture
def ready(viewer, dock, qtbot):
    image = np.full((1024, 1280), 250, np.uint8)
    for darker, (row, column) in zip((0, 30), UNSURE, strict=True):
        image[row - 100 : row + 100, column - 100 : column + 100] = darker
    viewer.add_image(image, name="slide")
    dock.session.set_model(unsure(), "stub")
    dock.teach_step.set_open(True)
    return dock


def click(button):
    assert button.isVisible()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def middle(viewer, layer):
    return [(at.start + at.stop) / 2 for at in visible_region(viewer, layer).region((1024, 1280))]


def test_next_place_goes_where_the_model_is_unsure_and_nobody_has_reviewed(ready, viewer, qtbot):
    assert not ready.teach_panel.next_place.isEnabled()
    ready.controller.places.go()
    assert "Run first" in ready.session.view.notice.text
    click(ready.run_panel.run)
    qtbot.waitUntil(lambda: not ready.session.view.busy, timeout=20_000)
    layer = ready.controller.chosen.results.front
    seen = []
    for _ in range(3):
        click(ready.teach_panel.next_place)
        seen.append(middle(viewer, layer))
    assert "least sure" in ready.session.view.notice.text
    for place, wanted in zip(seen, UNSURE, strict=False):
        np.testing.assert_allclose(place, wanted, atol=64)
    np.testing.assert_array_less(100, np.abs(np.subtract(seen[2], seen[:2])).max(axis=1))
    ready.controller.runs.start()
    qtbot.waitUntil(lambda: not ready.session.view.busy, timeout=20_000)
    click(ready.teach_panel.next_place)
    click(ready.teach_panel.mark_view)
    ready.controller.places.bind(ready.controller.chosen.results)  # nothing was shown yet
    click(ready.teach_panel.next_place)
    np.testing.assert_allclose(middle(viewer, layer), UNSURE[1], atol=64)


def test_places_keep_a_distance_as_long_as_there_is_room(viewer, dock, qtbot):
    image = np.full((1024, 1280), 250, np.uint8)
    image[256:768, 128:1024] = 20  # larger than a place, and equally unsure everywhere
    viewer.add_image(image, name="slide")
    dock.session.set_model(unsure(), "stub")
    dock.teach_step.set_open(True)
    click(dock.run_panel.run)
    qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=20_000)
    layer = dock.controller.chosen.results.front
    for shown in (True, False):
        click(dock.teach_panel.next_place)
        (first,) = dock.controller.places._shown
        if not shown:
            layer.review(first)
            dock.controller.places.bind(dock.controller.chosen.results)
        click(dock.teach_panel.next_place)
        second = dock.controller.places._shown[-1]
        gaps = [
            max(a.start, b.start) - min(a.stop, b.stop) for a, b in zip(first, second, strict=True)
        ]
        assert max(gaps) >= CELL_PX
        dock.controller.places.bind(dock.controller.chosen.results)


def test_when_all_places_were_shown_it_begins_again(ready, viewer, qtbot):
    click(ready.run_panel.run)
    qtbot.waitUntil(lambda: not ready.session.view.busy, timeout=20_000)
    layer = ready.controller.chosen.results.front
    seen = []
    while "first ones again" not in ready.session.view.notice.text if seen else True:
        click(ready.teach_panel.next_place)
        seen.append(middle(viewer, layer))
        assert len(seen) < 25
    assert len(seen) > 4
    assert seen[-1] == seen[0]
    layer.review(tuple(slice(0, size) for size in layer.data.shape))
    click(ready.teach_panel.next_place)
    assert "sure of everything" in ready.session.view.notice.text


def test_after_a_run_for_the_view_it_stays_where_labels_are(ready, viewer, qtbot):
    viewer.scene.camera.center, viewer.scene.camera.zoom = (700, 300), 4
    click(ready.run_panel.run_view)
    qtbot.waitUntil(lambda: not ready.session.view.busy, timeout=20_000)
    layer = ready.controller.chosen.results.front
    click(ready.teach_panel.next_place)
    computed = layer.data[visible_region(viewer, layer).region(layer.data.shape)] != NOT_COMPUTED
    assert computed.any()
    doubts = ready.controller.places._doubts[layer]
    told = np.argwhere(doubts.sums > 0) * CELL_PX
    for row, column in told:
        assert (layer.data[row : row + CELL_PX, column : column + CELL_PX] != NOT_COMPUTED).any()


def test_in_a_stack_another_square_comes_before_the_same_on_the_next_plane(viewer, dock, qtbot):
    image = np.full((12, 512, 1024), 250, np.uint8)
    image[:3, 128:384, 128:384] = np.array([10, 0, 5])[:, None, None]
    image[2, 128:384, 640:896] = 60
    viewer.add_image(image, name="stack")
    dock.session.set_model(unsure(), "stub")
    dock.controller.run()
    dock.teach_step.set_open(True)
    qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=20_000)
    layer, seen = dock.controller.chosen.results.front, []
    for _ in range(2):
        click(dock.teach_panel.next_place)
        place = visible_region(viewer, layer).region(layer.data.shape)
        seen.append((place[0].start, (place[2].start + place[2].stop) / 2))
    assert seen[0] == (1, pytest.approx(256, abs=64))
    assert seen[1] == (2, pytest.approx(768, abs=64))

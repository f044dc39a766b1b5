"""From place to place with the button, in a real viewer."""

import numpy as np
import pytest
import torch
from gated import CLASSES
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from torch import nn

from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import ModelSpec, Normalisation, NormalisationKind
from napari_tileseg.viewer.viewport import visible_region

UNSURE = [(600, 200), (150, 900)]


class Unsure(nn.Module):
    """The darker it is, the less it can tell the classes apart."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return torch.cat([tiles * 0, tiles / 20, tiles * 0], 1)


@pytest.fixture
def ready(viewer, dock, qtbot):
    image = np.full((1024, 1280), 250, np.uint8)
    for darker, (row, column) in zip((0, 30), UNSURE, strict=True):
        image[row - 100 : row + 100, column - 100 : column + 100] = darker
    viewer.add_image(image, name="slide")
    none = Normalisation(NormalisationKind.NONE)
    spec = ModelSpec("stub", CLASSES, channels=("grey",), tile=256, normalisation=none)
    dock.session.set_model(Network(Unsure().eval(), spec), "stub")
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

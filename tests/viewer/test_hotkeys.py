from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from napari.components import ViewerModel
from napari.utils.key_bindings import coerce_keybinding

from napari_tileseg.viewer import commands
from napari_tileseg.viewer.hotkeys import ACTIONS, bind_hotkeys

RUN = "Control-Shift-R"


def press(viewer):
    viewer.keymap[coerce_keybinding(RUN)](viewer)


def test_a_key_that_was_bound_before_comes_back():
    viewer, mine, controller = ViewerModel(), Mock(return_value=None), Mock()
    viewer.bind_key(RUN, mine)
    with bind_hotkeys(viewer, controller):
        press(viewer)
        controller.run_or_pause.assert_called_once_with()
        mine.assert_not_called()
    press(viewer)
    mine.assert_called_once()


def test_a_key_that_was_bound_meanwhile_stays():
    viewer, mine = ViewerModel(), Mock(return_value=None)
    with bind_hotkeys(viewer, Mock()):
        viewer.bind_key(RUN, mine, overwrite=True)
    press(viewer)
    mine.assert_called_once()


@pytest.mark.parametrize("first_closed", [0, 1])
def test_two_docks_in_one_viewer_close_in_any_order(first_closed):
    viewer = ViewerModel()
    docks = [SimpleNamespace(controller=Mock()) for _ in range(2)]
    for dock in docks:
        dock.keys = bind_hotkeys(viewer, dock.controller)
        dock.keys.__enter__()
    gone, left = docks[first_closed], docks[1 - first_closed]
    gone.keys.__exit__(None, None, None)
    press(viewer)
    left.controller.run_or_pause.assert_called_once_with()
    gone.controller.run_or_pause.assert_not_called()
    left.keys.__exit__(None, None, None)
    assert not viewer.keymap


@pytest.mark.parametrize("name", ACTIONS)
def test_a_command_does_what_its_key_does(name, monkeypatch):
    by_key, by_command, viewer = Mock(), Mock(), ViewerModel()
    monkeypatch.setattr(commands, "controller_in", lambda _: by_command)
    getattr(commands, name)(viewer)
    with bind_hotkeys(viewer, by_key):
        viewer.keymap[coerce_keybinding(ACTIONS[name][0])](viewer)
    assert len(by_key.method_calls) == 1
    assert by_key.method_calls == by_command.method_calls

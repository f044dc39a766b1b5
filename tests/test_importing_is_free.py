from __future__ import annotations

import subprocess
import sys

import pytest

_SLOW = {"torch", "napari", "qtpy", "PyQt6", "PySide6", "numpy", "dask", "zarr", "rich"}


def modules_after(code: str) -> set[str]:
    """Run code in a fresh Python and return the top-level modules it has loaded."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_importing_the_package_loads_nothing_slow():
    assert not modules_after("import napari_tileseg") & _SLOW


@pytest.mark.parametrize("argument", ["--help", "predict --help", "train --help", "demo --help"])
def test_asking_for_help_loads_nothing_slow(argument):
    code = f"from napari_tileseg.cli import main; assert main({argument.split()}) == 0"
    assert not modules_after(code) & _SLOW


@pytest.mark.parametrize("dock", ["dock", "train_dock"])
def test_a_dock_opens_without_torch(dock):
    assert "torch" not in modules_after(f"import napari_tileseg.widgets.{dock}")


def test_the_public_names_are_all_there():
    import napari_tileseg

    for name in napari_tileseg.__all__:
        assert getattr(napari_tileseg, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'predictt'"):
        _ = napari_tileseg.predictt

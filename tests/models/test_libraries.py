from __future__ import annotations

import os
import sys
from types import ModuleType

import pytest

from napari_tileseg.models import libraries


@pytest.mark.skipif(not hasattr(os, "RTLD_DEEPBIND"), reason="only Linux mixes up libraries so")
def test_triton_is_loaded_so_that_it_does_not_meet_the_llvm_of_an_opengl_driver(monkeypatch):
    before = sys.getdlopenflags()
    flags_at_import = {}

    def record(name):
        flags_at_import[name] = sys.getdlopenflags()
        return ModuleType(name)

    monkeypatch.delitem(sys.modules, "triton", raising=False)
    monkeypatch.setattr(libraries, "import_module", record)
    libraries.import_smp()
    assert flags_at_import["triton"] & os.RTLD_DEEPBIND
    assert flags_at_import["segmentation_models_pytorch"] == before
    assert sys.getdlopenflags() == before


def test_a_torch_without_triton_is_fine(monkeypatch):
    smp = ModuleType("segmentation_models_pytorch")

    def only_smp(name):
        if name == "triton":
            raise ImportError(name)
        return smp

    before = sys.getdlopenflags()
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    monkeypatch.setattr(libraries, "import_module", only_smp)
    assert libraries.import_smp() is smp
    assert sys.getdlopenflags() == before

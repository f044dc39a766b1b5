from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_tileseg.engine.global_context import modules_with_global_context
from napari_tileseg.engine.meter import Meter
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.predict import stream_plan
from napari_tileseg.engine.source import Source
from napari_tileseg.settings import RunSettings
from stubs import network

UNet = pytest.importorskip("monai.networks.nets").UNet


def _residual_unet():
    torch.manual_seed(0)
    module = UNet(2, 1, 3, channels=(4, 8, 8), strides=(2, 2), num_res_units=2, norm="instance")
    return network(module, stride=4, global_context=modules_with_global_context(module))


def test_it_is_told_how_far_the_passes_before_the_first_label_are():
    model, told = _residual_unet(), []
    source = Source(np.random.default_rng(0).random((117, 142)).astype(np.float32))
    plan = make_plan(source, model, RunSettings(mode="frozen-norm", tile=56))
    assert plan.n_tiles > 4
    for _ in stream_plan(plan, source, model, meter=Meter(on_survey=told.append)):
        pass
    assert told == sorted(told)
    assert 0 < told[0] < 0.1
    assert told[-1] == pytest.approx(1)


def test_frozen_norms_hold_for_each_plane_of_a_stack_also_where_tiles_have_one_value():
    model = _residual_unet()
    first = np.random.default_rng(0).random((117, 142)).astype(np.float32)
    first[:, 70:] = 0
    source = Source(np.stack([first, first * first + (first > 0)]), axes="ZYX")

    def sure(**options):
        plan = make_plan(source, model, RunSettings(probabilities=True, **options))
        result = np.zeros((3, *source.label_shape), np.float32)
        for patch in stream_plan(plan, source, model, provisional=False):
            result[(slice(None), *patch.region)] = patch.probabilities
        return result

    whole = sure(mode="whole")
    assert np.abs(sure(mode="frozen-norm", tile=56) - whole).max() <= 1e-4 * whole.std()

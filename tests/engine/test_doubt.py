"""How undecided a network is, told with final patches."""

import numpy as np
import pytest
import torch

from napari_tileseg.engine.doubt import STEP_PX, doubt
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.predict import stream_plan
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import Task
from napari_tileseg.settings import RunSettings
from stubs import echo, small_conv


def test_a_tie_is_all_doubt_and_a_clear_answer_none():
    model, box = echo(2), (slice(0, 8), slice(0, 16))
    evidence = torch.zeros(2, 8, 16)
    evidence[1, :, 8:] = -30
    np.testing.assert_allclose(doubt(model, evidence, box).numpy(), [[1, 0]], atol=1e-6)
    np.testing.assert_allclose(doubt(model, evidence * 7, box, 7).numpy(), [[1, 0]], atol=1e-6)


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTILABEL])
def test_one_output_a_class_is_undecided_at_its_threshold(task):
    model, box = echo(1, task=task), (slice(0, 8), slice(0, 16))
    evidence = torch.zeros(1, 8, 16)
    evidence[0, :, 8:] = 30
    np.testing.assert_allclose(doubt(model, evidence, box).numpy(), [[1, 0]], atol=1e-6)


@pytest.mark.parametrize("blend", ["gaussian", "crop"])
def test_final_patches_tell_every_eighth_pixel_of_the_image_once(blend):
    image, model = np.random.default_rng(0).random((3, 75, 131)), small_conv()
    source = Source(image, axes="TYX")
    plan = make_plan(source, model, RunSettings(tile=32, blend=blend, probabilities=True))
    told = np.full(image.shape, np.nan)
    sure = np.zeros((3, *image.shape))
    for patch in stream_plan(plan, source, model, doubts=True):
        assert (patch.doubt is None) == (not patch.final)
        if not patch.final:
            continue
        sure[(slice(None), *patch.region)] = patch.probabilities
        rows, columns = (
            [at for at in range(part.start, part.stop) if at % STEP_PX == 0]
            for part in patch.region[1:]
        )
        assert patch.doubt.shape == (1, len(rows), len(columns))
        assert np.isnan(told[patch.region[0]][0][np.ix_(rows, columns)]).all()
        told[patch.region[0].start][np.ix_(rows, columns)] = patch.doubt[0]
    highest = np.sort(sure, axis=0)
    expected = 1 - (highest[-1] - highest[-2])
    few = (slice(None), slice(0, None, STEP_PX), slice(0, None, STEP_PX))
    np.testing.assert_allclose(told[few], expected[few], atol=1e-5)
    assert np.isfinite(told).sum() == expected[few].size

"""How undecided a network is, told with final patches."""

import numpy as np
import pytest
import torch

from napari_tileseg.engine.doubt import STEP_PX, doubt, margins
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.predict import stream_plan
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import Task
from napari_tileseg.settings import RunSettings
from stubs import Ramp, echo, network, small_conv


def test_a_tie_is_all_doubt_and_a_clear_answer_none():
    model, box = echo(2), (slice(0, 8), slice(0, 16))
    evidence = torch.zeros(2, 8, 16)
    evidence[1, :, 8:] = -30
    np.testing.assert_allclose(doubt(model, evidence, box).numpy(), [[1, 0]], atol=1e-6)
    np.testing.assert_allclose(doubt(model, evidence * 7, box, 7).numpy(), [[1, 0]], atol=1e-6)


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTILABEL])
@pytest.mark.parametrize("threshold", [0.5, 0.2])
def test_one_output_a_class_is_undecided_at_its_threshold(task, threshold):
    model, box = echo(1, task=task, threshold=threshold), (slice(0, 8), slice(0, 32))
    sure = torch.tensor([threshold, 1, 0, 0.1]).repeat_interleave(8)
    logits = sure.logit(eps=1e-7).expand(1, 8, 32)
    told = doubt(model, model.evidence(logits), box).numpy()
    np.testing.assert_allclose(told, [[1, 0, 0, 0.1 / threshold]], atol=1e-5)
    margin = margins(model, model.evidence(logits)).reshape(8, 32)[0, ::8].numpy()
    np.testing.assert_allclose(margin, 2 * np.abs(sure[::8].numpy() - threshold), atol=1e-5)


def test_of_several_labels_the_least_sure_one_counts():
    model, box = echo(2, task=Task.MULTILABEL), (slice(0, 8), slice(0, 8))
    evidence = torch.full((2, 8, 8), 30.0)
    evidence[1] = 0
    np.testing.assert_allclose(doubt(model, evidence, box).numpy(), [[1]], atol=1e-6)


def test_where_nothing_is_computed_nothing_is_unsure():
    image, model = np.full((1400, 1800), 250, np.uint8), network(Ramp(3), outputs=3)
    image[300:700, 500:900] = np.random.default_rng(0).integers(0, 255, (400, 400))
    source = Source(image)
    plan = make_plan(source, model, RunSettings(tile=256, skip_empty=True))
    told = np.full(image.shape, np.nan)
    for patch in stream_plan(plan, source, model, doubts=True, provisional=False):
        rows, columns = (
            [at for at in range(part.start, part.stop) if at % STEP_PX == 0]
            for part in patch.region
        )
        told[np.ix_(rows, columns)] = patch.doubt
    assert np.isfinite(told[::STEP_PX, ::STEP_PX]).all()
    assert told[400:600:STEP_PX, 600:800:STEP_PX].any()
    assert not told[1200::STEP_PX, 1600::STEP_PX].any()


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

import json
import math
import re
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import napari_tileseg as nts
from napari_tileseg.annotation.vouchings import Vouchings
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Normalisation, NormalisationKind, Task
from napari_tileseg.errors import Cancelled, ModelFitError, NetworkError, NotBetterError
from napari_tileseg.settings import Layers, Precision, TeachSettings, What
from napari_tileseg.training.budget import enough_steps
from napari_tileseg.training.familiar import familiar, in_words
from napari_tileseg.training.fine_tune import TeachReport, fine_tune
from napari_tileseg.training.held_out import gap_px, split
from napari_tileseg.training.lessons import Lesson
from napari_tileseg.training.proof import Outcome
from stubs import network

QUICK = TeachSettings(
    epochs=6,
    patch=32,
    batch=4,
    learning_rate=0.03,
    anchor=0.0,
    augmentation=0.0,
    device="cpu",
    precision=Precision.FP32,
)
SIZE = 256
CORNERS = [(0, 0), (0, 160), (160, 0), (160, 160)]


def _tiny(task: Task = Task.MULTICLASS) -> Network:
    """Return a network that has not learnt anything, for tiles of 64 px: a gap of 8 px."""
    torch.manual_seed(0)
    outputs = 1 if task is Task.BINARY else 2
    module = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, outputs, 1)
    )
    scaling = Normalisation(NormalisationKind.ZSCORE)
    made = network(module, outputs=2, task=task, normalisation=scaling)
    return replace(made, spec=replace(made.spec, tile=64))


def _image(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a noisy image in which bright squares are class 1."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((SIZE, SIZE), np.uint8)
    for y, x in rng.integers(0, SIZE - 14, (60, 2)):
        truth[y : y + 14, x : x + 14] = 1
    return rng.normal(100 + 80 * truth, 25).astype(np.float32), truth


def _reviewed() -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), bool)
    for y, x in CORNERS:
        mask[y : y + 96, x : x + 96] = True
    return mask


def _lesson(model: Network) -> Lesson:
    image, truth = _image()
    mask = _reviewed()
    return Lesson.of(image, Vouchings.of(truth, mask, mask), model.spec)


def _run(model: Network, settings: TeachSettings = QUICK, **more: object) -> list[TeachReport]:
    return list(fine_tune(model, [_lesson(model)], settings=settings, **more))


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.BINARY])
def test_a_network_learns_from_what_is_vouched_for_and_proves_it(task: Task) -> None:
    reports = _run(_tiny(task))
    verdict = reports[-1].verdict
    assert verdict is not None
    assert verdict.outcome is Outcome.BETTER
    assert verdict.after.mean_dice > 0.9
    assert verdict.after.mean_dice > verdict.before.mean_dice + 0.1
    assert verdict.candidate is reports[-1].network
    assert all(report.verdict is None for report in reports[:-1])


def test_reports_go_from_nothing_to_all_of_the_budget() -> None:
    reports = _run(_tiny())
    assert (reports[0].step, reports[0].progress) == (0, 0.0)
    assert reports[0].held_out is not None
    assert reports[-1].progress == 1.0
    assert all(a.progress <= b.progress for a, b in pairwise(reports))
    assert all(a.seconds <= b.seconds for a, b in pairwise(reports))


def test_the_network_that_was_given_stays_as_it_was() -> None:
    model = _tiny()
    before = {name: one.clone() for name, one in model.module.state_dict().items()}
    _run(model)
    assert not model.module.training
    for name, one in model.module.state_dict().items():
        assert torch.equal(one, before[name])


def test_a_taught_network_is_not_taken_for_the_file_it_was_taught_from() -> None:
    model = replace(_tiny(), provenance={"file": "base.safetensors", "sha256": "0" * 64})
    learnt = _run(model, QUICK.but(epochs=1))[-1].network
    assert learnt.provenance["taught from"] == model.provenance
    assert set(learnt.provenance) == {"taught from", "learnt from"}


def test_equal_seeds_give_equal_networks() -> None:
    first, second = (_run(_tiny())[-1].network for _ in range(2))
    for a, b in zip(first.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(a, b)


def _held_out(lesson: Lesson, model: Network) -> np.ndarray:
    """Return what is held out of a lesson, as a mask."""
    found = split([lesson.vouchings], gap_px(model.spec), QUICK.seed).held_out[0]
    return found.labels((slice(0, SIZE), slice(0, SIZE))) != 255


def _other_labels(lesson: Lesson, labels: np.ndarray) -> Lesson:
    mask = _reviewed()
    return lesson.but(Vouchings.of(labels.astype(np.uint8), mask, mask))


def test_labels_shuffled_in_the_training_part_are_refused_and_true_ones_accepted() -> None:
    start = _run(_tiny(), QUICK.but(epochs=1))[-1].network  # knows a little
    lesson = _lesson(start)
    _, truth = _image()
    learnt = _reviewed() & ~_held_out(lesson, start)
    shuffled = truth.copy()
    shuffled[learnt] = np.random.default_rng(1).permutation(truth[learnt])
    right, wrong = (
        list(fine_tune(start, [_other_labels(lesson, labels)], settings=QUICK))[-1].verdict
        for labels in (truth, shuffled)
    )
    assert right.before.mean_dice == wrong.before.mean_dice
    assert right.outcome is Outcome.BETTER
    assert wrong.outcome is Outcome.NOT_BETTER


def test_what_was_held_out_has_no_influence_on_what_is_learnt() -> None:
    model = _tiny()
    lesson = _lesson(model)
    _, truth = _image()
    lied = _other_labels(lesson, np.where(_held_out(lesson, model), 1 - truth, truth))
    first, second = (list(fine_tune(model, [one], settings=QUICK))[-1] for one in (lesson, lied))
    pairs = zip(first.network.module.parameters(), second.network.module.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert first.held_out.mean_dice != second.held_out.mean_dice


def test_a_single_corrected_spot_teaches_soon_and_proves_nothing() -> None:
    model = _tiny()
    image, truth = _image()
    spot = np.zeros((SIZE, SIZE), bool)
    spot[100:108, 60:70] = True
    lesson = Lesson.of(image, Vouchings.of(np.ones_like(truth), spot), model.spec)
    *_, last = fine_tune(model, [lesson], settings=QUICK.but(epochs=None, minutes=60))
    assert last.step == enough_steps(1)
    assert last.verdict.outcome is Outcome.NOT_PROVEN
    assert (last.verdict.before, last.verdict.after) == (None, None)
    assert "review" in last.verdict.sentence
    wrong = nts.predict(image, model, mode="whole")[spot] != 1
    still = nts.predict(image, last.network, mode="whole")[spot] != 1
    assert still.sum() < wrong.sum()


def test_several_images_and_planes_of_a_stack_teach_together() -> None:
    model = _tiny()
    image, truth = _image()
    other, others_truth = _image(5)
    mask = _reviewed()
    stack = np.stack([other, image])
    masks = np.stack([np.zeros_like(mask), mask])
    said = Vouchings.of(np.stack([others_truth, truth]), masks, masks)
    lessons = [
        Lesson.of(stack, said, model.spec, axes="TYX"),
        Lesson.of(other, Vouchings.of(others_truth, mask, mask), model.spec),
    ]
    *_, last = fine_tune(model, lessons, settings=QUICK)
    assert last.verdict.outcome is Outcome.BETTER
    held = 2 * round(0.25 * 8 / 2) * 96 * 96
    assert last.verdict.after.pixels.sum() == held


def test_being_closed_it_stops_and_what_was_handed_out_stays() -> None:
    stream = fine_tune(_tiny(), [_lesson(_tiny())], settings=QUICK)
    next(stream)
    next(stream)
    stream.close()
    assert list(stream) == []


def test_told_to_stop_it_is_judged_all_the_same() -> None:
    model, steps = _tiny(), []
    stream = fine_tune(
        model,
        [_lesson(model)],
        settings=QUICK.but(epochs=1000),
        should_stop=lambda: 1 in steps,
    )
    for report in stream:
        steps.append(report.step)
    assert steps == [0, 1, 1]
    assert report.verdict is not None


@pytest.mark.parametrize("after", [0, 1])
def test_told_to_stop_before_the_first_step_it_ends_at_once(after: int) -> None:
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > after

    with pytest.raises(Cancelled):
        _run(_tiny(), should_stop=stop)
    assert len(asked) == after + 1


def test_time_is_up_in_time() -> None:
    reports = _run(_tiny(), QUICK.but(epochs=100_000, minutes=0.05))
    assert reports[-1].verdict is not None
    assert reports[-1].step > 1


@pytest.mark.parametrize(
    ("layers", "changed"), [(Layers.HEAD, {"3"}), (Layers.ALL, {"0", "1", "3"})]
)
def test_only_chosen_layers_change_and_norms_keep_what_they_learnt(
    layers: Layers, changed: set[str]
) -> None:
    model = _tiny()
    *_, last = fine_tune(model, [_lesson(model)], settings=QUICK.but(layers=layers))
    before, after = model.module.state_dict(), last.network.module.state_dict()
    names = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert names == changed
    assert torch.equal(before["1.running_mean"], after["1.running_mean"])


def _distance(model: Network, settings: TeachSettings) -> float:
    learnt = _run(model, settings)[-1].network
    pairs = zip(learnt.module.parameters(), model.module.parameters(), strict=True)
    return math.sqrt(sum(float(((a - b) ** 2).sum().detach()) for a, b in pairs))


def test_an_anchor_keeps_weights_near_where_they_started() -> None:
    free, held = (_distance(_tiny(), QUICK.but(anchor=one)) for one in (0.0, 20.0))
    assert held < 0.6 * free


def test_a_share_of_the_start_stays_where_details_are_learnt_and_nothing_is_let_go() -> None:
    almost_free = QUICK.but(anchor=1e-9)
    held = _distance(_tiny(), almost_free)
    assert held == pytest.approx(0.75 * _distance(_tiny(), QUICK), rel=0.05)
    assert held < _distance(_tiny(), almost_free.but(what=What.WHOLE_MODEL))


def test_it_starts_from_the_base_unless_told_to_go_on() -> None:
    base = _tiny()
    taught = _run(base, QUICK.but(epochs=1))[-1].network
    again = _run(base, active=taught)[-1].network
    fresh = _run(base)[-1].network
    on_top = _run(base, QUICK.but(go_on=True), active=taught)[-1].network
    for a, b, c in zip(*(one.module.parameters() for one in (again, fresh, on_top)), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


@pytest.mark.parametrize("go_on", [False, True])
def test_the_second_time_it_is_judged_by_what_was_set_aside_the_first_time(go_on: bool) -> None:
    base = _tiny()
    lesson, settings = _lesson(base), QUICK.but(epochs=1)
    everywhere = (slice(0, SIZE), slice(0, SIZE))
    first = split([lesson.vouchings], gap_px(base.spec), 0).held_out[0].labels(everywhere)
    taught = _run(base, settings)[-1].network
    for seed in range(4):
        known = familiar([base, taught], [lesson.source])
        again = split([lesson.vouchings], gap_px(base.spec), seed, known).held_out[0]
        np.testing.assert_array_equal(again.labels(everywhere), first)
    more = _run(base, settings.but(seed=1, go_on=go_on), active=taught)[-1]
    assert more.verdict.before.pixels.sum() == (first != 255).sum()
    other = Lesson.of(_image(1)[0], lesson.vouchings, base.spec)
    assert familiar([more.network], [other.source]) == [[]]
    back = replace(more.network, provenance=json.loads(json.dumps(more.network.provenance)))
    assert familiar([back], [lesson.source]) == familiar([more.network], [lesson.source])
    (told,) = in_words(back.provenance)["learnt from"].values()
    assert re.fullmatch(r"[0-9,]+ px", told)


@pytest.mark.parametrize("odd", [3, {"a": 3}, {"a": [3, [3], [[1]], [["x", 2]]]}, []])
def test_what_a_file_says_of_its_past_can_be_anything(odd: object) -> None:
    model = replace(_tiny(), provenance={"learnt from": odd})
    assert familiar([model], [_lesson(model).source]) == [[]]
    assert in_words(model.provenance)


class _Broken(nn.Module):
    """Answers with what is not a number while it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2, 1, 1))

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        answer = tiles * self.scale
        return answer / 0.0 if self.training else answer


def test_a_loss_that_is_not_a_number_is_the_end_before_anything_is_learnt() -> None:
    model = network(_Broken(), outputs=2)
    with pytest.raises(NetworkError, match="learning rate"):
        list(fine_tune(model, [_lesson(model)], settings=QUICK))


def test_that_nothing_is_corrected_is_said_before_any_work() -> None:
    model = _tiny()
    image, truth = _image()
    lesson = Lesson.of(image, Vouchings.of(truth, np.zeros((SIZE, SIZE), bool)), model.spec)
    with pytest.raises(ModelFitError, match="Nothing is corrected"):
        next(fine_tune(model, [lesson], settings=QUICK))


def test_a_label_without_a_class_is_refused() -> None:
    model = _tiny()
    image, truth = _image()
    lesson = Lesson.of(image, Vouchings.of(truth + 1, _reviewed()), model.spec)
    with pytest.raises(ModelFitError, match="Label 2"):
        next(fine_tune(model, [lesson], settings=QUICK))


def test_in_python_the_better_model_is_handed_back_and_a_worse_one_refused() -> None:
    model = _tiny()
    image, truth = _image()
    mask = _reviewed()
    teach = partial(nts.fine_tune, vouched=mask, reviewed=mask, **QUICK.changed())
    better = teach(model, image, truth)
    assert better.provenance["teaching"]["outcome"] == "better"
    with pytest.raises(NotBetterError, match=r"Dice 0\.\d+ → ") as caught:
        teach(better, image, truth, epochs=1, learning_rate=1e-7)
    assert caught.value.verdict.outcome is Outcome.NOT_BETTER
    kept = teach(better, image, truth, epochs=1, learning_rate=1e-7, keep_anyway=True)
    assert kept.provenance["teaching"]["outcome"] == "not better"

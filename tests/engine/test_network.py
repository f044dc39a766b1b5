from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_tileseg.engine.interrupt import Interrupt
from napari_tileseg.engine.network import extremes
from napari_tileseg.engine.spec import ClassInfo, ModelSpec, Normalisation, Task, default_classes
from napari_tileseg.errors import Cancelled, CheckpointError, NetworkError
from stubs import Echo, echo, network


class Fixed(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, tiles):
        return self.answer


def test_the_label_is_the_class_with_the_highest_logit_and_ties_go_to_the_lowest():
    logits = torch.tensor([[[1, 3, 2, 5]], [[1, 4, 2, 0]], [[0, 4, 9, 5]]])
    assert echo(3).decide(logits).tolist() == [[0, 1, 2, 0]]


@pytest.mark.parametrize("classes", [2, 17, 255])
def test_labels_equal_argmax(classes):
    logits = torch.randn(classes, 20, 30)
    assert torch.equal(echo(classes).decide(logits), logits.argmax(0).to(torch.uint8))


def test_one_output_is_foreground_above_the_threshold_never_an_argmax():
    one = network(Echo(), task=Task.BINARY, threshold=0.8)
    logits = torch.logit(torch.tensor([[[0.1, 0.79, 0.81, 0.99]]]))
    evidence = one.evidence(logits)
    assert one.decide(evidence).tolist() == [[0, 0, 1, 1]]
    fixed_point = (evidence * 2**22).to(torch.int32)
    assert one.decide(fixed_point).tolist() == [[0, 0, 1, 1]]


def test_a_pixel_can_be_several_classes_at_once():
    several = network(Echo(), outputs=2, channels=2, task=Task.MULTILABEL)
    logits = torch.tensor([[[1.0, -1.0]], [[2.0, -3.0]]])
    assert several.decide(logits).tolist() == [[[True, False]], [[True, False]]]


def test_probabilities_are_one_for_each_class():
    logits = torch.randn(3, 4, 5)
    model = echo(3)
    torch.testing.assert_close(model.probabilities(model.evidence(logits)), logits.softmax(0))
    model = network(Echo(), task=Task.BINARY, threshold=0.3)
    one = model.probabilities(model.evidence(logits[:1]))
    torch.testing.assert_close(one[1], logits[0].sigmoid())
    torch.testing.assert_close(one.sum(0), torch.ones(4, 5))
    model = network(Echo(), outputs=3, channels=3, task=Task.MULTILABEL, threshold=0.7)
    torch.testing.assert_close(model.probabilities(model.evidence(logits)), logits.sigmoid())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (torch.zeros(1, 2, 8, 8), r"\(1, 2, 8, 8\).*\(1, 3, 8, 8\).*number of classes"),
        (torch.zeros(1, 3, 4, 4), "architecture"),
        ((torch.zeros(1, 3, 8, 8),), "extra heads"),
        (torch.full((1, 3, 8, 8), torch.nan), "not numbers.*fp32"),
    ],
)
def test_an_answer_that_is_no_segmentation_is_refused(answer, message):
    with pytest.raises(NetworkError, match=message):
        network(Fixed(answer)).checked_logits(torch.zeros(1, 1, 8, 8))


def test_one_look_at_the_extremes_of_many_tiles_finds_a_single_nan():
    model = network(Fixed(torch.zeros(1, 3, 8, 8)))
    fine = extremes(model.logits(torch.zeros(1, 1, 8, 8)))
    model.require_finite(fine)
    bad = torch.zeros(1, 3, 8, 8)
    bad[0, 1, 2, 3] = torch.nan
    with pytest.raises(NetworkError, match="not numbers"):
        model.require_finite(torch.stack([fine, extremes(bad)]))


class Shrinking(nn.Module):
    """Answers with what it sees, less so many pixels at either end."""

    def __init__(self, before, after):
        super().__init__()
        self.lost = before, after

    def forward(self, tiles):
        before, after = self.lost
        inner = [slice(before, size - after) for size in tiles.shape[2:]]
        return tiles[(..., *inner)]


@pytest.mark.parametrize("lost", [3, 1, 0])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_answer_is_for_the_middle_of_what_a_network_with_a_margin_was_shown(lost, dims):
    model = network(Shrinking(lost, lost), channels=3, dims=dims, margin=3)
    shown = torch.rand(2, 3, *(10, 14, 18)[:dims])
    middle = (slice(3, -3),) * dims
    assert torch.equal(model.logits(shown), shown[(..., *middle)])


@pytest.mark.parametrize("lost", [(4, 4), (1, 2), (0, 1)])
def test_an_answer_without_that_middle_is_refused(lost):
    with pytest.raises(NetworkError, match="expected"):
        network(Shrinking(*lost), channels=3, margin=3).logits(torch.zeros(1, 3, 20, 20))


def test_an_answer_of_other_dimensions_is_refused_with_a_margin_too():
    with pytest.raises(NetworkError, match="expected"):
        network(Fixed(torch.zeros(1, 3, 14)), margin=3).logits(torch.zeros(1, 1, 20, 20))


def test_a_description_from_before_there_were_margins_has_none():
    old = echo().spec.to_dict()
    del old["margin"]
    assert ModelSpec.from_dict(old).margin == 0


def test_a_network_can_be_stopped_between_two_layers():
    layers = nn.Sequential(*(nn.Identity() for _ in range(10)))
    asked = []

    def stop_at_the_fifth():
        asked.append(1)
        return len(asked) > 5

    interrupt = Interrupt(stop_at_the_fifth)
    with interrupt.within(layers), pytest.raises(Cancelled), interrupt.computing():
        layers(torch.zeros(1))
    assert len(asked) == 6
    layers(torch.zeros(1))
    assert len(asked) == 6


def test_stopping_one_run_does_not_stop_another_on_the_same_network():
    layers = nn.Sequential(nn.Identity())
    stopped, going = Interrupt(lambda: True), Interrupt(lambda: False)
    with stopped.within(layers), going.within(layers), going.computing():
        layers(torch.zeros(1))


def test_a_description_survives_being_written_down():
    spec = network(Echo(), task=Task.BINARY, pixel_size_um=0.25, margin=94, threshold=0.4).spec
    assert ModelSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": default_classes(300)}, "between 1 and 255"),
        ({"classes": default_classes(3), "task": Task.BINARY}, "needs two names"),
        ({"channels": ()}, "no channel"),
        ({"threshold": 0.0}, "threshold"),
        ({"classes": default_classes(1)}, "every pixel would be that class"),
        ({"classes": (ClassInfo("a", "#000000"),) * 2}, "same name"),
        ({"classes": (ClassInfo("a", "red"), ClassInfo("b", "#000000"))}, "like '#e69f00'"),
        ({"tile": 0}, "number of pixels"),
        ({"stride": "32"}, "number of pixels"),
        ({"margin": -1}, "margin.*number of pixels"),
        ({"spatial_dims": 4}, "there are 2 or 3"),
    ],
)
def test_impossible_descriptions_are_refused(values, message):
    with pytest.raises(CheckpointError, match=message):
        ModelSpec(**{"name": "stub", "classes": default_classes(2), **values})


def test_a_description_from_elsewhere_is_refused():
    with pytest.raises(CheckpointError, match="newer version"):
        ModelSpec.from_dict({"name": "x"})


def test_default_colours_differ():
    colours = [one.colour for one in default_classes(40)]
    assert len(set(colours)) == 40
    assert all(len(colour) == 7 and colour[0] == "#" for colour in colours)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"mean": (float("nan"),)}, "not a number"), ({"std": (0.0,)}, "not above 0")],
)
def test_impossible_normalisations_are_refused(values, message):
    with pytest.raises(CheckpointError, match=message):
        Normalisation(**values)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_extremes_are_found_in_either_layout(layout):
    logits = torch.randn(1, 3, 20, 24).contiguous(memory_format=layout)[0]
    assert extremes(logits).tolist() == [float(logits.min()), float(logits.max())]

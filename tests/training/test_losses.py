import pytest
import torch

from napari_tileseg.engine.spec import Task
from napari_tileseg.settings import Loss
from napari_tileseg.training.losses import segmentation_loss

LOSSES = list(Loss)
TASKS = [(Task.MULTICLASS, 3), (Task.BINARY, 1)]


def _case(task: Task, outputs: int, unknown: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(2, outputs, 12, 10, generator=generator)
    target = torch.randint(max(outputs, 2), (2, 12, 10), generator=generator)
    target[torch.rand(target.shape, generator=generator) < unknown] = 255
    return logits.requires_grad_(), target


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("task", "outputs"), TASKS)
def test_unseen_pixels_cost_nothing(task: Task, outputs: int, loss: Loss) -> None:
    logits, target = _case(task, outputs)
    value = segmentation_loss(logits, target, task=task, loss=loss)
    value.backward()
    unseen = (target == 255)[:, None].expand_as(logits)
    assert (logits.grad[unseen] == 0).all()
    assert (logits.grad[~unseen] != 0).any()
    other = torch.where(unseen, torch.full_like(logits, 40.0), logits)
    assert segmentation_loss(other, target, task=task, loss=loss) == value


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("task", "outputs"), TASKS)
def test_a_batch_in_which_nothing_is_known_costs_nothing(
    task: Task, outputs: int, loss: Loss
) -> None:
    logits, target = _case(task, outputs, unknown=1.1)
    value = segmentation_loss(logits, target, task=task, loss=loss)
    value.backward()
    assert value == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_an_infinite_logit_under_an_unseen_pixel_does_no_harm(loss: Loss) -> None:
    logits, target = _case(Task.MULTICLASS, 3)
    broken = logits.detach().clone()
    broken[(target == 255)[:, None].expand_as(broken)] = torch.inf
    broken.requires_grad_()
    value = segmentation_loss(broken, target, loss=loss)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(broken.grad).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("task", "outputs"), TASKS)
def test_the_right_answer_costs_nearly_nothing_and_the_wrong_one_much(
    task: Task, outputs: int, loss: Loss
) -> None:
    _, target = _case(task, outputs, unknown=0.0)
    if task is Task.BINARY:
        right = (target[:, None] * 2.0 - 1) * 30
    else:
        right = torch.nn.functional.one_hot(target, outputs).movedim(-1, 1) * 30.0
    assert segmentation_loss(right, target, task=task, loss=loss) < 1e-3
    assert segmentation_loss(-right, target, task=task, loss=loss) > 0.3


def test_cross_entropy_is_the_mean_over_known_pixels_only() -> None:
    logits, target = _case(Task.MULTICLASS, 3)
    expected = torch.nn.functional.cross_entropy(logits, target, ignore_index=255)
    torch.testing.assert_close(segmentation_loss(logits, target, loss=Loss.CE), expected)


def test_dice_leaves_out_classes_that_are_not_there() -> None:
    target = torch.zeros(1, 8, 8, dtype=torch.long)
    logits = torch.zeros(1, 3, 8, 8)
    share = 64 / 3  # what softmax gives the only class there is, summed up
    expected = 1 - (2 * share + 1) / (share + 64 + 1)
    value = segmentation_loss(logits, target, loss=Loss.DICE)
    assert value.item() == pytest.approx(expected, rel=1e-5)

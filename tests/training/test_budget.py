from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.settings import TeachSettings, What
from napari_tileseg.training.budget import Budget, enough_steps

PLACE = 256 * 256


def test_a_small_correction_needs_few_steps_and_more_to_learn_from_more() -> None:
    assert enough_steps(100) == enough_steps(PLACE) <= 40
    assert enough_steps(PLACE) < enough_steps(2 * PLACE) < enough_steps(20 * PLACE)


def test_another_look_of_things_takes_longer() -> None:
    assert enough_steps(PLACE, What.WHOLE_MODEL) > enough_steps(PLACE, What.NEW_DETAILS)


def test_a_person_who_counts_epochs_gets_just_those() -> None:
    settings = TeachSettings(epochs=3, batch=2)
    budget = Budget.of(settings, 4 * PLACE, 256)
    assert (budget.epoch_steps, budget.steps) == (2, 6)
    assert [budget.epoch(step) for step in (1, 2, 3, 6)] == [1, 1, 2, 3]


def test_time_is_the_end_whatever_there_is_left_to_learn() -> None:
    budget = Budget.of(TeachSettings(minutes=1), 1000 * PLACE, 256)
    assert budget.progress(1, started=20.0, now=60.0) == 1.0
    assert 0.49 < budget.progress(1, started=20.0, now=40.0) < 0.51


@given(st.integers(1, 10**6), st.floats(0, 1e5), st.floats(0, 1e5), st.integers(1, 10**9))
def test_progress_is_a_share(step: int, started: float, took: float, pixels: int) -> None:
    budget = Budget.of(TeachSettings(), pixels, 256)
    assert 0 < budget.progress(step, started, started + took) <= 1
    assert budget.progress(budget.steps, started, started) == 1

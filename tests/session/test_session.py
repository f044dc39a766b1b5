from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_tileseg.engine.estimate import Estimate
from napari_tileseg.engine.meter import RunReport
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import ModelSpec, default_classes
from napari_tileseg.errors import NetworkError, OutputError
from napari_tileseg.session import Exported, ImageFacts, Session, Severity, State, View
from napari_tileseg.session.facts import channel_names
from napari_tileseg.settings import Mode, RunSettings


class Threshold(nn.Module):
    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return torch.cat([0.5 - tiles[:, :1], tiles[:, :1] - 0.5], 1)


def network(channels: tuple[str, ...] = ("grey",), pixel_size_um: float | None = None) -> Network:
    spec = ModelSpec(
        "stub", default_classes(2), channels=channels, tile=32, pixel_size_um=pixel_size_um
    )
    return Network(Threshold(), spec)


def image(
    shape: tuple[int, ...] = (64, 96), pixel_size_um: float | None = None, rgb: bool = False
) -> tuple[Source, ImageFacts]:
    source = Source(np.zeros(shape, np.uint8), rgb=rgb)
    facts = ImageFacts(
        "slide_07",
        source.spatial_shape,
        channel_names(source.n_channels, rgb=rgb),
        "uint8",
        pixel_size_um=pixel_size_um,
    )
    return source, facts


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def ready(session: Session) -> Session:
    session.set_image(*image())
    session.set_model(network(), "stub")
    return session


def test_a_new_session_says_what_is_missing(session: Session) -> None:
    assert session.view.state is State.NO_IMAGE
    session.set_image(*image())
    assert session.view.state is State.NO_MODEL
    assert not session.view.can_run


def test_image_and_model_that_fit_are_ready_with_an_estimate(ready: Session) -> None:
    view = ready.view
    assert view.state is State.READY
    assert view.can_run
    assert view.estimate == "12 tiles of 32 px"
    assert view.automatic["tile"] == "32 px"


def test_a_misfit_says_which_channels_and_offers_a_choice(session: Session) -> None:
    session.set_image(*image())
    session.set_model(network(("red", "green", "blue")), "stub")
    view = session.view
    assert view.state is State.MISFIT
    assert "red, green, blue" in view.misfit
    assert view.channel_rows == (("red", 0), ("green", 0), ("blue", 0))
    session.set_settings(RunSettings(channels=(0, 0, 0)))
    assert session.view.state is State.READY


def test_a_version_of_the_same_model_keeps_the_channels_that_were_chosen(session: Session) -> None:
    session.set_image(*image((3, 64, 96)))
    session.set_model(network(("red", "green", "blue")), "stub")
    session.set_settings(RunSettings(channels=(2, 1, 0)))
    session.set_model(network(("red", "green", "blue")), "stub · taught 1")
    assert session.settings.channels == (2, 1, 0)
    session.set_model(network(), "another")
    assert session.settings.channels is None


def test_channels_that_go_without_saying_are_not_asked_for(session: Session) -> None:
    session.set_image(*image((64, 96, 3), rgb=True))
    session.set_model(network(("red", "green", "blue")), "stub")
    assert session.view.channel_rows == ()


def test_another_pixel_size_is_noted_beyond_one_and_a_half(session: Session) -> None:
    session.set_image(*image(pixel_size_um=0.1))
    session.set_model(network(pixel_size_um=0.12), "stub")
    assert session.view.model_note == ""
    session.set_model(network(pixel_size_um=0.4), "stub")
    assert "4 times larger" in session.view.model_note


def test_the_view_is_emitted_only_when_it_differs(ready: Session) -> None:
    seen: list[View] = []
    ready.changed.connect(seen.append)
    ready.set_settings(ready.settings)
    ready.select_class(None)
    assert seen == []
    ready.set_settings(RunSettings(overlap=0.5))
    assert [view.settings.overlap for view in seen] == [0.5]


def test_a_run_that_goes_over_the_image_first_says_how_far_it_is() -> None:
    now = [0.0]
    session = Session(lambda: now[0])
    session.set_image(*image())
    session.set_model(network(), "stub")
    session.start()
    assert session.view.progress_text == "starting …"
    for second, share in ((1, 0.1), (2, 0.2), (4, 0.4)):
        now[0] = second
        session.survey(share)
    text = "first pass · 40 % · 6 s left"
    assert session.view.progress_text == text
    assert session.view.progress == 0
    now[0] = 12
    session.advance(3)
    assert session.view.progress_text.startswith("25 %")
    session.finish()
    session.start()
    assert session.view.progress_text == "starting …"


def test_a_run_goes_through_its_states(ready: Session) -> None:
    ready.start()
    assert ready.view.busy
    assert not ready.view.can_run
    ready.advance(6)
    assert ready.view.progress == pytest.approx(6 / 12)
    ready.pause()
    assert ready.view.can_resume
    assert "paused" in ready.view.progress_text
    ready.resume()
    ready.advance(12, view_complete=True)
    assert ready.view.view_complete
    ready.finish()
    assert ready.view.state is State.FINISHED
    assert ready.view.can_run
    assert ready.view.can_export


def test_cancelling_says_what_is_kept(ready: Session) -> None:
    ready.start()
    ready.advance(5)
    ready.cancel()
    assert ready.view.state is State.CANCELLED
    assert ready.view.notice is not None
    assert "5 of 12 tiles are kept" in ready.view.notice.text
    assert "kept" in ready.view.notice.text
    assert ready.view.can_export


def test_failing_says_what_happened_and_offers_a_report(ready: Session) -> None:
    ready.start()
    ready.advance(2)
    ready.fail(NetworkError("The weights are damaged."))
    notice = ready.view.notice
    assert notice is not None
    assert notice.severity is Severity.ERROR
    assert notice.text == "The weights are damaged. What was computed by then is kept."
    assert "slide_07" not in notice.details.splitlines()[0]
    assert "torch:" in notice.details
    assert "settings: RunSettings(" in notice.details


def test_an_unexpected_failure_is_told_in_plain_words(ready: Session) -> None:
    ready.start()
    ready.fail(KeyError("x"))
    notice = ready.view.notice
    assert notice is not None
    assert "Something unexpected happened (KeyError" in notice.text
    assert "Copy the details" in notice.text


def test_areas_are_shares_of_what_is_computed(ready: Session) -> None:
    ready.start()
    ready.count_areas([300, 100], 400)
    assert [row.share for row in ready.view.classes] == [0.75, 0.25]
    assert ready.view.classes[1].area == "100 px"


def test_areas_have_units_where_the_pixel_size_is_known(session: Session) -> None:
    session.set_image(*image(pixel_size_um=2.0))
    session.set_model(network(), "stub")
    session.start()
    session.count_areas([300, 100], 400)
    assert session.view.classes[1].area == "100 px · 400 µm²"


def test_names_and_visibility_of_classes_belong_to_the_session(ready: Session) -> None:
    first, second, *others = ready.classes
    ready.set_classes((first, replace(second, name="nucleus"), *others), frozenset())
    ready.show_class(1, False)
    ready.select_class(1)
    row = ready.view.classes[1]
    assert (row.name, row.shown, row.selected) == ("nucleus", False, True)


def test_a_model_that_cannot_be_loaded_leaves_the_one_before(ready: Session) -> None:
    ready.start_loading("other")
    assert not ready.view.can_run
    ready.fail_loading(NetworkError("No."))
    assert ready.view.can_run
    assert ready.view.notice is not None
    assert "'stub' is still chosen" in ready.view.notice.text


def test_the_estimate_says_whole_image(ready: Session) -> None:
    ready.set_settings(RunSettings(mode=Mode.WHOLE))
    assert ready.view.estimate == "The whole image at once"


def test_the_estimate_of_many_tiles_is_a_matter_of_moments(session: Session) -> None:
    class Huge:
        shape = (100_000, 100_000)
        dtype = np.dtype(np.uint8)

        def __getitem__(self, key: object) -> None:
            raise AssertionError("planning must not read a pixel")

    source = Source(Huge())
    session.set_image(source, ImageFacts("huge", source.spatial_shape, ("grey",), "uint8"))
    session.set_settings(RunSettings(mode=Mode.BLEND))
    session.set_model(network(), "stub")
    assert session.view.estimate.startswith("17,")


def test_a_plan_in_exact_mode_waits_until_the_network_is_measured(ready: Session) -> None:
    ready.set_settings(RunSettings(mode=Mode.EXACT))
    assert ready.needs_measuring
    assert not ready.view.can_run
    assert "Measuring" in ready.view.estimate
    assert ready.network is not None
    ready.measuring_done(ready.network, Mode.EXACT)
    assert not ready.needs_measuring
    assert ready.view.can_run


def test_exporting_is_told_in_one_line(ready: Session) -> None:
    ready.start()
    ready.finish()
    target = Path("/data/a_labels.ome.tif")
    ready.start_export(target)
    assert ready.view.export_line == "saving a_labels.ome.tif …"
    assert not ready.view.can_export
    ready.export_done("a", Exported(target), shown=True)
    assert ready.view.export_line == "a_labels.ome.tif"
    assert ready.view.can_export


def test_an_export_clears_only_what_an_export_has_said(ready: Session) -> None:
    ready.start()
    ready.finish()
    target = Path("/data/a_labels.ome.tif")
    ready.tell("Something else.")
    ready.start_export(target)
    ready.export_done("a", Exported(target), shown=True)
    assert ready.view.notice is not None
    ready.fail_export(OutputError("The disk is full."))
    ready.start_export(target)
    assert ready.view.notice is None


def test_an_image_is_described_in_words() -> None:
    facts = ImageFacts("x", (58368, 61440), ("red", "green", "blue"), "uint8", pixel_size_um=0.25)
    plain = facts.describe().replace("\u00a0", " ").replace("\u2060", "")
    assert plain == "61,440 × 58,368 px · RGB · uint8 · 0.25 µm/px"


def costs(session: Session, **changes: object) -> Estimate:
    assert session.plan is not None
    plan = replace(session.plan, settled=True, notes=("Measured.",))
    known = Estimate(
        tiles=plan.n_tiles,
        tile=plan.tile,
        seconds=40.0,
        settling_s=3.0,
        memory_bytes=1_100_000_000,
        on_gpu=False,
        disk_bytes=10_000,
        plan=plan,
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def test_the_estimate_is_shown_and_the_run_uses_the_settled_plan(ready: Session) -> None:
    assert ready.plan is not None
    ready.start_estimate()
    assert ready.view.estimate == "12 tiles of 32 px · measuring the time …"
    assert ready.view.can_run
    ready.take_estimate(ready.plan, costs(ready))
    assert ready.view.estimate == "About 12 tiles of 32 px · 40 s · 1.1 GB memory"
    assert ready.view.plan_note == "Measured."
    assert ready.plan.settled


def test_an_estimate_of_another_plan_is_not_shown(ready: Session) -> None:
    before, late = ready.plan, costs(ready)
    ready.set_settings(RunSettings(overlap=0.5))
    assert before is not None
    ready.take_estimate(before, late)
    assert "About" not in ready.view.estimate
    assert ready.plan is not None
    assert not ready.plan.settled


def test_what_the_run_is_made_of_decides_what_is_estimated(ready: Session) -> None:
    planned: list[object] = []
    ready.planned.connect(planned.append)
    ready.tell("nothing of it")
    assert planned == []
    ready.set_image(*image())  # other pixels of the same size
    ready.set_settings(RunSettings(overlap=0.5))
    ready.set_image(None, None)
    assert [one is None for one in planned] == [False, False, True]


def test_a_run_that_settles_its_own_plan_has_another_number_of_tiles(ready: Session) -> None:
    ready.start()
    assert ready.plan is not None
    ready.settle(replace(ready.plan, notes=("Exact.",), settled=True))
    ready.advance(3, 6)
    assert ready.view.progress == 0.5
    assert ready.plan.settled


def test_a_run_says_what_it_takes_while_it_goes_on_and_after(ready: Session) -> None:
    seconds = {"network": 9.4, "read": 0.5, "merge": 0.1, "write": 0.0}
    report = RunReport(seconds, 10.0, 6, 1_300_000_000, 100_000_000)  # type: ignore[arg-type]
    ready.start()
    ready.advance(6)
    ready.measure(report)
    assert ready.view.pace_line.endswith("/s · network 94 % · 1.2 GB")
    assert ready.view.report_lines == ()
    ready.finish()
    assert ready.view.pace_line == ""
    assert ready.view.report_lines[0].startswith("0.6 tiles/s; network 94 %, reading 5 %")
    ready.start()
    assert ready.view.report_lines == ()

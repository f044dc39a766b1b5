"""The work in a folder: whatever happens to it, it can be read, or the reason is said."""

import json

import numpy as np
import pytest

from disks import make_read_only, small_disk
from napari_tileseg.annotation.sheet import Sheet
from napari_tileseg.annotation.sparse import chunk_region
from napari_tileseg.errors import ProjectError
from napari_tileseg.io import project_log
from napari_tileseg.io.project import Project
from napari_tileseg.io.project_labels import Chunk
from napari_tileseg.io.project_lock import ProjectGone, ProjectInUse
from napari_tileseg.io.project_place import ImageIdentity, find_project, free_name, sample_of

SHAPE = (300, 600)
EVERYTHING = (slice(0, 300), slice(0, 600))
IMAGE = ImageIdentity("slide", SHAPE, sample="abc")
FACTS = {"image": IMAGE.to_facts(), "sheets": [{"id": 1, "shape": list(SHAPE)}]}


def a_sheet(seed=0):
    """A sheet with all there is: a model's labels, corrected and reviewed pixels."""
    rng = np.random.default_rng(seed)
    sheet = Sheet.empty(SHAPE)
    sheet.write_model((slice(0, 300), slice(0, 520)), rng.integers(0, 3, (300, 520)))
    box = (slice(10, 60), slice(200, 300))
    sheet.apply(sheet.painting(box, rng.random((50, 100)) < 0.5, 2))
    sheet.apply(sheet.reviewing((slice(40, 90), slice(250, 320))))
    return sheet


def chunks(sheet, number=1):
    places = sorted(sheet.take_changes())
    return [Chunk(number, SHAPE, at, sheet.words(chunk_region(at, SHAPE))) for at in places]


def restored(project, number=1):
    sheet = Sheet.empty(SHAPE)
    for region, words in project.read(number, SHAPE):
        sheet.restore(region, *words)
    return sheet


def require_equal(one, other):
    for plane, as_plane in zip(one.words(EVERYTHING), other.words(EVERYTHING), strict=True):
        np.testing.assert_array_equal(plane, as_plane)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "slide.tif.tileseg"


@pytest.fixture
def saved(path):
    """A project that was closed, and what it holds."""
    sheet = a_sheet()
    project = Project.create(path, FACTS)
    project.write(chunks(sheet))
    project.close()
    return sheet


def log_file(path):
    (one,) = (path / "labels").glob("*.chunks")
    return one


def test_all_that_was_said_comes_back(path, saved):
    project = Project.open(path)
    require_equal(restored(project), saved)
    assert project.image == IMAGE
    assert project.damaged == 0


def test_what_was_taken_back_stays_taken_back(path, saved):
    project = Project.open(path)
    saved.apply(saved.releasing(EVERYTHING))
    project.write(chunks(saved))
    project.close()
    require_equal(restored(Project.open(path)), saved)


@pytest.mark.parametrize("lost", [1, 20, 31, 33, 200])
def test_a_record_that_was_torn_is_cut_off_and_the_others_stay(path, lost):
    project = Project.create(path, FACTS)
    first, second = a_sheet(0), a_sheet(1)
    project.write(chunks(first))
    whole = log_file(path).stat().st_size
    project.write(chunks(second)[:1])
    project.close()
    size = log_file(path).stat().st_size
    with log_file(path).open("r+b") as stream:
        stream.truncate(max(whole, size - lost))
    project = Project.open(path)
    require_equal(restored(project), first)
    assert log_file(path).stat().st_size == whole
    project.write(chunks(a_sheet(2)))
    project.close()
    require_equal(restored(Project.open(path)), a_sheet(2))


def test_a_damaged_chunk_is_shown_as_it_was_saved_before(path, saved):
    project = Project.open(path)
    start = log_file(path).stat().st_size
    saved.apply(saved.painting((slice(0, 5), slice(0, 5)), np.ones((5, 5), bool), 1))
    changed = chunks(saved)
    project.write(changed)
    project.close()
    content = bytearray(log_file(path).read_bytes())
    content[start + 60] ^= 255
    log_file(path).write_bytes(content)
    project = Project.open(path)
    require_equal(restored(project), a_sheet())
    assert project.damaged


def test_records_that_count_no_more_are_cleared_up(path, monkeypatch):
    monkeypatch.setattr(project_log, "_FILE_BYTES", 20_000)
    monkeypatch.setattr(project_log, "_SPARE_BYTES", 10_000)
    project = Project.create(path, FACTS)
    for seed in range(40):
        project.write(chunks(a_sheet(seed)))
    project.close()
    sizes = [one.stat().st_size for one in (path / "labels").glob("*.chunks")]
    assert sum(sizes) < 400_000, "40 times 50 kB were written"
    require_equal(restored(Project.open(path)), a_sheet(39))


def test_the_second_can_only_read_and_is_told_why(path, saved):
    first = Project.open(path)
    with pytest.raises(ProjectInUse, match="Another napari window"):
        Project.open(path)
    second = Project.open(path, read_only=True)
    require_equal(restored(second), saved)
    with pytest.raises(ProjectInUse, match="read-only"):
        second.write(chunks(a_sheet(3)))
    first.close()
    Project.open(path).close()


def test_a_folder_that_vanished_is_told_not_written_into_nowhere(path):
    project = Project.create(path, FACTS)
    project.write(chunks(a_sheet()))
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(ProjectGone, match="not there any more"):
        project.write(chunks(a_sheet(1)))
    assert not path.exists()


def test_a_newer_version_is_left_as_it_is(path, saved):
    facts = json.loads((path / "project.json").read_text())
    (path / "project.json").write_text(json.dumps(facts | {"version": 99}))
    with pytest.raises(ProjectError, match=r"newer version.*Update"):
        Project.open(path)


def test_damaged_facts_are_told(path, saved):
    (path / "project.json").write_text('{"format": "tile')
    with pytest.raises(ProjectError, match=r"is damaged.*copy"):
        Project.open(path)


def test_a_full_disk_is_told_and_what_was_saved_stays(tmp_path):
    with small_disk(tmp_path / "disk", size="200k") as disk:
        project = Project.create(disk / "a.tileseg", FACTS)
        sheet = a_sheet()
        project.write(chunks(sheet))
        free = 200_000 - 4 * log_file(project.path).stat().st_size // 3
        (disk / "filler").write_bytes(bytes(free))
        with pytest.raises(ProjectError, match="cannot be saved"):
            project.write(chunks(a_sheet(1)))
        require_equal(restored(project), sheet)
        project.close()
        again = Project.open(disk / "a.tileseg")
        require_equal(restored(again), sheet)
        again.close()


def test_a_read_only_disk_is_told(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        make_read_only(disk)
        with pytest.raises(ProjectError, match="cannot be saved"):
            Project.create(disk / "a.tileseg", FACTS)


def test_a_folder_of_a_disk_that_is_not_connected_is_not_made_on_another(tmp_path):
    with pytest.raises(ProjectError, match="cannot be saved"):
        Project.create(tmp_path / "gone" / "a.tileseg", FACTS)
    assert not (tmp_path / "gone").exists()


def test_the_history_comes_back_in_its_order(path, saved):
    project = Project.open(path)
    project.add_history({"what": "taught"})
    project.add_history({"what": "returned"})
    project.close()
    assert [one["what"] for one in Project.open(path).history] == ["taught", "returned"]


def test_an_image_without_a_file_is_known_by_its_pixels():
    pixels = np.random.default_rng(0).integers(0, 255, (300, 400), dtype=np.uint8)
    assert sample_of(pixels) == sample_of(pixels.copy())
    assert sample_of(pixels) != sample_of(pixels.astype(np.uint16))
    assert sample_of(pixels) != sample_of(255 - pixels)


def test_work_lies_beside_the_image_or_in_the_folder_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("TILESEG_DATA", str(tmp_path / "data"))
    file = tmp_path / "slide.tif"
    file.write_bytes(b"pixels")
    image = ImageIdentity.of_file(file, SHAPE, name="slide")
    assert find_project(image) is None
    assert image.beside == tmp_path / "slide.tif.tileseg"
    (tmp_path / "data").mkdir()
    Project.create(image.in_user_folder, FACTS).close()
    assert find_project(image) == image.in_user_folder
    file.write_bytes(b"other pixels")
    assert find_project(ImageIdentity.of_file(file, SHAPE, name="slide")) is None


def test_a_name_that_is_taken_gets_a_number(tmp_path):
    (tmp_path / "a.tif.tileseg").mkdir()
    assert free_name(tmp_path / "a.tif.tileseg").name == "a.tif.2.tileseg"

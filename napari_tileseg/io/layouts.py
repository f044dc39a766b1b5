"""How folders of images and masks are laid out, and which mask belongs to which image."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from napari_tileseg.errors import ImageError, ModelFitError
from napari_tileseg.knobs import Choice

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_SHOWN = 8
_VOC_LISTS = "ImageSets/Segmentation"
_CITYSCAPES_IMAGE = "_leftImg8bit"
_CITYSCAPES_MASKS = ("_gtFine_labelTrainIds", "_gtFine_labelIds", "_gtFine_color")


class Layout(Choice):
    """How folders are laid out."""

    PAIRS = "pairs", "Pairs", "two folders; an image and its mask have the same name"
    VOC = "voc", "PASCAL VOC", "JPEGImages, SegmentationClass, and lists in ImageSets/Segmentation"
    CITYSCAPES = "cityscapes", "Cityscapes", "leftImg8bit/SPLIT/CITY and gtFine/SPLIT/CITY"


@dataclass(frozen=True)
class Pair:
    """The file of an image and the file of its mask."""

    image: Path
    mask: Path


@dataclass(frozen=True)
class Paired:
    """What belongs together, in the order of the names; and what was left aside, for a person."""

    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()


def by_name(images: Path, masks: Path) -> Paired:
    """Pair the files of two folders by name without suffix.

    Raises
    ------
    ModelFitError
        If an image has no mask or the other way round; all such files are named.
    ImageError
        If a folder is missing or empty.
    """
    of_image, of_mask = _by_stem(images), _by_stem(masks)
    pairs = _match(of_image, of_mask, f"'{images}' and '{masks}'")
    aside = [*_folders_in(images, (images, masks)), *_folders_in(masks, (images, masks))]
    notes = (f"Folders in folders are not looked into: {listed(aside)}.",) if aside else ()
    return Paired(pairs, notes)


def voc(root: Path, split: str) -> Paired:
    """Find what a list of a folder like VOC2012 names.

    Raises
    ------
    ImageError
        If it is no such folder, or has no such list.
    ModelFitError
        If an image or mask that is named is not there.
    """
    _require_folders(root, ("JPEGImages", "SegmentationClass", _VOC_LISTS), Layout.VOC)
    lists = {path.stem: path for path in (root / _VOC_LISTS).glob("*.txt")}
    if split not in lists:
        raise ImageError(_no_split(split, lists, root / _VOC_LISTS))
    text = lists[split].read_text(encoding="utf-8")
    wanted = sorted({line.split()[0] for line in text.splitlines() if line.strip()})
    if not wanted:
        raise ImageError(f"The list '{lists[split]}' names no image. Choose another --split.")
    parts = [_by_stem(root / name, wanted) for name in ("JPEGImages", "SegmentationClass")]
    missing = [
        f"no {what} for {stem}"
        for what, files in zip(("image", "mask"), parts, strict=True)
        for stem in wanted
        if stem not in files
    ]
    if missing:
        raise ModelFitError(
            f"What the list '{lists[split].name}' names is not all there: {listed(missing)}. "
            f"Complete '{root}', or take these names off the list."
        )
    pairs = tuple(Pair(parts[0][stem], parts[1][stem]) for stem in wanted)
    return Paired(pairs)


def cityscapes(root: Path, split: str) -> Paired:
    """Find the images of one split, from all cities, with their finest kind of masks.

    Raises
    ------
    ImageError
        If it is no such folder, or has no such split.
    ModelFitError
        If an image has no mask or the other way round; all such files are named.
    """
    _require_folders(root, ("leftImg8bit", "gtFine"), Layout.CITYSCAPES)
    splits = {path.name: path for path in (root / "leftImg8bit").iterdir() if path.is_dir()}
    if split not in splits:
        raise ImageError(_no_split(split, splits, root / "leftImg8bit"))
    images = {
        path.stem.removesuffix(_CITYSCAPES_IMAGE): path
        for path in sorted(splits[split].glob(f"*/*{_CITYSCAPES_IMAGE}.*"))
    }
    if not images:
        raise ImageError(f"There is no image CITY/*{_CITYSCAPES_IMAGE}.png in '{splits[split]}'.")
    masks: dict[str, Path] = {}
    for ending in _CITYSCAPES_MASKS:
        for path in sorted((root / "gtFine" / split).glob(f"*/*{ending}.png")):
            masks.setdefault(path.stem.removesuffix(ending), path)
    return Paired(_match(images, masks, f"'leftImg8bit/{split}' and 'gtFine/{split}'"))


def _match(images: Mapping[str, Path], masks: Mapping[str, Path], where: str) -> tuple[Pair, ...]:
    problems = [
        *(f"no mask for {images[stem].name}" for stem in sorted(images.keys() - masks.keys())),
        *(f"no image for {masks[stem].name}" for stem in sorted(masks.keys() - images.keys())),
    ]
    if problems:
        raise ModelFitError(
            f"Images and masks do not pair up by file name: {listed(problems)}. "
            f"Give both the same name in {where}, or move what is not meant."
        )
    return tuple(Pair(images[stem], masks[stem]) for stem in sorted(images))


def _by_stem(folder: Path, wanted: Iterable[str] | None = None) -> dict[str, Path]:
    if not folder.is_dir():
        raise ImageError(_no_folder(folder))
    only = None if wanted is None else set(wanted)
    found: dict[str, Path] = {}
    twice: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not (path.is_file() or _is_image_folder(path)):
            continue
        stem = path.name.removesuffix(path.suffix).removesuffix(".ome")
        if only is not None and stem not in only:
            continue
        if stem in found:
            twice.append(f"{found[stem].name} and {path.name}")
        found[stem] = path
    if twice:
        raise ModelFitError(
            f"Some files in '{folder}' have the same name but for the suffix, so that it is not "
            f"clear which one is meant: {listed(twice)}. Keep one of each."
        )
    if not found and only is None:
        raise ImageError(f"The folder '{folder}' is empty. Check the path.")
    return found


def _is_image_folder(path: Path) -> bool:
    return path.suffix.lower() == ".zarr"


def _folders_in(folder: Path, known: Sequence[Path]) -> list[str]:
    """Name the folders in a folder that are no images, and not one of those in use."""
    used = {one.resolve() for one in known}
    return [
        str(path)
        for path in sorted(folder.iterdir())
        if path.is_dir()
        and not path.name.startswith(".")
        and not _is_image_folder(path)
        and path.resolve() not in used
    ]


def _require_folders(root: Path, names: Sequence[str], layout: Layout) -> None:
    if not root.is_dir():
        raise ImageError(_no_folder(root))
    missing = [name for name in names if not (root / name).is_dir()]
    if not missing:
        return
    inner = [path.parent for path in sorted(root.glob(f"*/{names[0]}"))]
    hint = f" Did you mean '{inner[0]}'?" if inner else ""
    raise ImageError(
        f"'{root}' has no folder {' and no '.join(missing)}, which the layout '{layout}' "
        f"({layout.help}) needs.{hint}"
    )


def _no_folder(folder: Path) -> str:
    return f"There is no folder '{folder}'. Check the path."


def _no_split(split: str, known: Iterable[str], where: Path) -> str:
    names = ", ".join(sorted(known)) or "none"
    near = get_close_matches(split, list(known), n=1)
    hint = f" Did you mean '{near[0]}'?" if near else " Choose one of them with --split."
    return f"There is no split '{split}' in '{where}'. There are: {names}.{hint}"


def listed(items: Sequence[str]) -> str:
    """Return the first few items as text, and how many more there are."""
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return "; ".join(items[:_SHOWN]) + more

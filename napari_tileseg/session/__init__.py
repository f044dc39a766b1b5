"""The work on one image: what was chosen, how far it is, what came of it."""

from napari_tileseg.session.facts import ImageFacts
from napari_tileseg.session.notice import Notice, Severity, notice_of
from napari_tileseg.session.session import Session
from napari_tileseg.session.view import View
from napari_tileseg.session.wanted import ClassRow, Exported, State

__all__ = [
    "ClassRow",
    "Exported",
    "ImageFacts",
    "Notice",
    "Session",
    "Severity",
    "State",
    "View",
    "notice_of",
]

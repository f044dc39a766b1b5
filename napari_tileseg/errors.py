"""What can go wrong for a person: every message says what is, and what to do about it."""

from __future__ import annotations

from typing import Any


class TilesegError(Exception):
    """Base of everything a person can meet; its text is written for that person."""


class SettingsError(TilesegError):
    """A setting is out of its bounds or contradicts another one."""


class ImageError(TilesegError):
    """An image cannot be read or cannot be segmented as it is."""


class ModelFitError(TilesegError):
    """A model and an image (or its masks) do not fit each other: channels, classes, axes."""


class CheckpointError(TilesegError):
    """A file is not a checkpoint that can be used, or not one that is safe to use."""


class NotTrustedError(CheckpointError):
    """A file that would run code when it is opened, which nobody here has vouched for."""


class NetworkError(TilesegError):
    """A network answered with something that is no segmentation: wrong shape, not a number."""


class DeviceError(TilesegError):
    """A device does not exist, cannot do what was asked, or ran out of memory."""


class NotBetterError(TilesegError):
    """What a model has learnt makes it no better; `verdict` holds the figures and the model."""

    def __init__(self, message: str, verdict: Any = None) -> None:
        super().__init__(message)
        self.verdict = verdict


class OutputError(TilesegError):
    """A result cannot be written; what was there before is untouched."""


class ProjectError(TilesegError):
    """The work on an image cannot be saved, or saved work cannot be opened."""


class Cancelled(TilesegError):
    """Somebody asked to stop; what was finished by then is kept."""

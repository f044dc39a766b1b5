"""napari and Qt without widgets: layers, the viewport, and the only threads."""

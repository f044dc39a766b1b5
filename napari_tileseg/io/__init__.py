"""Files in and out: images, checkpoints, labels."""

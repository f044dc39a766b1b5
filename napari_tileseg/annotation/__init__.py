"""What a person says about an image: plain numpy, no window, no network."""

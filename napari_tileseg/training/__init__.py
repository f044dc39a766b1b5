"""Teaching networks from images and masks, and measuring how good they are."""

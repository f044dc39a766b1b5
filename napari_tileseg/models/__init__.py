"""Networks by name: what can be built, and what is known about it before it is trained."""

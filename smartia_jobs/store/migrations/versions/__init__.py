"""Each version of our own tables."""

"""How fast the program is, as ratios of two things measured side by side (``make bench``)."""

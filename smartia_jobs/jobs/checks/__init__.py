"""The lines of ``check``: each function looks at one thing and returns what it found."""

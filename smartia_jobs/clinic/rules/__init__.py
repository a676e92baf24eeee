"""What is due, and why not: pure rules over plain values and a moment."""

"""Many clinics in one go: whose turn it is, a process for each, and what came of them all."""

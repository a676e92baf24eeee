"""The safety: every message is claimed, sent and recorded once, whatever dies in between."""

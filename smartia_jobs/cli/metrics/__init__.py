"""``smartia-jobs metrics``: the numbers of a period as a table, JSON, CSV or a page."""

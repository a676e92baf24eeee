"""``smartia-jobs calls``: whom the reception should call, as a table, a page, CSV or JSON."""

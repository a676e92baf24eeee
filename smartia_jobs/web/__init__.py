"""The old programs' doors: their HTTP endpoints, and the field names their callers read."""

"""The clinic's SmartIA database: its tables, its times, and the questions asked of them."""

"""Our own tables, beside SmartIA's: schema, migrations, states, and plain reads and writes."""

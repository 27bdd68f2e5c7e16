"""What a store keeps of its schema's version, by name."""

VERSION_TABLE = "mainspring_schema"

#: The setting that tells the oldest revision whose code still works with the store's; absent: only its own code does.
SERVES = "schema_serves"

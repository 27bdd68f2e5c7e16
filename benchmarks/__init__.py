"""How fast Mainspring is, beside its peers on the same machine: ``make bench``. Nothing here asserts a time."""

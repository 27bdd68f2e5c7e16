"""Servers that speak as AWS does, for tests: two, since each has its own mistakes."""

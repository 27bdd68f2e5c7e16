"""SQL stores: one schema and one committer for every database, and per dialect the statements that differ.

Rule: what is asked often is a named, commented statement run on the driver; SQLAlchemy Core owns the tables, the
migrations and the reads that are composed from filters, and is imported only when one of those is needed.
"""

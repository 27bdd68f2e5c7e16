"""The schema's history: alembic revisions of the tables that the SQL adapter defines.

Rule: a revision is numbered (``0001_foundation.py`` has the id ``0001``), says everything itself (it imports no tables:
they change, it does not), and works on SQLite and PostgreSQL alike.
"""

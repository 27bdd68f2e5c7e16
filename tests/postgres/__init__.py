"""PostgreSQL for tests: servers of our own, a fresh database for each test, and a pgbouncer in front."""

"""When things happen: processes and invocations turned into dispatched commands."""

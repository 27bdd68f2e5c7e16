"""The adapters to AWS without any service."""

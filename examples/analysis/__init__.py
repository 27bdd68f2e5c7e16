"""The algorithms of the document analysis: plain functions on plain values, which know nothing of workflows."""

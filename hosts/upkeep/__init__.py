"""Upkeep: the bounded ticks that every host runs for the whole store, in small batches.

Each action is a conditional write, so any number of hosts may run them at once. Payloads are never decoded. Imported by
hosts; imports the kernel and ports.
"""

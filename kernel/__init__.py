"""Decisions: what happens to a run, as pure functions of a command, a state and the facts.

Imported by hosts and the face; imports only ports. No clock, no randomness, no input or output, no event loop.
"""

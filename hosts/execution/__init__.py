"""Executing stages: what every host shares between a claimed lease and its recorded end.

Imported by hosts; imports the kernel and ports, never an adapter and never another host.
"""

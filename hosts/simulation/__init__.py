"""The simulator: the real kernel, executor, worker loops and handlers on virtual time, with faults that a seed decides.

May import hosts, the kernel and ports. Which adapters a world stands on, its builder says (``mainspring.simulation``).
"""

"""What the kernel needs of the world: protocols, the records that cross them, and errors.

Imported by everybody; imports nothing of Mainspring, and nothing that does input or output.
"""

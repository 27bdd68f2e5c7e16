"""How long the searches of this folder may take: ``--hypothesis-profile=long`` for a night of them."""

from hypothesis import settings

settings.register_profile("long", deadline=None, max_examples=10_000)

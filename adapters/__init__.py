"""The world, one package per technology; each knows ports only."""

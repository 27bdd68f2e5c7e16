"""The codec on msgspec: canonical JSON text, checked values, JSON Schema. For the composition root and tests."""

from mainspring.adapters.msgspec.codec import MsgspecCodec

__all__ = ["MsgspecCodec"]

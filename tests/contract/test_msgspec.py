"""The codec on msgspec keeps the contract."""

from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.ports.codec import Codec, Limits
from mainspring.ports.contracts.codec import CodecContract


class TestMsgspecCodec(CodecContract):
    def open(self, limits: Limits) -> Codec:
        return MsgspecCodec(limits)

"""Buckets as BlobStore keeps the contract; another process is another object on the same bucket."""

from typing import ClassVar

import pytest

from mainspring.adapters.aws.s3_blob_store import S3BlobStore
from mainspring.ports.blob_store import BlobStore
from mainspring.ports.contracts.blob_store import BlobStoreContract
from tests.aws.buckets import bucket
from tests.aws.servers import AwsServer


class S3Suite(BlobStoreContract):
    server: AwsServer
    prefix: ClassVar[str] = "/some/prefix"

    async def open(self) -> BlobStore:
        self.opened: list[S3BlobStore] = []
        self.bucket = bucket(self.server)
        return await self.second()

    async def second(self) -> BlobStore:
        store = S3BlobStore(self.server.url("s3", self.bucket + self.prefix))
        self.opened.append(store)
        return store

    async def finish(self) -> None:
        for store in self.opened:
            await store.close()


class TestOnMoto(S3Suite):
    @pytest.fixture(autouse=True)
    def _server(self, moto: AwsServer) -> None:
        self.server = moto


class TestOnMiniStack(S3Suite):
    @pytest.fixture(autouse=True)
    def _server(self, ministack: AwsServer) -> None:
        self.server = ministack


class TestWithoutPrefix(TestOnMoto):
    prefix = ""

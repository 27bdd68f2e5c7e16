"""Buckets for tests, and stores on them whose clients have mishaps."""

from mainspring.adapters.aws.s3_blob_store import PART, S3BlobStore
from mainspring.ports.names import BlobKey
from tests.aws.faulty import Faulty, Mishap, Sleeps, fails
from tests.aws.servers import REGION, AwsServer

KEY = BlobKey("run/lease/0123456789abcdef")
LARGE = b"large" * (PART // 5) + b"and the rest"  # two parts

SLOW = fails("SlowDown", 503)


def bucket(server: AwsServer) -> str:
    """A new, empty one."""
    name = server.name("bucket")
    server.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


class Bench:
    """A bucket of its own, stores on it, and what their clients were asked."""

    def __init__(self, server: AwsServer) -> None:
        self.server = server
        self.client = server.client("s3")
        self.bucket = bucket(server)
        self.sleeps = Sleeps()
        self.opened: list[S3BlobStore] = []

    def store(self, options: str = "", **mishaps: list[Mishap]) -> tuple[S3BlobStore, Faulty]:
        """A store below a prefix, to which these things happen."""
        faulty = Faulty(self.client, mishaps)
        url = self.server.url("s3", f"{self.bucket}/below") + options
        self.opened.append(S3BlobStore(url, sleep=self.sleeps, client=faulty))
        return self.opened[-1], faulty

    def objects(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.bucket)
        return [entry["Key"] for entry in found.get("Contents", ())]

    def unfinished(self) -> list[str]:
        found = self.client.list_multipart_uploads(Bucket=self.bucket)
        return [entry["Key"] for entry in found.get("Uploads", ())]

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""An S3 server over a folder: versitygw, which keeps objects as files and their metadata as extended attributes.

Needs `go` the first time. Conditional puts, multipart uploads, checksums and versions of objects are there.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from deploy.local.install import installed, run
from deploy.local.programs import require
from deploy.local.server import Server

VERSION = "1.8.0"
MODULE = "github.com/versity/versitygw/cmd/versitygw"
ACCESS_KEY = "travelos"
BUCKET = "travelos"
REGION = "us-east-1"


class S3Server(Server):
    """A server whose buckets are folders of `<folder>/buckets`; a second start finds the objects of the first.

    The secret of the access key `travelos` is made once and kept in `<folder>/password`. Clients need path-style
    addresses and signature version 4.
    """

    name = "s3"
    default_port = 17070
    driver = "boto3"
    access_key = ACCESS_KEY
    region = REGION

    @property
    def secret_key(self) -> str:
        """The secret access key."""
        return self.secret()

    @property
    def address(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The address of the bucket `travelos`, as `pyarrow.fs.FileSystem.from_uri` reads it."""
        where = urlencode({"scheme": "http", "endpoint_override": f"127.0.0.1:{self.port}", "region": REGION})
        return f"s3://{ACCESS_KEY}:{self.secret_key}@{BUCKET}?{where}"

    @classmethod
    def install(cls) -> Path:
        """Return the folder of the program; the first time it is built (1 to 2 minutes on two cores).

        Raises:
            ServerFailed: `go` is missing or failed.
        """

        def build(fresh: Path) -> None:
            require("the S3 server", "go")
            environment = {**os.environ, "GOFLAGS": "", "GOBIN": str(fresh)}
            command = ["go", "install", f"{MODULE}@v{VERSION}"]
            run(command, cwd=fresh, env=environment, purpose="building versitygw with go (1 to 2 minutes)")

        return installed(f"versitygw-{VERSION}", build)

    def launch(self) -> None:
        """Start the server."""
        buckets, versions = self.folder / "buckets", self.folder / "versions"
        buckets.mkdir(exist_ok=True)
        versions.mkdir(exist_ok=True)
        command = [self.install() / "versitygw", "--port", f"127.0.0.1:{self.port}", "--region", REGION, "--quiet"]
        command += ["--keep-alive"]  # as Amazon's; without it a client that is slow on such connections goes unnoticed
        # By the environment, because the arguments of a process are for everybody to see.
        keys = {"ROOT_ACCESS_KEY_ID": ACCESS_KEY, "ROOT_SECRET_ACCESS_KEY": self.secret_key}
        self.process.spawn([*command, "posix", "--versioning-dir", versions, buckets], env=keys)

    def client(self) -> Any:
        """Return a boto3 client for this server, which fails fast and does not retry."""
        import boto3  # noqa: PLC0415 - the client is an extra
        from botocore.config import Config  # noqa: PLC0415

        patience = {"connect_timeout": 2, "read_timeout": 5, "retries": {"total_max_attempts": 1}}
        return boto3.client(
            "s3",
            endpoint_url=self.address,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=self.secret_key,
            region_name=REGION,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, **patience),
        )

    def answers(self) -> bool:
        """Whether the server lists its buckets."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        client = self.client()
        try:
            client.list_buckets()
        except (BotoCoreError, ClientError):
            return False
        finally:
            client.close()
        return True

    def create_bucket(self, name: str) -> None:
        """Create a bucket unless it is there."""
        client = self.client()
        try:
            if name not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=name)
        finally:
            client.close()

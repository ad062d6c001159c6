"""What a user may say about an S3."""

from typing import Annotated, Literal

from msgspec import Meta, Struct


class S3Options(Struct, frozen=True, kw_only=True):
    """Where the objects lie and how they are kept. No secret is in a repr."""

    bucket: Annotated[str, Meta(description="name of the bucket")] = "travelos"
    prefix: Annotated[str, Meta(description="before all keys, as in `media/`; empty: none")] = ""
    endpoint: Annotated[
        str, Meta(description="address of a server that is not Amazon's; empty: that of the region")
    ] = ""
    region: Annotated[str, Meta(description="region of the bucket")] = "us-east-1"
    access_key: Annotated[str, Meta(description="access key; empty: what boto3 finds (environment, profile, role)")] = (
        ""
    )
    secret_key: Annotated[str, Meta(description="secret of the access key", extra={"secret": True})] = ""
    path_style: Annotated[bool, Meta(description="the bucket in the path and not in the host's name")] = False
    create_bucket: Annotated[bool, Meta(description="make the bucket when it is missing")] = True
    encryption: Annotated[
        Literal["", "AES256", "aws:kms", "aws:kms:dsse"],
        Meta(description="server-side encryption that each object asks for; empty: the bucket's own"),
    ] = ""
    kms_key: Annotated[str, Meta(description="id of the key for `aws:kms`; empty: the account's")] = ""
    storage_class: Annotated[str, Meta(description="as in `STANDARD_IA`; empty: the bucket's own")] = ""
    undo_hours: Annotated[
        int, Meta(ge=1, description="how long the copy of a large object that a saga may have to bring back is kept")
    ] = 168
    multipart_mib: Annotated[
        int, Meta(ge=5, le=1_024, description="larger objects go in parts of this size, side by side")
    ] = 16
    connections: Annotated[int, Meta(ge=1, le=256, description="requests at a time")] = 8
    connect_seconds: Annotated[float, Meta(gt=0, description="longest wait for a connection")] = 5.0
    request_seconds: Annotated[float, Meta(gt=0, description="longest wait for an answer")] = 60.0
    ca_file: Annotated[str, Meta(description="certificates that the server's is checked with; empty: the system's")] = (
        ""
    )

    def __repr__(self) -> str:
        """Say which bucket this is."""
        return f"S3Options(endpoint={self.endpoint!r}, bucket={self.bucket!r}, prefix={self.prefix!r})"

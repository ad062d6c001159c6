"""The options of users' keys, which sensitive fields are sealed with."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from streams.settings.section import Section


class Keys(Section):
    """Users' keys: what sensitive fields are sealed with, and what an erasure destroys."""

    store: Literal["", "sqlite", "postgres", "off"] = Field(
        default="",
        description="where they lie: a file below `data_dir`, for one machine; Postgres; off: fields stay plain. "
        "Empty: sqlite where demo and run start the workers, else off",
    )
    url: SecretStr = Field(default=SecretStr(""), description="of the Postgres database that they lie in")
    master_file: Path | None = Field(
        default=None,
        description="file of the master keys, `ID:BASE64` a line, the newest last; empty: `keys/master.keys` below "
        "`data_dir`, made at the first start with sqlite",
    )
    master_keys: SecretStr = Field(
        default=SecretStr(""), description="the same lines, separated by commas, instead of the file"
    )
    kms_key: str = Field(default="", description="key of AWS KMS that encrypted what these lines hold; empty: none")
    kms_region: str = Field(default="us-east-1", min_length=1, description="its region")
    kms_endpoint: str = Field(
        default="", pattern=r"^(https?://\S+)?$", description="address of a KMS that is not Amazon's"
    )
    seals: Literal["fields", "everything"] = Field(
        default="fields",
        description="what they seal: sensitive fields and columns; or also events that wait and the contents of all "
        "writes about a person, which are opened just before their store takes them",
    )
    columns: list[str] = Field(
        default=[],
        description='expressions of "schema.table.column" that are sealed, too; "=COLUMN" behind one says which column '
        "names the user, else `user_id`; rows of public.users are their own",
    )
    cache_seconds: float = Field(
        default=60, gt=0, le=3_600, description="how long a worker remembers a key, and so uses one that was destroyed"
    )
    cache_entries: int = Field(default=100_000, ge=1, description="users whose keys a worker remembers")

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Master keys that AWS KMS has encrypted: what is in the ring is of no use without it."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from connectors.sinks.errors import Fatal, Unavailable

OPTION = "keys.kms_key"
_CONTEXT = {"purpose": "travelos master key"}  # said again to decrypt: a ciphertext of something else does not open
_PASSING = frozenset(
    ("DependencyTimeoutException", "KMSInternalException", "KeyUnavailableException", "ThrottlingException")
)


def kms_client(region: str, endpoint: str = "") -> Any:
    """Return boto3's client of KMS; credentials are those that boto3 finds."""
    return Session().client("kms", region_name=region, endpoint_url=endpoint or None)


class Kms:
    """A key of KMS that encrypts master keys.

    Args:
        client: boto3's, or what has its methods `decrypt` and `generate_data_key_without_plaintext`.
        key: id, ARN or alias of the key.
    """

    def __init__(self, client: Any, key: str) -> None:
        self._client, self._key = client, key

    def decrypt(self, material: bytes) -> bytes:
        """Return a master key.

        Raises:
            Unavailable: KMS does not answer.
            Fatal: it refuses; names the option.
        """
        with _interpreted():
            found = self._client.decrypt(CiphertextBlob=material, KeyId=self._key, EncryptionContext=_CONTEXT)
            return bytes(found["Plaintext"])

    def new_material(self) -> bytes:
        """Return a new master key of 32 bytes, encrypted; nobody has seen it plain. Raises as `decrypt`."""
        with _interpreted():
            found = self._client.generate_data_key_without_plaintext(
                KeyId=self._key, KeySpec="AES_256", EncryptionContext=_CONTEXT
            )
            return bytes(found["CiphertextBlob"])


@contextmanager
def _interpreted() -> Generator[None]:
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _PASSING or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
            raise Unavailable(f"KMS: {code}") from error
        raise Fatal(f"KMS refuses ({code}); see `{OPTION}`, and whether the process may use that key") from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise Fatal(f"KMS: {error}; give the process credentials that may use `{OPTION}`") from error
    except BotoCoreError as error:
        raise Unavailable(f"KMS does not answer: {error}") from error

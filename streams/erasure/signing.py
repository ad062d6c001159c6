"""The key that certificates are signed with: a file, made when it is missing."""

import base64
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from connectors.sinks.errors import Fatal

OPTION = "erasure.signing_key_file"


def signing_key(path: Path, *, may_make: bool) -> Ed25519PrivateKey:
    """Return the key of a file.

    Args:
        path: PEM, PKCS 8, without a password; only its owner should be able to read it.
        may_make: whether a new key is put there when there is no such file.

    Raises:
        Fatal: there is none, or it is no Ed25519 key; names the option and never shows what stands in it.
    """
    try:
        if may_make and not path.exists():
            _make(path)
        key = load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise Fatal(f"`{OPTION}` names {path}, which is not there") from error
    except OSError as error:
        raise Fatal(f"`{OPTION}`: {path} cannot be used: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Fatal(f"`{OPTION}`: {path} holds no private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Fatal(f"`{OPTION}`: the key in {path} is not of the kind Ed25519")
    return key


def public_key_of(key: Ed25519PrivateKey) -> str:
    """Return the public half, in Base64, as certificates name it."""
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def _make(path: Path) -> None:
    """Put a new key there, whole or not at all; of several processes one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:  # another process was faster: its key is the one
        return
    finally:
        temporary.unlink()

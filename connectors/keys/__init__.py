"""Users' keys: a data key for each, wrapped by a master key, in a store that forgets what it is told to forget."""

from connectors.keys.contract import KeyStore, StoredKey
from connectors.keys.data_key import DataKey, NotSealedHere
from connectors.keys.master import MasterKeys
from connectors.keys.sqlite import SQLiteKeyStore
from connectors.keys.user_keys import UserKeys

__all__ = ["DataKey", "KeyStore", "MasterKeys", "NotSealedHere", "SQLiteKeyStore", "StoredKey", "UserKeys"]

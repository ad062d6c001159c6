"""The options of the project: one documented model, and where each value in force came from."""

from streams.settings.load import Loaded, Option, SettingsError, all_options, load
from streams.settings.model import Options

__all__ = ["Loaded", "Option", "Options", "SettingsError", "all_options", "load"]

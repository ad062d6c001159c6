"""What all tables of options have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of `travelos.toml`. Unknown options are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

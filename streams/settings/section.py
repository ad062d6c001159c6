"""What all tables of options have in common."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

NAME_BYTES = 63  # NAMEDATALEN - 1; what is behind them is cut off, and only a notice says so


class Section(BaseModel):
    """A table of `travelos.toml`. Unknown options are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _kept_whole(name: str) -> str:
    if (size := len(name.encode())) > NAME_BYTES:
        raise PydanticCustomError(
            "name_too_long",
            "it has {size} bytes, and Postgres cuts names after {most}",
            {"size": size, "most": NAME_BYTES},
        )
    return name


KEPT_WHOLE = AfterValidator(_kept_whole)
PostgresName = Annotated[str, KEPT_WHOLE]

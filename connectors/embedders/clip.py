# pyright: reportAny=false
"""Image embeddings by CLIP: they know what a picture shows. An extra, with a model taken from this machine."""

from collections.abc import Sequence
from typing import Any

from connectors.embedders.contract import ImageError, Vector, unit_rows
from connectors.embedders.images import open_picture
from connectors.embedders.models import first_file, hub_folders, library, models_folder, revision

_NAME = "ViT-B-32"
_REPOSITORY = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_SIDE = 224  # what the model looks at
_AT_ONCE = 32
_OPTION = "embed.image_model = clip"


class ClipEmbedder:
    """512 numbers a picture, by OpenCLIP's ViT-B-32.

    Raises:
        ModelUnavailable: the extra is not installed, or the weights are not on this machine.
    """

    def __init__(self) -> None:
        open_clip = library("open_clip", option=_OPTION, extra="clip")
        self._torch = library("torch", option=_OPTION, extra="clip")
        folders = [models_folder() / _NAME, *hub_folders(_REPOSITORY)]
        weights = first_file(
            [folder / file for folder in folders for file in _FILES],
            option=_OPTION,
            fix=f"copy a file of {_REPOSITORY} into the first of these folders",
        )
        self.model = f"openclip-{_NAME}@{revision((weights,))}"
        model, _, prepare = open_clip.create_model_and_transforms(_NAME, pretrained=str(weights), device="cpu")
        self._model: Any = model.eval()
        self._prepare: Any = prepare
        self.dimension = int(model.visual.output_dim)

    def embed(self, images: Sequence[bytes]) -> list[Vector | ImageError]:
        """Return one outcome for each file, in order."""
        outcomes: list[Vector | ImageError] = []
        for start in range(0, len(images), _AT_ONCE):
            outcomes += self._some(images[start : start + _AT_ONCE])
        return outcomes

    def _some(self, images: Sequence[bytes]) -> list[Vector | ImageError]:
        pictures = [open_picture(data, side=2 * _SIDE) for data in images]
        inputs = [self._prepare(picture) for picture in pictures if not isinstance(picture, ImageError)]
        if not inputs:
            return [picture for picture in pictures if isinstance(picture, ImageError)]
        with self._torch.no_grad():
            rows = iter(unit_rows(self._model.encode_image(self._torch.stack(inputs)).numpy()))
        return [picture if isinstance(picture, ImageError) else next(rows) for picture in pictures]

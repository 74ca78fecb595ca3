"""Where an explanation lives: the model's inputs, or the inputs of a layer it is cut at."""

from dataclasses import dataclass

from xai_mimo.core.model import Arrays, Model, Splittable, require


@dataclass(frozen=True)
class Space:
    """A model, perhaps cut at a layer.

    Attributes:
        whole: the model that reads the data.
        explained: the model whose streams are attributed to: ``whole`` itself or its tail.
        layer: where it was cut; None for the model's own inputs.
    """

    whole: Model
    explained: Model
    layer: str | None = None

    @property
    def name(self) -> str:
        """The ``space`` attribute of results."""
        return "inputs" if self.layer is None else f"at:{self.layer}"

    def enter(self, inputs: Arrays) -> Arrays:
        """Rows of the model's inputs as rows of this space."""
        if self.layer is None or not isinstance(self.whole, Splittable):
            return inputs
        return self.whole.activations(inputs, self.layer)

    def reads(self) -> dict[str, tuple[str, ...]]:
        """The model's streams that each stream of this space depends on."""
        if self.layer is None or not isinstance(self.whole, Splittable):
            return {s.name: (s.name,) for s in self.explained.streams}
        return self.whole.layer_streams(self.layer)


def space_of(model: Model, at: str | None) -> Space:
    """The space of a model's inputs, or at a layer.

    Raises:
        NotSupported: the model cannot be cut.
    """
    if at is None:
        return Space(model, model)
    return Space(model, require(model, Splittable, for_=f"at='{at}'").tail(at), at)

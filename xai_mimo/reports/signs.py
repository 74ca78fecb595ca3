"""What the sign of a map means in words: attributions and sensitivities (``core.speaks_of``) answer two questions."""

from xai_mimo.record.rows import Record
from xai_mimo.record.select import signed_labels_of


def colours_of_signs(record: Record) -> str:
    """What blue and orange mean, as a part of a sentence; of methods that speak of sensitivity by their names."""
    growing = signed_labels_of(record, "sensitivity")
    text = "blue raises the prediction, orange lowers it"
    if growing:
        text += f" (of {', '.join(growing)}: blue where it rises when the feature grows, orange where it falls)"
    return text

"""What accuracy and balanced accuracy are called, by whom."""

from ser_store.errors import UnknownNameError, describe_unknown

# Gavali & Verma (2025) have the field's two names the other way round.
STYLES = {
    "plain": {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"},
    "paper": {
        "accuracy": "UA in the paper = accuracy",
        "balanced_accuracy": "WA in the paper = balanced accuracy",
    },
}
EXPLANATION = "In the paper UA is accuracy and WA balanced accuracy; elsewhere WA is accuracy and UA balanced accuracy."


def name_metrics(style: str) -> dict[str, str]:
    """The names of ``accuracy`` and ``balanced_accuracy`` in a style, ``plain`` or ``paper``.

    Raises:
        UnknownNameError: if there is no such style.

    >>> name_metrics("paper")["accuracy"]
    'UA in the paper = accuracy'
    """
    if style not in STYLES:
        raise UnknownNameError(describe_unknown("style of names", style, STYLES))
    return STYLES[style]

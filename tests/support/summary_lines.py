"""The labels of the lines that `grokinterp analyze` and `grokinterp demo` print, in order."""

SUMMARY = [
    "phases",
    "key frequencies",
    "logits explained",
    "losses",
    "circuit",
    "learning coeff.",
    "not defined",
    "verdict",
]

"""What a practitioner may use a map for: one word for each use, one in all, and the sentences they follow from.

*order* - which inputs matter more than which. Better than a random order: the symmetric gain lies above what a random
    order gains; or it cannot be told from that, and the signed gain of a map with signs lies above. Worse: the
    symmetric gain lies below and neither area above, or both areas lie below; or the truth is known and the mean map
    ranks the true features behind the others. A gain counts from a tenth of all that the prediction moves.
*shares* - how much each input counts. Better: at least half of the mass lies where the effect is, more than of the map
    permuted, by at least a tenth; where the truth is known, more of it lies there than by chance. Worse: less than half
    of what the map permuted has, or of what chance puts on the truth; or one input has more than half of the mass and
    little effect; a tenth holds them back to doubtful.
*sign* - whether an input raises or lowers the prediction: the signed gain lies above or below that of a random order;
    doubtful where the shares mislead. A map without signs, or one of sensitivities, makes no such claim.

*supported* where the evidence is better, *misleading* where it is worse, *doubtful* between, *undecided* where it could
not be measured. What holds an order back to doubtful: the truth is known and found in part only (AUROC of the mean map
below 0.8); another method, whose own tests support its order, gains more than twice as much, and significantly more; or
the map hardly differs from a uniform one, which holds its shares back too.

A head is undecided for all methods where it does not react, is known to depend on nothing, or has not been learnt, and
where fewer than ten different rows were explained, or one input alone.

**The word in all is the worst of the uses that could be measured**: a map whose signs are reversed misleads, though its
order is right; the text says what is left of it.

One test decides and is the one that is printed: the p of the record's ``differences``, corrected (Holm) for the tests
of one verdict, so that a verdict does not depend on what else stands in the comparison. For a map it takes p <= 0.05,
against it p <= 0.01, since to call a map misleading is an accusation. Agreement decides nothing: methods that agree may
all be wrong (Neely et al., 2022, "A Song of (Dis)agreement"), and a right map may stand among wrong ones only. It is
reported with the methods whose order is supported. The thresholds are ours; docs/verdicts.md has the error rates that
were measured with them.
"""

from collections.abc import Collection, Mapping, Sequence

from xai_mimo.comparison.case import Case, Evidence
from xai_mimo.comparison.evidence import agreement_of, order_of, reach_of, shares_of, sign_of
from xai_mimo.record.results import Difference, Score, Verdict
from xai_mimo.record.words import VerdictWord

_WORDS: dict[int | None, VerdictWord] = {1: "supported", 0: "doubtful", -1: "misleading", None: "undecided"}
_USES = {
    "order": "which inputs matter more",
    "shares": "how much each counts",
    "sign": "which way each moves the prediction",
}
_NO_SIGN = (
    "Sign: this map has none; it says how much the head reads an input, not whether the input raises or lowers the "
    "prediction."
)
_NO_SIGN_OF_STREAMS = "Sign: shares of whole streams have none, whatever the method."
_SENSITIVITY = (
    "Sign: this map speaks of sensitivities, of what happens when an input grows, and not of what its present value "
    "did, which alone can be tested by replacing it."
)
_SHARED = (
    "Heads: this map is the same for every head, as attention is, so it cannot tell what one head reads from what "
    "another does."
)


def verdicts(
    heads: Sequence[str],
    methods: Mapping[str, bool],
    scores: Sequence[Score],
    differences: Sequence[Difference],
    *,
    inputs: int,
    replacement: str = "the background",
    attributions: Sequence[str] | None = None,
    shared: Collection[str] = (),
    are_streams: bool = False,
    undecidable: Mapping[str, str] | None = None,
) -> list[Verdict]:
    """One verdict for each head and method.

    Args:
        heads: names of the targets.
        methods: label -> whether its map has a sign.
        scores: the record's ``scores``.
        differences: the record's ``differences`` (paired, positive where the first is better).
        inputs: number of inputs that a map ranks.
        replacement: what replaced inputs become, in words.
        attributions: labels of the methods whose signs say what the present values did; None for all with a sign.
        shared: labels of the methods whose map is the same for all heads.
        are_streams: whether maps are shares of whole streams, which have no sign whatever the method.
        undecidable: heads of which nothing can be concluded, with the reason.
    """
    rows = []
    with_sign = [m for m, signed in methods.items() if signed and (attributions is None or m in attributions)]
    for head in heads:
        if undecidable and head in undecidable:
            rows += [_undecided(head, method, method in with_sign, undecidable[head]) for method in methods]
            continue
        cases = {method: Case.of(head, method, inputs, replacement, scores, differences) for method in methods}
        orders = {method: order_of(case, has_sign=method in with_sign) for method, case in cases.items()}
        supported = [method for method, order in orders.items() if order.vote == 1]
        for method, case in cases.items():
            others = [cases[other] for other in supported if other != method]
            uses = {"order": orders[method].but(reach_of(case, others)), "shares": shares_of(case)}
            if method in with_sign:
                uses["sign"] = sign_of(case, uses["shares"])
            none = _SENSITIVITY if methods[method] else _NO_SIGN_OF_STREAMS if are_streams else _NO_SIGN
            remarks = ([] if method in with_sign else [none]) + [_SHARED] * (method in shared)
            remarks += agreement_of(case, [other.method for other in others], scores)
            rows.append(_verdict(case, uses, remarks))
    return rows


def _undecided(head: str, method: str, signed: bool, why: str) -> Verdict:
    return Verdict(
        head=head,
        method=method,
        verdict="undecided",
        order="undecided",
        shares="undecided",
        sign="undecided" if signed else None,
        text=why,
        evidence=(),
    )


def _verdict(case: Case, uses: Mapping[str, Evidence], remarks: Sequence[str]) -> Verdict:
    words = {name: _WORDS[use.vote] for name, use in uses.items()}
    votes = [use.vote for use in uses.values() if use.vote is not None]
    in_all = None if uses["order"].vote is None else min(votes)
    return Verdict(
        head=case.head,
        method=case.method,
        verdict=_WORDS[in_all],
        order=words["order"],
        shares=words["shares"],
        sign=words.get("sign"),
        text=_text(case, in_all, uses),
        evidence=(*(sentence for use in uses.values() for sentence in use.sentences), *remarks),
    )


def _text(case: Case, in_all: int | None, uses: Mapping[str, Evidence]) -> str:
    """What the map may be used for, and why not for the rest."""
    method, head = case.method, case.head
    good = _listed([_USES[name] for name, use in uses.items() if use.vote == 1])
    weak = "; ".join(use.why for use in uses.values() if use.vote != 1)
    if in_all is None:
        return (
            f"Nothing can be said of {method} for head '{head}' yet: its order could not be tested. Explain more rows."
        )
    if in_all == 1:
        untested = f"; {weak}" if weak else ""
        return f"{method} can be used for head '{head}' to tell {good}{untested}."
    if good:
        return f"Use {method} for head '{head}' only to tell {good}: {weak}."
    return f"{'Do not use' if in_all < 0 else 'Do not rely on'} {method} for head '{head}': {weak}."


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)

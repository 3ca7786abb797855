"""The grid of a study: every method, epoch, profile and evaluation of its lists that fit together, and what does not fit."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from phenorep import plugins, profiles
from phenorep.errors import UserError

if TYPE_CHECKING:
    from phenorep.planning import Plan


@dataclass(frozen=True, order=True)
class Encoded:
    """A method applied to a sample set, with one seed, at one epoch of its training: one table of embeddings."""

    dataset: str
    samples: str
    method: str
    seed: int
    epoch: str = "final"

    @property
    def folder(self) -> str:
        """The part of a path that these wildcards fill."""
        return f"{self.dataset}/{{stage}}/{self.samples}/{self.method}/seed{self.seed}"

    def path(self, stage: str, rest: str) -> str:
        """Path of a file of this stage."""
        return f"results/{self.folder.format(stage=stage)}/{rest}"


def encoded(plan: "Plan", study: dict) -> list[Encoded]:
    """Every table of embeddings that a study asks for; saved epochs only of the methods that it scores there."""
    return sorted(
        {
            Encoded(study["dataset"], study["samples"], method, plan.seed(method, seed), epoch)
            for method in study["methods"]
            if method not in study["skip"]
            for seed in study["seeds"]
            for epoch in plan.epochs(method)
            if epoch == "final" or method in study["saved_epochs"]["methods"]
        }
    )


def parts(plan: "Plan", whole: Encoded) -> list[Encoded]:
    """Tables of embeddings that a combined method puts side by side, in their order; none for another method.

    A member that does not train stands as it is beside every epoch of the others.
    """
    found = []
    for member in plan.members(whole.method):
        epoch = whole.epoch if whole.epoch in plan.epochs(member) else "final"
        found.append(replace(whole, method=member, seed=plan.seed(member, whole.seed), epoch=epoch))
    return found


def pairs(plan: "Plan", study: dict, epoch: str = "final") -> tuple[list[tuple[str, str]], list[dict]]:
    """Pairs of (profile, evaluation) of a study at an epoch, and those that do not fit together."""
    fitting, unfit = [], []
    names = study if epoch == "final" else study["saved_epochs"]
    for evaluation in names["evaluations"]:
        constants = plugins.constants("evaluations", plan.blocks["evaluations"][evaluation]["use"])
        if "profiles" not in constants["NEEDS"]:
            fitting.append(("none", evaluation))
            continue
        for profile in names["profiles"]:
            level = _level(plan, profile)
            if constants.get("LEVEL") in (None, level):
                fitting.append((profile, evaluation))
            else:
                reason = f"{evaluation} reads profiles of level {constants['LEVEL']}, {profile} is of level {level}"
                unfit.append({"profile": profile, "evaluation": evaluation, "reason": reason})
    return fitting, unfit


def scores(plan: "Plan") -> list[dict]:
    """Every score file of a run: its wildcards."""
    found = {one for study in plan.blocks["studies"].values() for one in _scored(plan, study)}
    return [{**vars(one), "profile": profile, "evaluation": evaluation} for one, profile, evaluation in sorted(found)]


def not_applicable(plan: "Plan") -> list[dict]:
    """What of the studies does not fit together, with the reason."""
    found = []
    for name, study in plan.blocks["studies"].items():
        found += [{"study": name, **pair} for pair in pairs(plan, study)[1]]
        for evaluation in study["evaluations"]:
            methods = study["only"].get(evaluation, study["methods"])
            reasons = [_lacking(plan, study["dataset"], method, evaluation) for method in methods]
            at = {"study": name, "profile": "none", "evaluation": evaluation}
            found += [{**at, "reason": reason} for reason in reasons if reason]
    return found


def check(plan: "Plan") -> None:
    """Refuse a study of which nothing would be scored.

    Raises
    ------
    UserError
        With the study and the reasons.
    """
    for name, study in plan.blocks["studies"].items():
        if study["evaluations"] and not study["methods"]:
            known = ", ".join(plan.blocks["methods"]) or "your methods"
            raise UserError(f"studies: {name}: methods: nothing would be scored: it names none. Name some of {known}.")
        if study["evaluations"] and encoded(plan, study) and not _scored(plan, study):
            reasons = [entry["reason"] for entry in plan.not_applicable if entry["study"] == name]
            reason = "; ".join(dict.fromkeys(reasons)) or "it names no profiles"
            raise UserError(f"studies: {name}: nothing would be scored: {reason}. Change its profiles or evaluations.")


def _scored(plan: "Plan", study: dict) -> list[tuple[Encoded, str, str]]:
    """Embeddings, profile and evaluation of each score of a study."""
    return [
        (one, profile, evaluation)
        for one in encoded(plan, study)
        for profile, evaluation in pairs(plan, study, one.epoch)[0]
        if one.method in study["only"].get(evaluation, [one.method])
        and not _lacking(plan, one.dataset, one.method, evaluation)
    ]


def _level(plan: "Plan", profile: str) -> str:
    try:
        return profiles.level(plan.blocks["profiles"][profile])
    except TypeError as error:
        raise UserError(f"profiles: {profile}: 'by' must be a level or a list of levels, like 'by: well'.") from error
    except ValueError as error:
        raise UserError(f"profiles: {profile}: {error}") from error


def _lacking(plan: "Plan", dataset: str, method: str, evaluation: str) -> str | None:
    """What an evaluation needs that a method does not have on this dataset; None if it has all."""
    block = plan.blocks["evaluations"][evaluation]
    constants = plugins.constants("evaluations", block["use"])
    if block.get("train") and (reason := plan.unlike(method, block["train"])):
        return f"{evaluation} learns from {block['train']}; {reason}"
    if "encoder" in constants["NEEDS"] and (instead := plan.without_encoder(method)):
        return f"{evaluation} needs an encoder, {method} {instead}"
    if "samples" in constants["NEEDS"] and dataset in plan.without_images():
        return f"{evaluation} needs images, {dataset} holds features that were computed elsewhere"
    if plan.has_alternatives(method) and not constants.get("ALTERNATIVES"):
        return f"{evaluation} reads one set of features for all rows, {method} has another one for each fold held out"
    return None

"""The JSON of the calls on rollouts and the ledger."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field

from application.schemas import Given, Name, Text
from bioseg.database.tables import Decision as Row
from bioseg.registry import ledger
from bioseg.registry.ledger import Action
from bioseg.registry.standing import Standing, Strategy

ROLLOUT_ID = "3f2a9c5e1b7d4e6f8a0b2c4d6e8f0a1b"

Share = Annotated[float, Field(ge=0, le=1, description="Of the clients that the challenger serves, 0 to 1.")]


class DecisionsQuery(BaseModel):
    """Which decisions are listed."""

    study: Name | None = Field(None, description="Only of this study.")


class Move(Given):
    """What is to become of a study's aliases."""

    action: Literal["start", "step", "stop", "promote", "rollback", "unfreeze"] = Field(
        description=(
            "`start` lets a challenger take part, `step` gives a canary its next larger share, `stop` ends the "
            "rollout. `promote` makes the challenger the champion. `rollback` ends the rollout, or without one goes "
            "back to the champion before. `unfreeze` follows three automatic rollbacks in a row."
        )
    )
    strategy: Literal["shadow", "canary", "ab"] | None = Field(None, description="Of `start`.")
    share: Share | None = Field(None, description="Of `start`; unless given, 0.1 of a canary and 0.5 of an `ab`.")
    challenger: Name | None = Field(
        None,
        description=(
            "Version that `start` lets take part, unless given the only one beside the champion; or that `promote` "
            "takes, unless given the challenger of the rollout."
        ),
        examples=["2.0.0"],
    )
    revision: int | None = Field(
        None, ge=0, description="The `revision` that you saw; when the study has moved since, the answer is 409."
    )
    reason: Text = Field("", description="Why, in a sentence; the ledger keeps it.")


class Rollout(BaseModel):
    """How a study stands."""

    study: str = Field(examples=["membrane"])
    revision: int = Field(description="Number of the study's last decision; 0: none yet.")
    champion: str | None = Field(examples=["1.0.0"])
    challenger: str | None = Field(examples=["2.0.0"])
    strategy: Strategy
    share: Share
    rollout: str | None = Field(description="128 random bits while one runs.", examples=[ROLLOUT_ID])
    frozen: bool = Field(description="Whether no new version is taken until an operator unfreezes the study.")

    @classmethod
    def of(cls, standing: Standing) -> Self:
        """Show how a study stands."""
        same = ("study", "champion", "challenger", "strategy", "share", "rollout", "frozen")
        return cls(revision=standing.sequence, **{name: getattr(standing, name) for name in same})


class Interval(BaseModel):
    """A mean and its confidence sequence, which holds at every look at once."""

    estimate: float
    low: float
    high: float
    n: int = Field(description="Observations.")


class Verdict(BaseModel):
    """What the evidence of a rollout says."""

    verdict: Literal["promote", "rollback", "continue", "inconclusive"]
    reason: str
    forecast: str | None = Field(description="How many more pairs it will take, when that can be said.")
    intervals: dict[str, Interval] = Field(
        description=(
            "By measure, challenger minus champion; latency, cpu and memory are logarithms of challenger / champion."
        )
    )
    live_quality: bool = Field(description="False: live quality was not measured, for nobody has judged a pair.")


class JudgedRollout(Rollout):
    """How a study stands, and what is known of its rollout."""

    pairs: int = Field(description="Images that both arms were run on.")
    dropped: int = Field(description="Images on which they were not, because the moment had passed.")
    verdict: Verdict | None = Field(description="None without a rollout.")
    course: dict[str, list[Interval]] | None = Field(description="By measure, its interval as it ran.")


class Rollouts(BaseModel):
    """How every study stands."""

    rollouts: list[JudgedRollout]


class Decision(BaseModel):
    """A row of the ledger: a move of a study's aliases, and how it stood afterwards."""

    id: str = Field(description="For `bioseg replay`.", examples=["membrane/3"])
    study: str
    sequence: int = Field(description="Counts the decisions of a study from 1.")
    created_at: datetime
    action: Action
    champion: str | None
    challenger: str | None
    strategy: Strategy
    share: Share
    rollout: str | None
    frozen: bool
    automatic: bool = Field(description="Whether the platform decided by itself.")
    actor: str
    reason: str
    evidence: dict[str, Any] = Field(description="What it rests on.")
    previous: str = Field(description="`hash` of the decision before; zeros for the first one.")
    hash: str = Field(description="Sha256 of everything else in the row.")

    @classmethod
    def of(cls, row: Row) -> Self:
        """Show a row."""
        return cls.model_validate(ledger.as_json(row))


class Decisions(BaseModel):
    """Decisions in the order in which they were made, study by study."""

    decisions: list[Decision]

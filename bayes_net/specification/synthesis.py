"""The specification of a synthesis: which published numbers and patients, and how they are put together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from bayes_net.assumptions import priors
from bayes_net.assumptions.synthesis import Assumptions, SlopePrior
from bayes_net.data.landmarks import landmark_times
from bayes_net.errors import InputError
from bayes_net.evidence.virtual import biases, carried
from bayes_net.schema import PFS, Duration
from bayes_net.simulate.ensemble import VirtualTrials
from bayes_net.specification import fields, sections
from bayes_net.specification.base import Plan
from bayes_net.specification.data import DataSection
from bayes_net.specification.priors import Change

Fraction = Annotated[float, Field(strict=True, ge=0, le=1)]
Correlation = Annotated[float, Field(strict=True, gt=-1, lt=1)]


class EvidenceSection(sections.Section):
    """Files of published numbers, and how this analysis uses them otherwise than they say."""

    files: Annotated[tuple[Path, ...], Field(min_length=1)]
    """CSV files of published numbers."""
    use: dict[str, Literal["likelihood", "check", "record"]] = Field(default_factory=dict)
    """By row id: use it otherwise than the file says."""
    correlation: dict[str, float | Literal["curve", "arms"]] = Field(default_factory=dict)
    """Of two rows, such as {"N10 N11" = 0.58}; or "curve" for two points of one curve, "arms" for the hazard
    ratio of a trial's arms and a point of the curve of one."""
    power: dict[str, Fraction] = Field(default_factory=dict)
    """Weight from 0 to 1 of single rows or whole studies, such as {"NETTER-1" = 0.5}."""
    only: tuple[Literal["pfs", "os", "response", "shrinkage", "completion"], ...] = ()
    """Endpoints to use; rows of others are kept as records. `[]`: all."""
    statements: fields.Flag = True
    """What papers say of estimates that they do not print; `false`: those rows are kept as records."""

    @model_validator(mode="after")
    def _pairs(self) -> EvidenceSection:
        wrong = [name for name in self.correlation if len(name.split()) != 2]
        if wrong:
            raise ValueError(f'correlation is between two rows: expected "A B" = 0.5, got {wrong[0]!r}')
        return self


class CohortSection(DataSection):
    """Patients of one study."""

    scans: Path | None = None
    """One row a scan. Required where there is a `landmark`."""
    study: str | None = None
    """Name under which the patients are pooled. Required."""
    arm_names: dict[str, str] = Field(default_factory=dict)
    """From the data's names of arms to those of [model]."""
    endpoint: Literal["pfs", "os"] = PFS
    """Which survival the patients inform."""
    landmark: fields.LandmarkText | None = None
    """One of `landmarks` of `[slopes]`: patients at risk after it inform the slopes."""
    landmark_cuts: fields.Cuts = None
    """Cut-points of the hazard after the landmark; the same number in every cohort."""
    curve: fields.Flag = True
    """Every patient's survival from randomisation informs the curves."""
    counts: fields.Flag = True
    """Best shrinkage enters as counts."""
    weight: Fraction = 1.0
    """Power of the patients' likelihood."""

    @model_validator(mode="after")
    def _named(self) -> CohortSection:
        if self.study is None:
            raise ValueError("missing: study, the name under which these patients are pooled")
        if (self.landmark is None) != (self.landmark_cuts is None):
            raise ValueError("landmark and landmark_cuts belong together")
        if self.landmark is not None and self.lacks_scans:
            raise ValueError("missing: scans, of which shrinkage by the landmark is made")
        if isinstance(self.landmark_cuts, dict):
            raise ValueError(
                "landmark_cuts are those of this cohort's endpoint: expected one list of durations"
            )
        if self.landmark is None and not self.curve:
            raise ValueError("curve = false and no landmark: these patients would inform nothing")
        return self


class ModelSection(sections.Section):
    """Arms, studies and intervals."""

    arms: Annotated[tuple[str, ...], Field(min_length=1)]
    """One or two, the reference arm first."""
    reference: str
    """The study on whose baseline hazard single-arm studies stand."""
    own_baseline: tuple[str, ...] = ()
    """Further studies with a baseline hazard of their own."""
    cuts: fields.Cuts
    """Cut-points of every curve, in time from randomisation."""
    smoothing: Literal["rw1", "independent"] = "rw1"
    """Neighbouring intervals are alike (a random walk), or every interval stands by itself."""
    subgroups_of: str | None = None
    """Make arms of the subgroups of this arm, such as `177Lu >=30`."""

    @model_validator(mode="after")
    def _different(self) -> ModelSection:
        if twice := fields.repeated(self.arms):
            raise ValueError(f"arms has {', '.join(twice)} twice")
        if isinstance(self.cuts, dict):
            raise ValueError(
                "cuts are shared by all endpoints of a synthesis: expected one list of durations"
            )
        return self


class SlopeSection(sections.Section):
    """Slopes of shrinkage over landmark time."""

    landmarks: tuple[fields.LandmarkText, ...] = ()
    """Landmarks at which there is a slope. `[]`: no slopes."""
    structure: Literal["gaussian process", "independent", "exchangeable", "tracking"] = "gaussian process"
    """How slopes at different landmarks hang together: over log landmark time, not at all, as draws from one
    distribution, or because early shrinkage tells of final shrinkage (as much as the virtual trials say)."""
    length: fields.Positive = 1.0
    """Of the Gaussian process, in log time."""
    level: Fraction = 0.5
    """Share of the variance that is common to all landmarks."""
    hazard_ratio_per_10_points: fields.Limits = (0.375, 2.667)
    """95 % of hazard ratios at a landmark; of final shrinkage where slopes are "tracking"."""
    heterogeneity: fields.Positive = 0.25
    """Half-normal scale between landmarks ("exchangeable"), or around what they track ("tracking")."""
    between_studies: fields.Positive = 0.25
    """Half-normal scale between studies with patients."""
    no_limit_at: fields.PositiveLength | None = None
    """Gives "no limit" a place among the landmarks: pools it with them."""

    def value(self, virtual: VirtualTrials | None = None) -> SlopePrior:
        """The prior as the model takes it; ``virtual`` trials say what tracking slopes track."""
        tracked = self.landmarks if self.structure == priors.TRACKING else ()
        return SlopePrior(
            prior=priors.hazard_ratio_prior(*_not_flat(self.hazard_ratio_per_10_points)),
            structure=self.structure,
            length=self.length,
            level=self.level,
            heterogeneity=priors.HalfNormal(self.heterogeneity),
            between_studies=priors.HalfNormal(self.between_studies),
            no_limit_months=self.no_limit_at.months if self.no_limit_at else None,
            carried=carried(virtual, landmark_times(tracked)) if tracked and virtual is not None else {},
        )


BorrowingKind = Annotated[
    Literal["exchangeable", "robust mixture", "commensurate", "full", "none"],
    Field(description="Rule of borrowing."),
]
_SD = "SD of differences between studies that belong together; `exchangeable`: half-normal scale."
StudySd = Annotated[fields.Positive, Field(description=_SD)]


class BorrowingSection(sections.Section):
    """How studies lean on each other in one kind of parameter."""

    kind: BorrowingKind
    sd: StudySd
    weight: Fraction = 0.5
    """Probability that they belong together."""
    vague_sd: fields.Positive = 2.0
    """SD of differences between studies that do not."""

    def value(self) -> priors.Borrowing:
        """The rule as the model takes it."""
        return priors.Borrowing(self.kind, self.sd, self.weight, self.vague_sd)


class LevelSection(BorrowingSection):
    """Hazard levels: single-arm studies may differ from the reference study or not belong to it at all."""

    kind: BorrowingKind = "robust mixture"
    sd: StudySd = 0.4
    feedback: fields.Flag = False
    """Curves of single-arm studies also inform the trial on whose baseline they stand (`"full"`: always)."""


class ResponseSection(BorrowingSection):
    """Logits of response."""

    kind: BorrowingKind = "exchangeable"
    sd: StudySd = 1.0


class VirtualTrialsSection(sections.Section):
    """Simulated trials that rows of the evidence name: correlations of estimates at different landmarks, and
    standard errors of those that are not printed."""

    se_factor: fields.Positive = 1.0
    """Multiplies the standard errors of what is not printed."""
    correlations: Literal["mean", "independent"] = "mean"
    """Of estimates at different landmarks: those of the virtual trials, or none."""


class BiasSection(sections.Section):
    """Guarantee-time bias of "no limit": mean and SD by arm, log hazard ratio per point of shrinkage."""

    by_arm: dict[str, tuple[fields.Number, fields.Positive]] = Field(default_factory=dict)
    """By arm: mean and SD of the bias, log hazard ratio per point of shrinkage. `{}`: those of
    the virtual trials that rows of the evidence name, if they do."""
    scale: Annotated[fields.Number, Field(ge=0, le=10)] = 1.0
    """Multiplies both."""


class BorrowSections(sections.Section):
    """Borrowing of hazard levels and of response probabilities."""

    level: LevelSection = LevelSection()
    response: ResponseSection = ResponseSection()


class SynthesisPriorSection(sections.Section):
    """Priors as statements about observable quantities (95 % each)."""

    median_months: fields.Limits = (2.0, 80.0)
    """Median of a curve with the average hazard, in months."""
    hazard_change_per_year: Change = 4.0
    """Hazards a year apart are within this factor."""
    hazard_ratio_arm: fields.Limits = (0.05, 20.0)
    """Hazard ratio of the arms."""
    arm_heterogeneity: Annotated[fields.Number, Field(ge=0)] = 0.5
    """Half-normal scale of the arms' log hazard ratio between studies; 0: it is the same in all."""
    response_probability: tuple[Fraction, Fraction] = (0.02, 0.75)
    """Probability of response."""
    early_late_correlation: tuple[Correlation, Correlation] = (-0.4, 0.97)
    """Correlation of early with final shrinkage, which makes the odds ratio of response at completion."""


class SynthesisSamplingSection(sections.SamplingSection):
    """Length of the chains; the seed makes the draws repeatable."""

    draws: sections.Draws = 1500
    tune: sections.Tune = 600
    target_accept: sections.TargetAccept = 0.98


class SynthesisReportSection(sections.Section):
    """What is written out beside the hazard ratios."""

    level: fields.Share = 0.95
    """Level of the intervals."""
    profiles: tuple[Annotated[fields.Number, Field(gt=-20, lt=100)], ...] = (0.0, 30.0)
    """Points of shrinkage by a landmark for which survival after it is predicted."""
    predict_until: fields.PositiveLength = Duration(30, "mo")
    """Until when survival is predicted. What lies beyond the evidence is marked."""
    leave_one_out: fields.Flag = True
    """Refit without each source, and predict each number from the others."""


def _not_flat(limits: tuple[float, float] | str) -> tuple[float, float]:
    if isinstance(limits, str):
        raise InputError(
            '"flat" is not possible in a synthesis: a parameter without data would have no posterior'
        )
    return limits


class SynthesisPlan(Plan):
    """A whole synthesis."""

    _name: ClassVar[str] = "specification of a synthesis"
    _quick: ClassVar[dict[str, Any]] = {"sampling": {"retry": False}, "report": {"leave_one_out": False}}
    """Refits take most of the time of a synthesis; half of the draws mostly miss the gate."""
    evidence: EvidenceSection | None = None
    virtual_trials: VirtualTrialsSection = VirtualTrialsSection()
    cohorts: Annotated[tuple[CohortSection, ...], sections.listed_tables("cohorts")] = ()
    model: ModelSection
    slopes: SlopeSection = SlopeSection()
    bias: BiasSection = BiasSection()
    borrowing: BorrowSections = BorrowSections()
    priors: SynthesisPriorSection = SynthesisPriorSection()
    sampling: SynthesisSamplingSection
    report: SynthesisReportSection = SynthesisReportSection()

    @model_validator(mode="after")
    def _something(self) -> SynthesisPlan:
        if self.evidence is None and not self.cohorts:
            raise ValueError("give [evidence], [[cohorts]], or both: there is nothing to pool")
        if twice := fields.repeated(cohort.study for cohort in self.cohorts):
            raise ValueError(f"cohorts has study {', '.join(twice)} twice: its patients would count twice")
        return self

    def check(self) -> None:
        """Refuse priors that are no distributions."""
        self.assumptions()

    def assumptions(self, virtual: VirtualTrials | None = None) -> Assumptions:
        """The priors and structure as the model takes them; ``virtual`` trials give the bias that is not
        specified."""
        p, arms, bias = self.priors, self.model.arms, dict(self.bias.by_arm)
        if not bias and virtual is not None:
            bias = {arm: found for arm, found in biases(virtual).items() if arm in arms}
        return Assumptions(
            arms=arms,
            reference=self.model.reference,
            cuts=fields.shared_months(self.model.cuts),
            landmarks=landmark_times(self.slopes.landmarks) if self.slopes.landmarks else (),
            own_baseline=self.model.own_baseline,
            smoothing=self.model.smoothing,
            slopes=self.slopes.value(virtual),
            level=priors.median_survival_prior(*_not_flat(p.median_months)),
            step_sd=priors.hazard_change_prior(p.hazard_change_per_year),
            arm_effect=priors.hazard_ratio_prior(*_not_flat(p.hazard_ratio_arm)),
            arm_heterogeneity=priors.HalfNormal(p.arm_heterogeneity)
            if p.arm_heterogeneity
            else priors.Fixed(0.0),
            study_level=self.borrowing.level.value(),
            feedback=self.borrowing.level.feedback,
            response=self.borrowing.response.value(),
            response_probability=priors.probability_prior(*p.response_probability),
            early_late=priors.correlation_prior(*p.early_late_correlation),
            bias=bias,
            bias_scale=self.bias.scale,
        )

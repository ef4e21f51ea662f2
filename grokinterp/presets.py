"""Named experiments, each with a one-line source."""

from dataclasses import replace
from typing import NamedTuple

from grokinterp.errors import require_choice
from grokinterp.experiment import Experiment, Optimization, SaveAt, Split
from grokinterp.models import MLPSpec, TransformerSpec
from grokinterp.optim import GrokfastEMA
from grokinterp.tasks import (
    DigitAddition,
    GroupComposition,
    ModularAddition,
    ModularDivision,
    ModularMultiplication,
    ModularSubtraction,
    ModularSum,
    OperatorExpression,
    RepeatedSequence,
    SparseParity,
)


class Preset(NamedTuple):
    """An experiment with a one-line description."""

    experiment: Experiment
    about: str


DEMO = Experiment(
    name="demo",
    task=ModularAddition(p=53),
    model=TransformerSpec(d_model=128, n_heads=4, d_mlp=256),
    split=Split(fraction=0.6, pairs="unordered"),
    optimization=Optimization(lr=2e-3, weight_decay=3.0, betas=(0.9, 0.98), warmup_steps=10),
    save=SaveAt(every=20, dense_every=5, dense_until=100),
    steps=2_000,
    evaluate_every=5,
)

NANDA2023 = Experiment(
    name="nanda2023",
    task=ModularAddition(p=113),
    model=TransformerSpec(n_layers=1, d_model=128, n_heads=4, d_mlp=512, act_fn="relu", biases="mlp"),
    split=Split(fraction=0.3, pairs="ordered"),
    optimization=Optimization(lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98), warmup_steps=10, loss="float64"),
    save=SaveAt(every=100),
    steps=25_000,
    evaluate_every=10,
)

NANDA2023_SUBTRACTION = replace(NANDA2023, name="nanda2023_subtraction", task=ModularSubtraction(p=113))
NANDA2023_MULTIPLICATION = replace(NANDA2023, name="nanda2023_multiplication", task=ModularMultiplication(p=113))

POWER2022 = Experiment(
    name="power2022",
    task=ModularDivision(p=97),
    model=TransformerSpec(
        n_layers=2, d_model=128, n_heads=4, d_mlp=512, normalization="LN", norm_position="post", positions="sinusoidal"
    ),
    split=Split(fraction=0.5),
    optimization=Optimization(lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98), warmup_steps=10, batch_size=512),
    save=SaveAt(every=500),
    steps=100_000,
    evaluate_every=50,
)

POWER2022_S5 = replace(
    POWER2022,
    task=GroupComposition(group="S5"),
    optimization=replace(POWER2022.optimization, optimizer="adam", weight_decay=0.0),
)
"""Adam without regularization, with which Power et al. 2022 compare interventions in their Figure 2."""

POWER2022_DROPOUT = replace(
    POWER2022_S5,
    name="power2022_dropout",
    model=replace(POWER2022.model, dropout=0.1, dropout_at=("mlp_out",)),
)

POWER2022_WEIGHT_NOISE = replace(
    POWER2022_S5,
    name="power2022_weight_noise",
    optimization=replace(POWER2022_S5.optimization, weight_noise=0.01),
)

STANDARD = Experiment(
    name="standard",
    task=ModularAddition(p=97),
    model=TransformerSpec(n_layers=2, d_model=128, n_heads=4, d_mlp=512),
    split=Split(fraction=0.5),
    optimization=Optimization(lr=1e-3, weight_decay=1e-2, betas=(0.9, 0.98), warmup_steps=10, batch_size=512),
    save=SaveAt(every=500),
    steps=91_875,
    evaluate_every=50,
)

BOUNDARIES = Experiment(
    name="boundaries",
    task=ModularAddition(p=97),
    model=TransformerSpec(
        n_layers=2,
        d_model=128,
        n_heads=4,
        d_mlp=512,
        act_fn="gelu",
        read_at="mean",
        normalization="LN",
        norm_position="post",
        attention="bidirectional",
        biases=True,
    ),
    split=Split(fraction=0.5),
    optimization=Optimization(lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98), warmup_steps=0),
    save=SaveAt(every=500),
    steps=50_000,
    evaluate_every=10,
)

CHUGHTAI_S5 = Experiment(
    name="chughtai_s5",
    task=GroupComposition(group="S5", convention="left_first"),
    model=MLPSpec(d_embed=256, embedding="separate", hidden=(128,), act_fn="relu", initialization="normal"),
    split=Split(fraction=0.4),
    optimization=Optimization(lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98), warmup_steps=0),
    save=SaveAt(every=500),
    steps=250_000,
    evaluate_every=50,
)

GROMOV2023 = Experiment(
    name="gromov2023",
    task=ModularAddition(p=97),
    model=MLPSpec(hidden=(500,), act_fn="quadratic", initialization="mean_field"),
    split=Split(fraction=0.4),
    optimization=Optimization(lr=5e-3, weight_decay=1.0, betas=(0.9, 0.98), warmup_steps=0, loss="mse"),
    save=SaveAt(every=5),
    steps=400,
    evaluate_every=1,
)

PRIETO2025 = Experiment(
    name="prieto2025",
    task=ModularAddition(p=113),
    model=MLPSpec(hidden=(200, 200), act_fn="relu", biases=True, initialization="pytorch"),
    split=Split(fraction=0.4),
    optimization=Optimization(lr=1e-2, weight_decay=0.0, betas=(0.9, 0.999), warmup_steps=0, loss="float32"),
    save=SaveAt(every=50),
    steps=3_000,
    evaluate_every=10,
)

LEE2024 = Experiment(
    name="lee2024",
    task=ModularMultiplication(p=97),
    model=TransformerSpec(
        n_layers=2,
        d_model=128,
        n_heads=4,
        d_mlp=512,
        act_fn="gelu",
        normalization="LN",
        biases=True,
        initialization="pytorch",
    ),
    split=Split(fraction=0.5),
    optimization=Optimization(
        optimizer="adam",
        lr=1e-3,
        weight_decay=5e-3,
        betas=(0.9, 0.98),
        warmup_steps=10,
        batch_size=512,
        loss="float32",
        filters=(GrokfastEMA(alpha=0.98, lamb=2.0),),
    ),
    save=SaveAt(every=100),
    steps=3_000,
    evaluate_every=10,
)

PIZZA = Experiment(
    name="pizza",
    task=ModularAddition(p=59),
    model=TransformerSpec(
        d_model=128, n_heads=4, d_mlp=512, read_at="last", attention="bidirectional", attention_rate=0.0, biases="mlp"
    ),
    split=Split(fraction=0.8),
    optimization=Optimization(lr=1e-3, weight_decay=2.0, betas=(0.9, 0.98), warmup_steps=10),
    save=SaveAt(every=100),
    steps=20_000,
    evaluate_every=10,
)

PARITY = Experiment(
    name="parity",
    task=SparseParity(n_bits=40, k=3, samples=2_000),
    model=MLPSpec(hidden=(1000,), act_fn="relu", biases=True, initialization="pytorch"),
    split=Split(fraction=0.5),
    optimization=Optimization(lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98), warmup_steps=0, batch_size=32),
    save=SaveAt(every=50),
    steps=4_000,
    evaluate_every=20,
)

DIGITS = Experiment(
    name="digits",
    task=DigitAddition(base=10, digits=2),
    model=TransformerSpec(n_layers=1, d_model=128, n_heads=4, d_mlp=256),
    split=Split(fraction=0.3),
    optimization=Optimization(lr=1e-3, weight_decay=0.1, betas=(0.9, 0.98), batch_size=500),
    save=SaveAt(every=500, dense_until=0),
    steps=3_000,
    evaluate_every=20,
)

INDUCTION = Experiment(
    name="induction",
    task=RepeatedSequence(p=24, length=6, shortest=3, samples=4_000),
    model=TransformerSpec(n_layers=2, d_model=48, n_heads=2, d_mlp=48, read_at="last"),
    split=Split(fraction=0.8),
    optimization=Optimization(lr=3e-3, weight_decay=0.1, betas=(0.9, 0.98), batch_size=256),
    save=SaveAt(every=50, dense_until=0),
    steps=1_500,
    evaluate_every=10,
)

THREE_TERMS = Experiment(
    name="three_terms",
    task=ModularSum(p=11, n=3),
    model=TransformerSpec(d_model=128, n_heads=4, d_mlp=256),
    split=Split(fraction=0.3),
    optimization=Optimization(lr=2e-3, weight_decay=3.0, betas=(0.9, 0.98)),
    save=SaveAt(every=50, dense_until=0),
    steps=2_000,
    evaluate_every=10,
)

OPERATORS = Experiment(
    name="operators",
    task=OperatorExpression(p=29, operators=("+", "-")),
    model=TransformerSpec(d_model=128, n_heads=4, d_mlp=256),
    split=Split(fraction=0.7),
    optimization=Optimization(lr=2e-3, weight_decay=3.0, betas=(0.9, 0.98)),
    save=SaveAt(every=50, dense_until=0),
    steps=2_500,
    evaluate_every=10,
)

LEAGUE = Experiment(
    name="league",
    task=ModularAddition(p=31),
    model=MLPSpec(hidden=(128,), act_fn="quadratic", initialization="mean_field"),
    split=Split(fraction=0.5),
    optimization=Optimization(lr=5e-3, weight_decay=1.0, betas=(0.9, 0.98), warmup_steps=0),
    save=SaveAt(every=250),
    steps=2_000,
    evaluate_every=5,
)

PRESETS = {
    "demo": Preset(
        DEMO, "modular addition, p = 53, split by unordered pairs: the demo of this package; groks within 2,000 steps"
    ),
    "nanda2023": Preset(NANDA2023, "modular addition, p = 113, 30 % of pairs: the mainline model of Nanda et al. 2023"),
    "nanda2023_subtraction": Preset(NANDA2023_SUBTRACTION, "nanda2023 with a - b instead of a + b"),
    "nanda2023_multiplication": Preset(NANDA2023_MULTIPLICATION, "nanda2023 with a · b instead of a + b"),
    "power2022": Preset(
        POWER2022, "division, p = 97, 50 % of pairs, 2-layer decoder, batches of 512: Power et al. 2022, Figure 1"
    ),
    "power2022_dropout": Preset(
        POWER2022_DROPOUT, "composition in S_5, 50 %, Adam, residual dropout .1 on MLPs: Power et al. 2022, Figure 2"
    ),
    "power2022_weight_noise": Preset(
        POWER2022_WEIGHT_NOISE, "composition in S_5, 50 %, Adam, weight noise .01: Power et al. 2022, Figure 2"
    ),
    "standard": Preset(
        STANDARD,
        "addition, p = 97, 50 % of pairs, 2 layers, weight decay .01, batches of 512: adapted from Power et al. 2022",
    ),
    "boundaries": Preset(
        BOUNDARIES,
        "addition, p = 97, 50 % of pairs, 2-layer mean-pooled GELU classifier: the model of this package's sweeps",
    ),
    "chughtai_s5": Preset(CHUGHTAI_S5, "composition in S_5, 40 % of pairs, one-layer MLP: Chughtai et al. 2023"),
    "gromov2023": Preset(
        GROMOV2023, "addition, p = 97, 40 % of pairs, quadratic MLP, squared error: Gromov 2023, here with AdamW"
    ),
    "prieto2025": Preset(
        PRIETO2025,
        "addition, p = 113, 40 %, MLP 200-200, no weight decay, float32 loss: softmax collapse, Prieto et al. 2025",
    ),
    "lee2024": Preset(
        LEE2024,
        "multiplication, p = 97, 50 %, 2-layer decoder, Adam with Grokfast-EMA, batches of 512: Lee et al. 2024, §3",
    ),
    "pizza": Preset(
        PIZZA, "addition, p = 59, 80 % of pairs, constant attention (rate 0): Model A of Zhong et al. 2023"
    ),
    "parity": Preset(
        PARITY,
        "(40, 3)-parity, 1,000 strings, MLP of 1,000, batches of 32: Merrill et al. 2023, here with AdamW and "
        "cross-entropy",
    ),
    "digits": Preset(
        DIGITS,
        "addition of two-digit numbers, an answer per digit, 30 % of pairs: based on Nanda et al. 2023, appendix, "
        "with fewer digits",
    ),
    "induction": Preset(
        INDUCTION,
        "sequences that repeat with different periods, 2 layers: the induction-head task of Olsson et al. 2022, in a "
        "small model",
    ),
    "three_terms": Preset(
        THREE_TERMS, "a + b + c modulo 11, 30 % of the triples: a small case of the sums of Doshi et al. 2024"
    ),
    "operators": Preset(
        OPERATORS,
        "a + b and a - b modulo 29, with the operator as a token, 70 %: a small task based on Power et al. 2022",
    ),
    "league": Preset(
        LEAGUE,
        "addition, p = 31, 50 % of pairs, quadratic MLP: small enough to compare methods",
    ),
}


def preset(name: str) -> Experiment:
    """Return the experiment of a preset. Raises ConfigError naming the presets."""
    require_choice("preset", name, PRESETS)
    return PRESETS[name].experiment

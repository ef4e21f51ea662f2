"""The meaning of every setting in a phrase, for configuration files and their reference."""

from dataclasses import fields
from typing import Any

EXPERIMENT = {
    "name": "Name of the run; the default run directory is checkpoints/<name>-<hash>",
    "steps": "Optimizer steps to train",
    "evaluate_every": "Steps between two evaluations, which are the rows of metrics.jsonl",
    "patience": "End the run this many evaluations after grokking is detected",
    "seed": "Seed of the initial weights and, unless split.seed is given, of the split",
    "data": "infinite: every step trains on newly sampled examples, excluding the held-out ones",
    "task": "The problem to learn; `grokinterp tasks` lists the kinds with their settings",
    "model": "The network; `grokinterp models` lists the kinds with their settings",
    "split": "Which examples are trained on",
    "optimization": "How the weights are trained",
    "save": "Which steps are saved as checkpoints; the first and the last always are",
    "origin": "Start with the weights of a step of another run (written by `grokinterp branch`)",
}

TASK = {
    "p": "Modulus, or number of tokens",
    "n": "Number of operands, or of rows of a matrix",
    "group": "Finite group: S4, A5, D10, C113, a product such as C2xC7, ...",
    "convention": "Order of a product: x · y, or y · x for right_first",
    "form": "x · y · x⁻¹ or x · y · x",
    "expression": "Polynomial in x and y",
    "length": "Number of tokens, or of elements of a list",
    "samples": "Number of distinct examples drawn among all (none: every example is listed)",
    "seed": "Seed of the examples that are drawn",
    "coefficients": "Coefficients of the recurrence, of the newest term first",
    "periods": "Periods of the sequences",
    "n_variables": "Number of values in a formula",
    "operators": "Operators of the expressions",
    "n_entities": "Number of entities",
    "n_relations": "Number of relations",
    "n_bits": "Number of bits",
    "k": "Number of bits that count",
    "path": "CSV file: cell b of line a is a ∘ b, an integer from 0 to 9999; blank or -1 is undefined",
    "rows": "The lines of the table, in place of a file",
    "source": "Where the lines of the table come from",
    "outer": "Outer operation • of (a ∘ b) • c",
    "inner": "Inner operation ∘ of (a ∘ b) • c",
    "base": "Base of the digits",
    "digits": "Digits of each number",
    "lowest_first": "Numbers start with the digit of lowest value",
    "shortest": "Shortest period with which the sequence repeats",
    "keys": "Number of key tokens",
    "fillers": "Number of tokens without meaning",
    "queries": "Number of tokens that may be last",
    "classes": "Number of answers",
    "even": "Operation where the deciding operand is even",
    "odd": "Operation where the deciding operand is odd",
    "decides": "Which operand decides between the operations",
    "first": "Group whose products are the answers",
    "second": "Group that agrees with the first on the training examples",
    "invertible": "Only invertible matrices, which form a group",
}

MODEL = {
    "n_layers": "Number of layers",
    "d_model": "Width of the residual stream, or of the vectors",
    "n_heads": "Attention heads of each layer",
    "d_head": "Width of a head (none: d_model / n_heads)",
    "d_mlp": "Neurons of each MLP (recursive: of the network)",
    "act_fn": "Activation function",
    "read_at": "Where the answer is read: at an appended '=', at the last token, or pooled over all positions",
    "normalization": "Normalization layers (LN: LayerNorm; LNPre: without scale and shift; BN: BatchNorm)",
    "norm_position": "Normalize before each sub-layer, or after each sum into the residual stream",
    "positions": "Embedding of positions",
    "attention": "Which positions a position attends to",
    "attention_fn": "Function that turns attention scores into weights",
    "attention_rate": "Attention is rate · softmax + (1 - rate) · 1: 1 is learned, 0 is constant",
    "biases": "Train biases (mlp: only those of the MLPs)",
    "tied_embeddings": "The unembedding is the transposed embedding",
    "initialization": "Distribution of the initial weights",
    "dropout": "Dropout rate during training",
    "dropout_at": "Where dropout is applied",
    "output_scale": "Factor on the logits throughout training",
    "base_width": "Width at which μP uses the learning rate of the optimization",
    "d_embed": "Length of a token's embedding (none: one-hot vectors)",
    "embedding": "One embedding table, or one for each position",
    "combine": "Sum or concatenate the vectors of the positions",
    "hidden": "Neurons of each hidden layer",
    "n_latent": "Updates of the latent state in each supervision step",
    "n_supervision": "Supervision steps",
}

SPLIT = {
    "fraction": "Fraction of the examples to train on",
    "validation": "Fraction of the examples held out from training and testing",
    "pairs": "unordered: (a, b) and (b, a) belong to the same part",
    "stratified": "Draw from every class in proportion",
    "label_noise": "Fraction of the training labels that are permuted",
    "seed": "Seed of the split and of the order of batches (none: that of the experiment)",
    "trained_on": "The training examples of a split drawn elsewhere, in hexadecimal digits",
}

OPTIMIZATION = {
    "lr": "Learning rate, after warm-up",
    "weight_decay": "Weight decay λ; decoupled (per unit of lr) for adamw and muon",
    "optimizer": "Optimizer",
    "betas": "Decay rates of the moments of adamw and adam",
    "eps": "Constant added to the denominator of adamw and adam",
    "momentum": "Momentum of sgd and muon",
    "warmup_steps": "Steps over which the learning rate rises linearly",
    "loss": "Loss: cross-entropy in several precisions, StableMax, or squared error",
    "batch_size": "Examples per step (none: all training examples)",
    "init_scale": "Factor on all initial weights",
    "constrain_norm": "Keep the norm of all weights at its initial value",
    "filters": "Filters of the gradient, applied in sequence",
    "lr_normalize": "Divide lr by the factor by which the filters amplify a steady gradient",
    "boost": "Factor of Grokfast's λ once grokking is detected",
    "average": "Rate of an exponential moving average of the weights, which is evaluated and saved as well",
    "schedules": "Factors on settings over the course of training",
    "curriculum": "Which training examples come first",
    "parts": "Parts of the model that are frozen or have their own rates",
    "l1": "Penalty l1 Σ |θ| in the training loss",
    "l2": "Penalty l2 Σ θ² in the training loss",
    "clip_norm": "Largest norm of the gradient",
    "weight_decay_form": "Decay toward zero, toward the initial weights, or a random factor",
    "weight_noise": "Standard deviation of noise on the weights at which the gradient is computed",
    "update_noise": "Standard deviation of noise on the update, times lr",
    "precision": "Precision of training",
}

SAVE = {
    "every": "Save every nth step",
    "dense_every": "Save every nth step until dense_until",
    "dense_until": "Last step of the denser schedule at the start",
    "transition_every": "Save every nth step between memorization and generalization",
    "per_decade": "Save this many log-spaced steps per factor of 10",
    "resume_every": "Steps between two resume states, from which an interrupted run continues",
}

CURRICULUM = {
    "start": "Share of the training examples at first; 1 disables the curriculum",
    "over": "Steps until all training examples are used",
    "by": "Order of the examples: a measure of the task, their current loss, or random",
    "hardest_first": "Reverse the order",
}

PART = {
    "part": "Part of the model, such as embed or blocks.0.mlp (none: all weights)",
    "frozen": "Keep the weights of the part",
    "lr": "Learning rate of the part (none: that of the optimization)",
    "weight_decay": "Weight decay of the part (none: that of the optimization)",
}

ORIGIN = {
    "run": "Directory of the parent, or of the donor",
    "step": "Saved step of that run",
    "optimizer_state": "Start with the optimizer state of the parent as well",
    "edits": "Changes of the weights, in order",
    "run_id": "Identity of that run, filled in when the branch is created",
    "digest": "Digest of its checkpoint, filled in when the branch is created",
    "part": "Part of the model (none: all weights)",
    "seed": "Seed of the weights that are drawn",
    "factor": "Factor of the weights",
    "frequencies": "Frequencies to remove, or to keep",
    "where": "Weights from which the frequencies are removed",
    "keep": "Remove all other frequencies",
}

SCHEDULES = {
    "lr": "Factor on the learning rate",
    "weight_decay": "Factor on the weight decay",
    "batch_size": "Factor on the batch size",
    "low": "Smallest factor, at the start",
    "over": "Steps of the rise (none: the whole run)",
    "final": "Factor at the end",
    "period": "Steps of a cycle",
    "by": "Factor of a single change",
    "patience": "Steps without progress before a change",
    "threshold": "Smallest relative progress that counts",
    "lowest": "Smallest factor",
    "doubling": "Steps in which the factor doubles",
    "most": "Largest factor",
    "accuracy": "Training accuracy at which a batch is mastered",
    "hold": "Fewest steps between two changes",
}

FILTERS = {
    "alpha": "Decay rate of the moving average of gradients",
    "lamb": "Factor λ of the slow part of the gradient",
    "window": "Number of gradients that are averaged",
    "warm_up": "Amplify only once the window is full",
    "ema": "Settings of the exponential moving average",
    "ma": "Settings of the windowed average",
}

BY_TABLE = {
    "": EXPERIMENT,
    "task": TASK,
    "model": MODEL,
    "split": SPLIT,
    "save": SAVE,
    "optimization": OPTIMIZATION,
    "optimization.curriculum": CURRICULUM,
    "optimization.parts": PART,
    "optimization.schedules": SCHEDULES,
    "optimization.filters": FILTERS,
    "origin": ORIGIN,
}
"""The meanings of the settings of a table by its dotted key, those of the tables inside it included."""

KIND = "The kind, which determines the other settings of the table"


def meaning(table: str, name: str) -> str:
    """Return the meaning of a setting of a table; empty if it is not known.

    >>> meaning("split", "fraction"), meaning("task.outer", "p")
    ('Fraction of the examples to train on', 'Modulus, or number of tokens')
    """
    if name == "kind":
        return KIND
    found = [key for key in BY_TABLE if f"{table}.".startswith(f"{key}." if key else "")]
    return BY_TABLE[max(found, key=len)].get(name, "")


def without_meaning(table: str, cls: Any) -> list[str]:
    """Return the settings of a class of a table that have no meaning."""
    return [field.name for field in fields(cls) if not meaning(table, field.name)]

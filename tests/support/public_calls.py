"""A small call of every public function that computes, and its result, to compare; and calls that fail halfway."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import grokinterp as gi
from grokinterp.analysis import calibrate_llc, local_learning_coefficient, logit_spectrum, performance, weight_norms
from grokinterp.custom import replace_attention
from grokinterp.experiment.edits import AblateFrequencies, Redraw, Scale
from grokinterp.interventions import ablate_frequencies, graft, patch, scaled
from grokinterp.maths.groups import group
from grokinterp.reproduction import verify
from grokinterp.runs.checkpoint import Checkpoint
from tests.support.released import cfg, lookup, save
from tests.support.small_runs import changed, draw_checkpoints, written

SHORT = changed(steps=9, save={"every": 9, "dense_until": 0, "resume_every": 9})
INPUTS, LABELS = torch.eye(4)[torch.arange(6) % 4], torch.arange(6) % 3
WEIGHT = torch.linspace(-1, 1, 12).view(3, 4)
BATCHES = [(INPUTS, LABELS), (INPUTS.flip(0), LABELS)]
TOKENS = SHORT.tokens()
BRIEF = {"burn_in": 1, "draws": 2, "chains": 2, "step_size": 1e-4}
BRIEF_MAP: dict[str, Any] = {"burn_in": 1, "draws": 2, "chains": 2, "step_sizes": [1e-4], "localizations": [1.0]}
BRIEF_MAP |= {"inverse_temperatures": [3.0]}


class Fails(BaseException):
    """An interruption in the caller's own code, which nothing here may catch."""


class Faulty(nn.Linear):
    """A module that fails at its n-th call; it draws no random numbers."""

    @torch.inference_mode(mode=False)
    def __init__(self, at: int = -1) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.left = 4, 3, at
        self.weight = nn.Parameter(WEIGHT.clone())
        self.bias = nn.Parameter(WEIGHT[:, 0].clone())

    def forward(self, x: Tensor) -> Tensor:
        self.left -= 1
        if self.left == 0:
            raise Fails
        return super().forward(x)


class FaultyLogger:
    """A logger that fails at the second evaluation."""

    def log(self, values: dict[str, float], *, step: int) -> None:
        if step:
            raise Fails


def faulty(checkpoint: Checkpoint) -> Any:
    """Fail at step 10."""
    if int(checkpoint.step):
        raise Fails
    return performance(checkpoint)


class Given(NamedTuple):
    """A folder with the files that calls read, and one for the files that they write."""

    files: Path
    out: Path

    @classmethod
    def make(cls, files: Path, out: Path) -> "Given":
        """Write a run and a release."""
        draw_checkpoints(files / "runs" / "run")
        save(files / "released" / "S3", lookup(group("S3")), cfg("SymmetricGroup", 3))
        return cls(files, out)

    @property
    def run(self) -> gi.Trajectory:
        return gi.Trajectory.open(self.files / "runs" / "run")

    def copied(self) -> Path:
        """A copy of the run, to be analyzed."""
        return shutil.copytree(self.files / "runs" / "run", self.out / "run")


def plain(value: Any) -> Any:
    """Tensors as lists, with their dtype."""
    if isinstance(value, Tensor):
        return str(value.dtype), value.detach().tolist()
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, tuple | list) else value


def analyze(given: Given) -> Any:
    found = gi.analyze(given.copied(), only=["performance", "logit_spectrum", "gradient_noise"])
    return found.dataset.to_dict()


def trainer(given: Given) -> Any:
    module = Faulty()
    made = gi.GrokkingAwareTrainer(module, grokking_patience=None)
    found = [made.train_step(batch) for batch in BATCHES]
    return found, made.evaluate(BATCHES), plain(module.state_dict())


def until_grokking(given: Given, at: int = -1) -> Any:
    module = Faulty(at)
    found = gi.train_until_grokking(module, BATCHES, BATCHES, 4, 2, report=None)
    return found.history, plain(module.state_dict())


def record(given: Given, at: int = -1) -> Any:
    path, examples = given.out / "recorded", (INPUTS, LABELS)
    with gi.Recorder(path, Faulty(at), train=examples, test=examples) as recorder:
        recorder.record(0)
    return written(path)


def damaged(given: Given) -> Any:
    path = shutil.copytree(given.files / "released" / "S3", given.out / "S3") / "model.pt"
    path.write_bytes(path.read_bytes()[:-9])
    return gi.import_run("chughtai", path, given.out / "imported")


def lazily(given: Given) -> Any:
    at = given.run[10]
    return plain([at.logits, at.losses, at.gradients, *at.features("blocks.0.mlp.hook_post"), *logit_spectrum(at)])


def report(given: Given) -> Any:
    gi.analyze(given.copied(), only=["performance"])
    return gi.write_report(given.out / "run", given.out / "page.html").read_bytes()


def sweep_report(given: Given) -> Any:
    root = shutil.copytree(given.files / "runs", given.out / "sweep")
    return gi.write_sweep_report(root, given.out / "page.html").read_bytes()


def comparison(given: Given) -> Any:
    root = shutil.copytree(given.files / "runs", given.out / "compared")
    shutil.copytree(given.run.path, root / "other")
    return gi.write_comparison([root], given.out / "page.html").read_bytes()


def gallery(given: Given) -> Any:
    root = shutil.copytree(given.files / "runs", given.out / "shown")
    return gi.write_gallery(root, given.out / "page.html").read_bytes()


def exported(given: Given) -> Any:
    folder = gi.export_run(given.run, "hf", given.out / "hub", last=True)
    return [file.read_bytes() for file in sorted(folder.rglob("*.safetensors"))]


@torch.inference_mode(mode=False)
def configured(given: Given) -> Any:
    module, optimizer, loss = gi.configure_for_grokking(Faulty())
    loss(module(INPUTS), LABELS).backward()
    optimizer.step()
    return plain(module.state_dict())


@torch.inference_mode(mode=False)
def filtered(given: Given) -> Any:
    module = Faulty()
    optimizer = gi.filtered(torch.optim.SGD(module.parameters(), lr=0.1))
    module(INPUTS).square().mean().backward()
    optimizer.step()
    return plain(module.state_dict())


def patched(given: Given) -> Any:
    return plain(patch(given.run.model(), TOKENS[:4], TOKENS[4:8], hook="blocks.0.mlp.hook_post"))


def explored(given: Given) -> Any:
    *_, menu, picture = gi.explore(given.run).children
    return menu.options, picture.data[0].z.tolist()


def animated(given: Given) -> Any:
    gi.analyze(given.copied(), only=["pair_answers"])
    return gi.animate(given.out / "run", given.out / "run.gif", dpi=20).read_bytes()


def line(given: Given) -> Any:
    return [trace.y.tolist() for trace in gi.line(given.run.metrics["train_loss"]).data]


def scatter(given: Given) -> Any:
    losses = given.run.metrics
    return gi.scatter(losses["train_loss"], losses["test_loss"]).data[0].x.tolist()


def many(given: Given) -> Any:
    runs = gi.train_many([SHORT, replace(SHORT, seed=9)], given.out / "many", device="cpu", stacked=True)
    return [written(run.directory) for run in runs]


def branched(given: Given) -> Any:
    edits = [AblateFrequencies(frequencies=(2,)), Redraw(part="pos_embed"), Scale(factor=0.9)]
    run = gi.branch(given.run.path, 10, "steps=4", edits=edits, directory=given.out / "branch", device="cpu")
    return plain([run.weights(step).state for step in run.steps])


CALLS: dict[str, Callable[[Given], Any]] = {
    "Checkpoint": lazily,
    "Curves": lambda given: gi.Curves.from_dataset(given.run.metrics).steps.tolist(),
    "Experiment": lambda given: plain(SHORT.build_model().state_dict()),
    "GrokkingAwareTrainer": trainer,
    "Problem": lambda given: plain(gi.Problem.of(SHORT).parts["train"].inputs.tokens),
    "Recorder": record,
    "Results": lambda given: gi.Results.open(given.run.path).summary(),
    "Trajectory": lambda given: plain([given.run.params(["unembed.W_U"]), given.run.model().state_dict()]),
    "analyze": analyze,
    "animate": animated,
    "branch": branched,
    "configure_for_grokking": configured,
    "diagnose": lambda given: gi.diagnose(gi.Results.open(given.run.path)),
    "evaluate": lambda given: gi.evaluate([performance, weight_norms], given.run).to_dict(),
    "explore": explored,
    "export_run": exported,
    "filtered": filtered,
    "find_phases": lambda given: gi.find_phases(gi.Curves.from_dataset(given.run.metrics)),
    "import_run": lambda given: written(
        gi.import_run("chughtai", given.files / "released" / "S3", given.out / "imported").path
    ),
    "imshow": lambda given: gi.imshow(given.run[10].logits, dims=("example", "class")).data[0].z.tolist(),
    "latest_run": lambda given: gi.latest_run(given.files / "runs").steps,
    "line": line,
    "preset": lambda given: gi.preset("demo"),
    "product": lambda given: [one.to_dict() for one in gi.product(SHORT, seed=range(2))],
    "scatter": scatter,
    "train": lambda given: written(gi.train(SHORT, given.out / "trained", device="cpu").path),
    "train_many": many,
    "train_until_grokking": until_grokking,
    "write_comparison": comparison,
    "write_gallery": gallery,
    "write_figures": lambda given: [
        file.read_bytes()
        for file in gi.write_figures(given.run, given.out / "figures", only=["weights_path_of_the_weights"])
    ],
    "write_report": report,
    "write_sweep_report": sweep_report,
    "analysis.local_learning_coefficient": lambda given: plain(local_learning_coefficient(given.run[10], **BRIEF)),
    "analysis.calibrate_llc": lambda given: calibrate_llc(given.run[10], **BRIEF_MAP).to_dict(),
    "custom.replace_attention": lambda given: replace_attention(Faulty()).replaced,
    "interventions.graft": lambda given: plain(graft(given.run[10], given.run[0], "embed").logits),
    "interventions.patch": patched,
    "interventions.scaled": lambda given: plain(scaled(given.run[10], 0.5).logits),
    "interventions.ablate_frequencies": lambda given: plain(ablate_frequencies(given.run[10], [1]).logits),
    "reproduction.verify": lambda given: verify(given.files / "released"),
}
"""Every public function and class of the package that computes, and those of its rooms that compute on their own."""

FAILING: dict[str, Callable[[Given], Any]] = {
    "Recorder": lambda given: record(given, 6),
    "analyze": lambda given: gi.analyze(given.copied(), entries=[gi.analysis.Entry(faulty)]),
    "evaluate": lambda given: gi.evaluate(faulty, given.run),
    "import_run": damaged,
    "train": lambda given: gi.train(SHORT, given.out / "trained", device="cpu", loggers=[FaultyLogger()]),
    "train_until_grokking": lambda given: until_grokking(given, 6),
    "write_report": lambda given: gi.write_report(given.out),
}
"""Calls that fail halfway."""

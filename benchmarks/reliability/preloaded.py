"""Import everything that commands import, so that processes forked from this one start at once."""

import torch
import torch._dynamo

import grokinterp.analysis.whole_run
import grokinterp.cli
import grokinterp.interop
import grokinterp.league
import grokinterp.models.classes
import grokinterp.report
import grokinterp.training.loop  # noqa: F401

torch.set_num_threads(1)

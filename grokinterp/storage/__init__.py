"""The files of a run: an atomic durable writer, checkpoints with digests, resume state, protected logs, the lock.

The format is open and described in docs/checkpoint_format.md. This package does not import torch.
"""

from grokinterp.storage.atomic import remove_leftovers, write_atomic
from grokinterp.storage.configuration import configuration_hash
from grokinterp.storage.held_run import HeldRun
from grokinterp.storage.metrics_log import LogCheck, MetricsLog
from grokinterp.storage.metrics_table import MetricsTable
from grokinterp.storage.resume_store import Resume, ResumeStore
from grokinterp.storage.run_directory import RunDirectory, encode_examples
from grokinterp.storage.tensor_file import Stored, decode_tensors, encode_tensors
from grokinterp.storage.write_queue import WriteQueue

__all__ = [
    "HeldRun",
    "LogCheck",
    "MetricsLog",
    "MetricsTable",
    "Resume",
    "ResumeStore",
    "RunDirectory",
    "Stored",
    "WriteQueue",
    "configuration_hash",
    "decode_tensors",
    "encode_examples",
    "encode_tensors",
    "remove_leftovers",
    "write_atomic",
]

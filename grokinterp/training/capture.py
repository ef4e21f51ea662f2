"""CUDA graphs of work that is the same at every step."""

from collections.abc import Callable

import torch

from grokinterp.garbage import without_garbage_collection


def captured(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Return ``work`` as a CUDA graph, whose replay costs a single launch, or ``work`` itself on other devices."""
    if device.type != "cuda":
        return work
    graph, own = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    own.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(own):
        for _ in range(3):
            work()
    # thread_local: the thread that writes checkpoints may wait for its copies meanwhile
    with without_garbage_collection(), torch.cuda.graph(graph, stream=own, capture_error_mode="thread_local"):
        work()
    torch.cuda.current_stream().wait_stream(own)
    return graph.replay

"""How fast a network runs, and how much memory it takes: latency, peak memory, memory per sample.

Notation
    b        images in a batch
    t_i      seconds of the i-th forward pass of one batch, in evaluation mode, without gradients
    M(b)     most bytes of tensors that live at once in a training step on b images: forward, cross-entropy, backward

    latency             median of t_i over `repeats` passes after `warmup` passes that do not count
    peak_memory         M(b)
    memory_per_sample   (M(2b) - M(b)) / b: what one more image takes, weights and their gradients left out

NAGO's second objective is "memory per sample" (§4.2); how it was measured is not public, and this is our reading of it.

On a GPU time is taken between events around each pass after all earlier work is done, and memory is what torch's
allocator says. On a CPU, whose allocator keeps no account, every tensor's storage is counted from the operation that
made it until it is let go; what an operation takes and gives back by itself is not seen. So memory on a CPU is a number
that follows from the network alone and repeats exactly. Latency is a clock's: measure on a machine that does nothing
else, and one trial at a time. One MB is 2^20 bytes.
"""

from __future__ import annotations

import re
import statistics
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nas_core.errors import InvalidOption
from nas_train.devices import cpu_threads, find_device
from nas_train.modules import Noise, set_noise
from nas_train.scoring import logits_of

MEGABYTE = 2**20
EXAMPLES = ("latency_ms", "latency_cpu_b8_ms", "peak_memory_mb", "memory_per_sample_mb")
_NAME = re.compile(
    r"(?P<what>latency|peak_memory|memory_per_sample)(_(?P<device>cpu|cuda))?(_b(?P<batch>[1-9]\d*))?_(ms|mb)"
)


@dataclass(frozen=True)
class Latency:
    """Times of forward passes.

    Args:
        seconds: of each pass that counts, in order.
        batch: images in each.
    """

    seconds: tuple[float, ...]
    batch: int

    @property
    def median_ms(self) -> float:
        """The median in milliseconds, of a whole batch."""
        return 1e3 * statistics.median(self.seconds)


@dataclass(frozen=True)
class Quantity:
    """What the name of a metric asks for.

    Args:
        what: "latency", "peak_memory" or "memory_per_sample".
        device: "cpu" or "cuda"; None for the one that is measured on anyway.
        batch: images in a batch.
    """

    what: str
    device: str | None
    batch: int


def parse_metric(name: str) -> Quantity:
    """What a metric's name asks for: "latency_ms", "latency_cpu_b8_ms" (on the CPU, 8 images), "peak_memory_b32_mb".

    Without a device it is the evaluator's, without a number of images latency is that of one, memory of 32.

    Raises:
        InvalidOption: it is no such name.
    """
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    if found is None or name.endswith("_ms") != (found["what"] == "latency"):
        raise InvalidOption(
            "nothing of this name can be measured", value=name, expected="a name such as " + ", ".join(EXAMPLES)
        )
    default = 1 if found["what"] == "latency" else 32
    return Quantity(found["what"], found["device"], int(found["batch"] or default))


def metric_names(names: Sequence[str]) -> tuple[str, ...]:
    """Checked names of what is to be measured.

    Raises:
        InvalidOption: a name that `parse_metric` does not know, or one twice.
    """
    found = (names,) if isinstance(names, str) else tuple(names)
    for name in found:
        parse_metric(name)
    if len(set(found)) < len(found):
        raise InvalidOption("a metric is named twice", value=list(found))
    return found


def measure(
    module: nn.Module,
    input_shape: Sequence[int],
    names: Sequence[str],
    *,
    device: str = "cpu",
    threads: int = 1,
    warmup: int = 5,
    repeats: int = 25,
) -> dict[str, float]:
    """Metrics of a network by name, as a search takes them for objectives and constraints.

    Args:
        module: gives logits; it ends on the device, in its mode as before, its weights and statistics unchanged.
        input_shape: (c, h, w) of an image.
        names: of the metrics (`parse_metric`).
        device: "cpu", "cuda", "cuda:1" or "auto", for names that say none.
        threads: CPU threads.
        warmup: passes before those that count.
        repeats: passes that count.

    Raises:
        InvalidOption: no such metric or device.
    """
    metrics = {}
    for name in names:
        wanted = parse_metric(name)
        where = find_device(wanted.device or device)
        if wanted.what == "latency":
            timed = latency(module, input_shape, wanted.batch, where, threads=threads, warmup=warmup, repeats=repeats)
            metrics[name] = timed.median_ms
        else:
            measured = peak_memory if wanted.what == "peak_memory" else memory_per_sample
            metrics[name] = measured(module, input_shape, wanted.batch, where) / MEGABYTE
    return metrics


def latency(
    module: nn.Module,
    input_shape: Sequence[int],
    batch: int = 1,
    device: torch.device | str = "cpu",
    *,
    threads: int = 1,
    warmup: int = 5,
    repeats: int = 25,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency:
    """Times of forward passes in evaluation mode, after some that do not count.

    Args:
        module: it ends on the device, in its mode as before.
        input_shape: (c, h, w) of an image.
        batch: b.
        device: where.
        threads: CPU threads.
        warmup: passes before those that count.
        repeats: passes that count, at least one.
        clock: seconds on a CPU.
    """
    where = torch.device(device)
    mode = module.training
    module.to(where).eval()
    images = torch.zeros((batch, *input_shape), device=where)
    run_timed = _timed_on_gpu if where.type == "cuda" else _timed_by(clock)
    try:
        with torch.inference_mode(), cpu_threads(threads):
            for _ in range(warmup):
                module(images)
            return Latency(tuple(run_timed(lambda: module(images)) for _ in range(repeats)), batch)
    finally:
        module.train(mode)


def _timed_by(clock: Callable[[], float]) -> Callable[[Callable[[], Any]], float]:
    def timed(work: Callable[[], Any]) -> float:
        begun = clock()
        work()
        return clock() - begun

    return timed


def _timed_on_gpu(work: Callable[[], Any]) -> float:
    """Seconds that a GPU takes for some work, waited for before and after."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


def peak_memory(
    module: nn.Module, input_shape: Sequence[int], batch: int = 32, device: torch.device | str = "cpu"
) -> int:
    """M(b): most bytes that live at once during a training step, parameters and their gradients included.

    Args:
        module: gives logits; it ends on the device, in its mode as before, its weights and statistics unchanged.
        input_shape: (c, h, w) of an image.
        batch: b.
        device: where.
    """
    where = torch.device(device)
    module.to(where)
    mode, buffers = module.training, {name: t.clone() for name, t in module.named_buffers()}
    gradients = [(p, p.grad) for p in module.parameters()]
    noise = [(part, part.generator) for part in module.modules() if isinstance(part, Noise)]
    try:
        module.train()
        set_noise(module, torch.Generator(where))  # else it would be drawn from torch's default one
        for parameter, _ in gradients:
            parameter.grad = None
        held = sum(_bytes(t) for t in module.parameters()) + sum(_bytes(t) for t in module.buffers())
        return held + (_step_on_gpu if where.type == "cuda" else _step_on_cpu)(module, input_shape, batch, where)
    finally:
        module.train(mode)
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for part, generator in noise:
            part.generator = generator
        with torch.no_grad():
            for name, tensor in module.named_buffers():
                tensor.copy_(buffers[name])


def memory_per_sample(
    module: nn.Module, input_shape: Sequence[int], batch: int = 32, device: torch.device | str = "cpu"
) -> float:
    """Bytes that one more image takes in a training step, from batches of b and 2b; arguments as of `peak_memory`."""
    one, two = (peak_memory(module, input_shape, factor * batch, device) for factor in (1, 2))
    return (two - one) / batch


def _step_on_cpu(module: nn.Module, input_shape: Sequence[int], batch: int, device: torch.device) -> int:
    """Most bytes of tensors that a step makes and that live at once."""
    account = _Account()
    with account:
        _step(module, torch.zeros((batch, *input_shape), device=device))
    return account.peak


def _step_on_gpu(module: nn.Module, input_shape: Sequence[int], batch: int, device: torch.device) -> int:
    """The same as torch's allocator says."""
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    _step(module, torch.zeros((batch, *input_shape), device=device))
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device)) - before


def _step(module: nn.Module, images: Tensor) -> None:
    logits = logits_of(module(images))
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    loss = F.cross_entropy(logits, labels)
    if loss.requires_grad:
        loss.backward()


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


class _Account(TorchDispatchMode):
    """Keeps account of the storages that operations make, until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._live = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in given:  # neither a view nor a change in place
                    self._enter(storage)
        return result

    def _enter(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def leave(_: Any) -> None:
            del self._known[key]
            self._live -= size

        self._known[key] = weakref.ref(storage, leave)
        self._live += size
        self.peak = max(self.peak, self._live)

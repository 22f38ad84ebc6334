"""One training in several processes (ranks) that torchrun started, each with its part of every batch: what they exchange.

The sums that losses, metrics and gradients are made of are added up over the ranks, so that every rank has the numbers of one
process with the whole batch, and takes the same steps. Rank 0 leads: it alone checks, writes and decides what is trained
(``engine/following.py`` is what the others do). A rank that ends early leaves a note, by which the others know why their next
exchange fails; one that was killed leaves none, and its heartbeat stops.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import groupby
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from engine.heartbeat import BEAT_SECONDS, STUCK_SECONDS, Heartbeat, death_of
from utils.errors import UserError

SILENT_SECONDS = 6.0
"""Seconds without a sign of life after which a rank counts as dead, once an exchange with it has failed."""
PATIENCE = timedelta(days=30)
"""Time for which ranks wait for each other: filling a cache may take hours."""
INTERRUPTED = 130
"""Exit code after Ctrl-C."""


class RankError(OSError):
    """Another rank is gone, or has other weights; the message is a sentence with its number."""


class Ranks:
    """The processes of one training. This class is one process alone, and every method leaves things as they are."""

    rank, size = 0, 1
    stopping = False
    """True once this process has been asked to stop, by Ctrl-C or SIGTERM."""

    @property
    def part(self) -> tuple[int, int]:
        """Number of this process, and how many there are."""
        return self.rank, self.size

    @property
    def leads(self) -> bool:
        """True in the process that writes."""
        return self.rank == 0

    def agreed(self, tasks: Sequence[Sequence[str]], names: Sequence[str]) -> list[list[str]]:
        """Return per batch which of the tasks ``names`` any rank's part has labels of; ``tasks``: those of this part.

        Raises:
            KeyboardInterrupt: a rank has been asked to stop.
        """
        return [list(labelled) for labelled in tasks]

    def total(self, statistics: Tensor) -> Tensor:
        """Return the sum over all ranks; its gradient is that of this rank's part alone."""
        return statistics

    def mean(self, value: Tensor, frames: int) -> Tensor:
        """Return the mean over all ranks' frames of ``value``, the mean over ``frames`` of them; with the gradient as above."""
        return value

    def count(self, number: int) -> int:
        """Return the sum over all ranks."""
        return number

    def add_gradients(self, parameters: Iterable[Tensor], shared: Iterable[Tensor]) -> None:
        """Add the gradients of all ranks; those of ``shared`` are whole in each rank, and count once."""

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Give all ranks the values of rank 0."""

    def check_equal(self, tensors: Iterable[Tensor], when: str) -> None:
        """Raise a :class:`RankError` if the tensors, weights as a rule, are not the same to the bit in all ranks."""

    def gather(self, content: Any) -> list[Any] | None:
        """Return in rank 0 what all ranks give, on the CPU; None in the others."""
        return [content]

    def broadcast(self, content: Any) -> Any:
        """Return what rank 0 gives."""
        return content

    def check_stop(self) -> None:
        """Raise a ``KeyboardInterrupt`` in all ranks if one of them has been asked to stop."""

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Let a request to stop wait for the end of a step, which all ranks reach."""
        yield


class _Total(torch.autograd.Function):
    """The sum over all ranks, of which each backpropagates its own part."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return joined().add_up(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


class Shared(_Total):
    """The sum over all ranks, on which what each rank computes from then on depends."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return joined().add_up(gradient)


class JoinedRanks(Ranks):
    """Several processes, as the environment's variables ``RANK``, ``WORLD_SIZE`` and so on say.

    Args:
        cuda: GPUs are used, one per process.
    """

    def __init__(self, cuda: bool) -> None:
        import torch.distributed as dist

        self.dist, self.cuda = dist, cuda
        self.rank, self.size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.patient = self.rank > 0
        """True while a request to stop waits for the next step's end."""
        self.leaving = False
        """True once there is a reason to end, which another signal shall not hide."""
        self.stopping = self.terminated = False
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
        self.store = self._connect()
        self.others = [rank for rank in range(self.size) if rank != self.rank]
        self.heartbeat = Heartbeat(self.rank, self.others, self._connect(), self._end if cuda else None, self._be_orphaned)
        dist.barrier()
        self.heartbeat.start()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def _connect(self) -> Any:
        """Return a connection of its own to torchrun's store, where this training has its own names."""
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = self.dist.TCPStore(address, port, is_master=False, timeout=timedelta(seconds=60))
        return self.dist.PrefixStore(f"training/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping, self.terminated = True, number == signal.SIGTERM
        if not (self.patient or self.leaving):
            raise KeyboardInterrupt

    def _be_orphaned(self) -> None:
        """Stop at the end of a step, as torchrun was killed, and nobody could end this training any more."""
        if not self.leaving:
            if os.environ["LOCAL_RANK"] == "0":
                sys.stderr.write("torchrun is gone: this training stops after the step\n")
            self.stopping = True

    @contextmanager
    def _exchange(self) -> Iterator[None]:
        """End as the rank did that is gone, if an exchange fails."""
        try:
            yield
        except RuntimeError as error:
            self.explain(5 * SILENT_SECONDS)
            raise error

    def explain(self, seconds: float) -> None:
        """Find out within some seconds which rank is gone, and end as it did; return if none is.

        Raises:
            KeyboardInterrupt: it was interrupted.
            SystemExit: it has said why, or another rank says that it died.
            RankError: it died.
        """
        before, self.leaving = self.leaving, True  # torchrun stops the others of a dead rank, and they shall say why
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                ended = self.verdict(SILENT_SECONDS)
            except RuntimeError:
                raise RankError("torchrun is gone, and another rank; --resume continues after the last epoch") from None
            if ended is not None:
                code, sentence = ended
                if code == INTERRUPTED:
                    raise KeyboardInterrupt from None
                raise (RankError(sentence) if sentence else SystemExit(code)) from None
            time.sleep(BEAT_SECONDS / 5)
        self.leaving = before

    def verdict(self, seconds: float) -> tuple[int, str] | None:
        """Return the exit code that a rank which is gone makes right, and what is to be said; None if none is gone.

        A rank that died has been silent for so many seconds.
        """
        codes = [int(self.store.get(f"left/{rank}")) for rank in self.others if self.store.check([f"left/{rank}"])]
        if codes:
            return (INTERRUPTED if INTERRUPTED in codes else codes[0]), ""
        dead = self.heartbeat.silent(seconds)
        if dead:
            return 1, death_of(dead, self.size) if self.store.add("told", 1) == 1 else ""
        return None

    def _end(self) -> None:
        """End the process, whose main thread waits on a GPU for a rank that is gone."""
        code, sentence = self.verdict(STUCK_SECONDS) or (1, "")
        if sentence:
            sys.stderr.write(f"error: {sentence}\n")
            sys.stderr.flush()
        os._exit(code)

    def add_up(self, value: Tensor) -> Tensor:
        """Return the sum of a tensor over all ranks."""
        total = value.detach().clone(memory_format=torch.contiguous_format)
        with self._exchange():
            self.dist.all_reduce(total)
        return total

    def agreed(self, tasks: Sequence[Sequence[str]], names: Sequence[str]) -> list[list[str]]:
        flags = self.add_up(torch.tensor([[self.stopping, *(name in labelled for name in names)] for labelled in tasks]).int())
        if flags[:, 0].any():
            raise KeyboardInterrupt
        return [[name for name, flag in zip(names, row[1:].tolist(), strict=True) if flag] for row in flags]

    def total(self, statistics: Tensor) -> Tensor:
        result: Tensor = _Total.apply(statistics)
        return result

    def mean(self, value: Tensor, frames: int) -> Tensor:
        total, count = self.total(torch.stack([value * frames, torch.full_like(value, frames)]))
        return total / count

    def count(self, number: int) -> int:
        return int(self.add_up(torch.tensor(number)))

    def add_gradients(self, parameters: Iterable[Tensor], shared: Iterable[Tensor]) -> None:
        every, whole = list(parameters), {id(parameter) for parameter in shared}
        for parameter in every:
            if parameter.grad is not None and id(parameter) in whole and not self.leads:
                parameter.grad.zero_()
        # One exchange for all: a parameter without a gradient here may have one elsewhere, and its flag says whether any has.
        parts = [torch.zeros_like(each) if each.grad is None else each.grad for each in every]
        flags = torch.tensor([each.grad is not None for each in every], dtype=parts[0].dtype, device=parts[0].device)
        *sums, have = self.add_up(torch.cat([*(part.flatten() for part in parts), flags])).split(
            [*(part.numel() for part in parts), len(every)]
        )
        for parameter, total, owners in zip(every, sums, have.tolist(), strict=True):
            if owners:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad.copy_(total.view_as(parameter))

    @torch.no_grad()
    def spread(self, tensors: Iterable[Tensor]) -> None:
        for _, alike in groupby(sorted(tensors, key=_kind), key=_kind):
            group = list(alike)
            flat = torch.cat([tensor.flatten() for tensor in group])
            with self._exchange():
                self.dist.broadcast(flat, 0)
            for tensor, values in zip(group, flat.split([tensor.numel() for tensor in group]), strict=True):
                tensor.copy_(values.view_as(tensor))

    @torch.no_grad()
    def check_equal(self, tensors: Iterable[Tensor], when: str) -> None:
        checksum = sum(int(tensor.contiguous().view(-1).view(torch.int32).sum(dtype=torch.int64)) for tensor in tensors)
        own = torch.zeros(self.size, dtype=torch.int64)
        own[self.rank] = checksum % 2**62
        every = self.add_up(own).tolist()
        other = [rank for rank, value in enumerate(every) if value != every[0]]
        if other:
            if not self.leads:
                raise SystemExit(1)
            raise RankError(
                f"rank {other[0]}: has other weights than rank 0 {when}, which cannot be with the same code, packages and data "
                "on all machines: compare them; --resume continues after the last epoch"
            )

    def gather(self, content: Any) -> list[Any] | None:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        every: list[Any] | None = [None] * self.size if self.leads else None
        with self._exchange():
            self.dist.gather_object(buffer.getvalue(), every)
        # What they say was in memory a moment ago: it may hold any object.
        return every and [torch.load(io.BytesIO(given), map_location="cpu", weights_only=False) for given in every]

    def broadcast(self, content: Any) -> Any:
        given = [content]
        with self._exchange():
            self.dist.broadcast_object_list(given, 0)
        return given[0]

    def check_stop(self) -> None:
        if self.count(self.stopping):
            raise KeyboardInterrupt

    @contextmanager
    def patience(self) -> Iterator[None]:
        before, self.patient = self.patient, True
        try:
            yield
        except UserError:
            if self.stopping:  # torchrun's signal ends the processes that load frames, too
                raise KeyboardInterrupt from None
            raise
        finally:
            self.patient = before

    def leave(self, code: int) -> None:
        """Tell the others that this rank ends early, by its exit code, after it has said why."""
        self.leaving = True
        for number in (signal.SIGINT, signal.SIGTERM):
            # torchrun stops the others once one has ended: this one, too, ends with its own code. Python, which gives up
            # handlers before it ends, lets an ignored signal be ignored.
            signal.signal(number, signal.SIG_IGN)
        with suppress(RuntimeError):  # the store may be gone with torchrun
            self.store.set(f"left/{self.rank}", str(code))
        self.heartbeat.stop()

    def end(self) -> None:
        """Part from the others, all of which have come to the end."""
        with self._exchange():
            self.dist.barrier()
        self.heartbeat.stop()
        self.dist.destroy_process_group()


def tensors_of(model: nn.Module) -> list[Tensor]:
    """Return the parameters and buffers of a model."""
    return [*model.parameters(), *model.buffers()]


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype} {tensor.device}"


_ranks: Ranks = Ranks()


def ranks() -> Ranks:
    """Return the processes of this training."""
    return _ranks


def joined() -> JoinedRanks:
    """Return them where there are several."""
    assert isinstance(_ranks, JoinedRanks)
    return _ranks


def join(cuda: bool) -> JoinedRanks:
    """Join the processes that torchrun started."""
    global _ranks
    _ranks = JoinedRanks(cuda)
    return _ranks

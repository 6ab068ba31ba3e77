"""Requests that wait and fit together are answered by one call of the model."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from starlette.concurrency import run_in_threadpool

from medgen.errors import RequestError, TooLargeError
from medgen.serving.rest import Request

Answer = Mapping[str, np.ndarray]

# Calls side by side.
AT_ONCE = 2
# After an answer to several, so long for their clients to ask again before the next call begins.
GATHER_S = 0.01


class Batches:
    """Works requests off, the one that has waited longest first and with it those that fit.

    Nobody waits for company: a request that finds the model idle goes alone. Large requests go one
    after the other, for the sake of memory and of the small ones, which overtake them.

    Args:
        answers: from requests that fit together to an answer or an error for each; runs in threads.
        most_pixels: of several requests that are answered together; one of more is large.
    """

    def __init__(
        self, answers: Callable[[Sequence[Request]], list[Answer | Exception]], most_pixels: int
    ):
        self._answers, self._most_pixels = answers, most_pixels
        self._waiting: list[tuple[Request, asyncio.Future[Any]]] = []
        self._working = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._large_in_work = False

    async def answer(self, request: Request) -> Answer:
        """The model's answer.

        Raises:
            RequestError: the request makes no sense.
        """
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        self._start()
        return await future

    def _start(self) -> None:
        if self._waiting and self._working < AT_ONCE:
            self._working += 1
            worker = asyncio.create_task(self._work_off())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work_off(self) -> None:
        try:
            while batch := self._next():
                requests, futures = zip(*batch, strict=True)
                is_large = self._is_large(requests[0])
                self._large_in_work |= is_large
                await self._answer(requests, futures)
                if is_large:
                    self._large_in_work = False
                    self._start()  # somebody may have had to wait for that
                if len(batch) > 1:
                    await asyncio.sleep(GATHER_S)
        finally:
            self._working -= 1

    def _is_large(self, request: Request) -> bool:
        return request.pixels > self._most_pixels

    async def _answer(
        self, requests: Sequence[Request], futures: Sequence[asyncio.Future[Any]]
    ) -> None:
        try:
            answers = await run_in_threadpool(self._answers, requests)
        except Exception as error:  # a bug, which every one of them is told
            answers = [error] * len(requests)
        for future, answer in zip(futures, answers, strict=True):
            if future.cancelled():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _next(self) -> list[tuple[Request, asyncio.Future[Any]]]:
        """Of those that may go, the longest waiting and what fits to it; they then wait no more."""
        batch: list[tuple[Request, asyncio.Future[Any]]] = []
        left, kind, pixels = [], None, 0
        for waiting in self._waiting:
            request, _ = waiting
            if batch:
                goes = kind is not None and fitting(request) == kind
                goes = goes and pixels + request.pixels <= self._most_pixels
            else:
                goes = not (self._large_in_work and self._is_large(request))
                kind = fitting(request)
            if goes:
                batch.append(waiting)
                pixels += request.pixels
            else:
                left.append(waiting)
        self._waiting = left
        return batch


def fitting(request: Request) -> Hashable | None:
    """Requests of the same can be answered together; those of None, by themselves alone."""
    slices, numbers = request.slices, request.numbers
    counts = {len(array) for array in slices.values()}
    if not request.signature.by_slice or len(counts) > 1:
        return None
    if any(array.size != 1 and array.shape != (*counts,) for array in numbers.values()):
        return None
    return request.signature, *(array.shape[1:] for array in slices.values())


def answers(requests: Sequence[Request]) -> list[Answer | Exception]:
    """What the model says to `requests`, which fit together; an error where one makes no sense."""
    try:
        answer = requests[0].signature.function(**_joined(requests))
    except (tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError) as error:
        if len(requests) > 1:
            return [answer for request in requests for answer in answers([request])]
        if isinstance(error, tf.errors.InvalidArgumentError):
            return [RequestError(_sentence(error))]
        return [TooLargeError("The slices do not fit into memory; send fewer at once.")]
    values = {name: tensor.numpy() for name, tensor in answer.items()}
    if len(requests) == 1:
        return [values]
    ends = np.cumsum([request.count for request in requests])[:-1]
    pieces = {name: np.split(array, ends) for name, array in values.items()}
    return [dict(zip(pieces, of_one, strict=True)) for of_one in zip(*pieces.values(), strict=True)]


def _joined(requests: Sequence[Request]) -> dict[str, tf.Tensor]:
    """Inputs of all, slices behind each other and a number for each; of one request as they are."""
    if len(requests) == 1:
        return {name: tf.constant(array) for name, array in requests[0].arrays.items()}
    each = [
        request.slices
        | {name: np.broadcast_to(x.ravel(), request.count) for name, x in request.numbers.items()}
        for request in requests
    ]
    return {
        name: tf.constant(np.concatenate([arrays[name] for arrays in each])) for name in each[0]
    }


def _sentence(error: tf.errors.InvalidArgumentError) -> str:
    """What a failed assertion in the graph says; otherwise the first line."""
    found = re.search(r"assertion failed: \[([^\]]*)\]", error.message)
    return found[1] if found else error.message.splitlines()[0]

"""Who is answered with whom, and when."""

import asyncio
import threading

import numpy as np
import pytest
import tensorflow as tf

from medgen.errors import RequestError
from medgen.serving import batches
from medgen.serving.batches import Batches, answers, fitting
from medgen.serving.rest import Request, Signature

TWO = tf.constant(2.0)


@tf.function(
    input_signature=[
        tf.TensorSpec([None, None, None], name="slices"),
        tf.TensorSpec(None, name="factor"),
    ]
)
def multiplied(slices, factor=TWO):
    """Slices times a number for all or for each; none may be negative."""
    factor = tf.broadcast_to(tf.reshape(factor, [-1]), [tf.shape(slices)[0]])
    with tf.control_dependencies([tf.Assert(tf.reduce_all(factor >= 0), ["factor is negative"])]):
        product = slices * factor[:, None, None]
    return {"product": product, "sum": tf.reduce_sum(product, (1, 2))}


@tf.function(
    input_signature=[
        tf.TensorSpec([None, None, None], name="scan"),
        tf.TensorSpec([None], name="positions"),
    ]
)
def of_a_scan(scan, positions):
    return {"mean": tf.fill(tf.shape(positions), tf.reduce_mean(scan))}


SIGNATURE = Signature.of(multiplied)


def asked(value: float, shape=(1, 2, 3), factor=2.0) -> Request:
    arrays = {"slices": np.full(shape, value, "float32"), "factor": np.array(factor, "float32")}
    return Request("serving_default", SIGNATURE, arrays, rows=False)


def test_requests_together_get_what_each_gets_alone():
    """Of one and of several slices, with a number for all or for each."""
    requests = [asked(1), asked(2, (3, 2, 3), [1, 2, 3]), asked(3, (2, 2, 3), [5])]
    assert len({fitting(request) for request in requests}) == 1
    together = answers(requests)
    for request, answer in zip(requests, together, strict=True):
        (alone,) = answers([request])
        for name in ("product", "sum"):
            np.testing.assert_array_equal(answer[name], alone[name])
    np.testing.assert_array_equal(together[1]["sum"], [12, 24, 36])
    np.testing.assert_array_equal(together[2]["product"], np.full((2, 2, 3), 15))


def test_one_that_makes_no_sense_spoils_no_other():
    first, wrong, last = answers([asked(1), asked(2, factor=-1), asked(3)])
    assert isinstance(wrong, RequestError)
    assert str(wrong) == "factor is negative"
    assert (first["sum"], last["sum"]) == (12, 36)


def test_what_fits_together():
    """The same signature and sides; numbers that go with the slices."""
    whole = Request(
        "fill",
        Signature.of(of_a_scan, by_slice=False),
        {"scan": np.zeros((1, 2, 3), "float32"), "positions": np.zeros(1, "float32")},
        rows=False,
    )
    assert fitting(whole) is None
    assert fitting(asked(0, factor=[1, 2])) is None  # which will be refused
    assert fitting(asked(0, (4, 2, 3))) == fitting(asked(0)) is not None
    assert fitting(asked(0, (1, 3, 2))) != fitting(asked(0))


class Model:
    """Answers each request with its first voxel, once it is let, and keeps who came together."""

    def __init__(self):
        self.calls: list[list[float]] = []
        self.going = threading.Event()

    def __call__(self, requests):
        values = [float(request.arrays["slices"].flat[0]) for request in requests]
        self.calls.append(values)
        assert self.going.wait(60)
        if -1 in values:
            raise KeyError("a bug")
        return [{"value": value} for value in values]


def all_answers(model: Model, requests: list[Request], most_pixels: int = 10**6) -> list:
    """All asked one after the other while the model does not yet move."""

    async def asking():
        queue = Batches(model, most_pixels)
        tasks = []
        for request in requests:
            tasks.append(asyncio.create_task(queue.answer(request)))
            while len(tasks) <= batches.AT_ONCE and len(model.calls) < len(tasks):
                await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        model.going.set()
        got = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
        again = await asyncio.wait_for(queue.answer(asked(99)), 60)
        return [*got, again]

    return asyncio.run(asking())


def test_who_finds_the_model_idle_goes_alone_and_who_waits_goes_together():
    model = Model()
    got = all_answers(model, [asked(i) for i in range(7)])
    assert [answer["value"] for answer in got] == [0, 1, 2, 3, 4, 5, 6, 99]
    assert model.calls == [[0], [1], [2, 3, 4, 5, 6], [99]]


def test_the_longest_waiting_shape_comes_first_however_many_wait_of_another(monkeypatch):
    """With one call at a time; no shape is overtaken by a fuller batch of another."""
    monkeypatch.setattr(batches, "AT_ONCE", 1)
    model = Model()
    square, wide = (1, 2, 2), (1, 1, 4)
    shapes = [square, wide, square, square, wide, square]
    all_answers(model, [asked(i, shape) for i, shape in enumerate(shapes)])
    assert model.calls == [[0], [1, 4], [2, 3, 5], [99]]


def test_a_call_takes_so_many_pixels_but_at_least_one_request(monkeypatch):
    monkeypatch.setattr(batches, "AT_ONCE", 1)
    model = Model()
    shapes = [(1, 2, 3), (1, 2, 3), (9, 2, 3), (1, 2, 3), (1, 2, 3), (1, 2, 3)]
    all_answers(model, [asked(i, s) for i, s in enumerate(shapes)], most_pixels=18)
    assert model.calls == [[0], [1, 3, 4], [2], [5], [99]]


def test_large_requests_go_one_after_the_other_and_small_ones_overtake_them():
    model = Model()
    shapes = [(9, 2, 3), (9, 2, 3), (1, 2, 3), (1, 2, 3), (8, 2, 3)]

    async def asking():
        queue = Batches(model, most_pixels=40)
        tasks = [asyncio.create_task(queue.answer(asked(i, s))) for i, s in enumerate(shapes)]
        while len(model.calls) < 2:
            await asyncio.sleep(0.001)
        assert sorted(model.calls) == [[0], [2, 3]]  # at once, each in a thread of its own
        model.going.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)

    asyncio.run(asking())
    assert model.calls[2:] == [[1], [4]]


def test_a_bug_is_told_to_those_it_hit_and_the_queue_goes_on(monkeypatch):
    monkeypatch.setattr(batches, "AT_ONCE", 1)
    model = Model()
    first, *hit, again = all_answers(model, [asked(0), asked(-1), asked(2)])
    assert (first["value"], again["value"]) == (0, 99)
    assert all(isinstance(error, KeyError) for error in hit)
    with pytest.raises(KeyError):
        raise hit[0]

"""Binary heaps in arrays, for compiled code."""

from __future__ import annotations

from typing import Any

from spillway.simulate.fleet.jit import compiled, inlined
from spillway.simulate.fleet.layout import NONE, Array

Record = Any


@compiled
def push_key(heap: Array, row: int, size: int, key: float) -> None:
    """Put a key into heap[row, :size]."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if heap[row, parent] <= key:
            break
        heap[row, at] = heap[row, parent]
        at = parent
    heap[row, at] = key


@compiled
def pop_key(heap: Array, row: int, size: int) -> None:
    """Take the smallest key out of heap[row, :size]."""
    last = size - 1
    key = heap[row, last]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= last:
            break
        if child + 1 < last and heap[row, child + 1] < heap[row, child]:
            child += 1
        if heap[row, child] >= key:
            break
        heap[row, at] = heap[row, child]
        at = child
    heap[row, at] = key


@compiled
def push_timer(times: Array, requests: Array, size: int, time: float, request: int) -> None:
    """Put a request's moment into the heap of the first `size` entries."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if times[parent] <= time:
            break
        times[at] = times[parent]
        requests[at] = requests[parent]
        at = parent
    times[at] = time
    requests[at] = request


@compiled
def pop_timer(times: Array, requests: Array, size: int) -> None:
    """Take the earliest of the first `size` entries out."""
    last = size - 1
    time = times[last]
    request = requests[last]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= last:
            break
        if child + 1 < last and times[child + 1] < times[child]:
            child += 1
        if times[child] >= time:
            break
        times[at] = times[child]
        requests[at] = requests[child]
        at = child
    times[at] = time
    requests[at] = request


@inlined
def schedule(events: Array, position: Array, replicas: Array, world: Record, slot: int, time: float) -> None:
    """Set a replica's next event, wherever it stands in the heap; it enters the heap if it was not there."""
    at = position[slot]
    if at == NONE:
        at = world.events
        world.events += 1
    replicas[slot].event = time
    while at > 0:
        parent = (at - 1) >> 1
        if replicas[events[parent]].event <= time:
            break
        events[at] = events[parent]
        position[events[at]] = at
        at = parent
    while True:
        child = 2 * at + 1
        if child >= world.events:
            break
        if child + 1 < world.events and replicas[events[child + 1]].event < replicas[events[child]].event:
            child += 1
        if replicas[events[child]].event >= time:
            break
        events[at] = events[child]
        position[events[at]] = at
        at = child
    events[at] = slot
    position[slot] = at

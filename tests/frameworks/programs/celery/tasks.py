"""What the workers do."""

import os

from celery import Celery, chord, group

app = Celery("tasks", broker=os.environ["BROKER"], backend=os.environ["RESULTS"])


@app.task
def add(a, b):
    return a + b


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def fail():
    raise ValueError("it fails")


def together():
    return chord(group(add.s(number, 1) for number in range(5)), total.s())

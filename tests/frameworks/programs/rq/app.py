"""An application that enqueues jobs with RQ, a worker that takes them, and a page that shows how they do."""

import logging
import sys

import redis
from rq import Queue, Worker
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry

import work

PORT = int(sys.argv[1])
connection = redis.Redis(port=PORT)
queue = Queue(connection=connection)
logging.getLogger("rq").setLevel(logging.CRITICAL)


def show(jobs):
    """What a page shows of the jobs, as often as somebody looks at it."""
    for _ in range(10):
        fetched = [Job.fetch(job.id, connection=connection) for job in jobs]
        print([job.get_status(refresh=False) for job in fetched], end=" ")
        print([job.return_value() for job in fetched], end=" ")
        print([job.get_status() for job in jobs], end=" ")
        print(len(queue), len(queue.get_job_ids()), end=" ")
        finished, failed = FinishedJobRegistry(queue=queue), FailedJobRegistry(queue=queue)
        print(len(finished.get_job_ids()), len(failed.get_job_ids()), end=" ")
        print([worker.name for worker in Worker.all(connection=connection)])


jobs = [queue.enqueue(work.add, number, 1) for number in range(8)]
jobs.append(queue.enqueue(work.fail))
show(jobs)
worker = Worker([queue], connection=connection)
print("worked:", worker.work(burst=True, logging_level="CRITICAL"))
show(jobs)
later = queue.enqueue(work.add, "a", "b", job_id="later")
show([later])
later.delete()
print("later:", Job.exists("later", connection=connection))

"""An application that has Celery do its work, and shows how it does. Results are in the database that its first argument
says."""

import os
import subprocess
import sys

DATABASE, PORT = sys.argv[1], sys.argv[2]
os.environ["BROKER"] = f"redis://127.0.0.1:{PORT}/0"
os.environ["RESULTS"] = f"redis://127.0.0.1:{PORT}/{DATABASE}"

import tasks  # noqa: E402, it needs the environment

worker = subprocess.Popen(
    [sys.executable, "-m", "celery", "--app", "tasks", "worker", "--concurrency", "2", "--loglevel", "CRITICAL"],
    cwd=os.path.dirname(os.path.abspath(__file__)),
    env={**os.environ, "C_FORCE_ROOT": "1"},
    stdout=subprocess.DEVNULL,
)
try:
    results = [tasks.add.delay(number, 1) for number in range(10)]
    print([result.get(timeout=60) for result in results])
    failed = tasks.fail.delay()
    print(repr(failed.get(timeout=60, propagate=False)))
    print(tasks.together().delay().get(timeout=60))
    # A page that shows them, as often as somebody looks at it.
    for _ in range(20):
        shown = [tasks.app.AsyncResult(result.id) for result in [*results, failed]]
        print([(result.state, str(result.result)) for result in shown])
    results[0].forget()
    print(tasks.app.AsyncResult(results[0].id).state)
finally:
    worker.terminate()
    worker.wait()

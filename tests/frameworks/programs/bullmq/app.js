// An application that has BullMQ's workers do its work, and shows how they do.

const { Queue, QueueEvents, Worker } = require("bullmq");

const connection = { host: "127.0.0.1", port: Number(process.argv[2]) };

async function main() {
  const queue = new Queue("work", { connection });
  const events = new QueueEvents("work", { connection });
  await events.waitUntilReady();
  const work = async (job) => {
    if (job.name === "fail") throw new Error("it fails");
    await job.updateProgress(50);
    return job.data.a + job.data.b;
  };

  // A page that shows the jobs, as often as somebody looks at it, and from time to time what its scripts count.
  async function look(jobs, times = 5) {
    for (let number = 0; number < times; number += 1) {
      console.log(JSON.stringify(await queue.getJobCounts()));
      for (let again = 0; again < 3; again += 1) {
        const seen = [await queue.isPaused()];
        for (const { id } of jobs) {
          const job = await queue.getJob(id);
          seen.push([job.id, job.name, job.progress, job.returnvalue, job.failedReason]);
        }
        console.log(JSON.stringify(seen));
      }
    }
    for (const job of jobs) console.log(job.id, await job.getState());
  }

  const jobs = [];
  for (let number = 0; number < 8; number += 1) {
    jobs.push(await queue.add("add", { a: number, b: 1 }));
  }
  jobs.push(await queue.add("fail", {}));
  await look(jobs);
  const worker = new Worker("work", work, { connection });
  for (const job of jobs) {
    console.log(await job.waitUntilFinished(events, 60000).catch((error) => error.message));
  }
  await look(jobs);
  await worker.close();
  await events.close();
  await queue.close();
  process.exit(0);
}

main();

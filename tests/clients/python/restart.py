"""Works on, with default settings, until a key says that it is enough. Prints the errors that it gets."""

import sys

import redis

client = redis.Redis(port=int(sys.argv[1]), decode_responses=True)
errors = []
number = 0
done = None
while done is None:
    number += 1
    try:
        client.set("count", number)
        client.get(f"missing:{number}")
        done = client.get("done")
    except redis.RedisError as error:
        errors.append(f"{type(error).__name__}: {error}")
print(f"errors: {errors[:5]}")

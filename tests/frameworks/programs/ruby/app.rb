# An application that uses redis-rb by itself: one connection for everything.

require "json"
require "redis"

redis = Redis.new(host: "127.0.0.1", port: ARGV[0].to_i)

look = lambda do |times = 5|
  times.times do
    puts JSON.generate([
      redis.get("title"),
      redis.hgetall("user:1"),
      redis.hget("user:1", "name"),
      redis.smembers("tags").sort,
      redis.lrange("recent", 0, -1),
      redis.zrange("scores", 0, -1, with_scores: true),
      redis.exists?("user:1"),
      redis.mget("title", "none", "number"),
    ])
  end
end

redis.set("title", "first")
redis.set("number", 1)
redis.mapped_hmset("user:1", "name" => "ann", "age" => 30)
redis.sadd("tags", ["a", "b"])
redis.rpush("recent", ["one", "two"])
redis.zadd("scores", [[3, "ann"], [1.5, "bob"]])
look.call

# Transactions and pipelines.
p(redis.multi { |multi| multi.set("title", "second"); multi.incr("number"); multi.get("title") })
look.call
p(redis.pipelined { |pipeline| pipeline.get("title"); pipeline.incr("number"); pipeline.hgetall("user:1") })
look.call
redis.watch("number") do
  number = redis.get("number").to_i
  p(redis.multi { |multi| multi.set("number", number + 1) })
end
look.call

# A script that limits a rate.
script = "local n = redis.call('INCR', KEYS[1]) redis.call('EXPIRE', KEYS[1], ARGV[1]) return n"
sha = redis.script(:load, script)
5.times { p redis.evalsha(sha, keys: ["limit:ann"], argv: [60]) }
look.call

# A queue that blocks, and a stream with a group.
redis.rpush("queue", "job")
p redis.blpop("queue", timeout: 1)
look.call
redis.xgroup(:create, "stream", "group", "$", mkstream: true)
redis.xadd("stream", { "n" => 1 }, id: "1-1")
2.times { p redis.xreadgroup("group", "me", "stream", ">", count: 10, block: 10) }
p redis.xack("stream", "group", "1-1")
look.call

# Messages: the connection is as before when it has unsubscribed.
thread = Thread.new do
  Redis.new(host: "127.0.0.1", port: ARGV[0].to_i).subscribe("news") do |on|
    on.subscribe { redis.publish("news", "something") }
    on.message { |_, text| p text; Thread.exit }
  end
end
thread.join
look.call

redis.expire("title", 1000)
look.call
redis.del("title")
look.call

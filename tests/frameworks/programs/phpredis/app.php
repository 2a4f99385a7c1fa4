<?php
// An application that uses phpredis by itself: one connection for everything.

$redis = new Redis();
$redis->connect('127.0.0.1', (int)$argv[1]);

function look(Redis $redis, int $times = 5): void
{
    for ($number = 0; $number < $times; $number += 1) {
        $tags = $redis->sMembers('tags');
        sort($tags);
        echo json_encode([
            $redis->get('title'),
            $redis->hGetAll('user:1'),
            $redis->hGet('user:1', 'name'),
            $tags,
            $redis->lRange('recent', 0, -1),
            $redis->zRange('scores', 0, -1, true),
            $redis->exists('user:1'),
            $redis->mGet(['title', 'none', 'number']),
        ]), "\n";
    }
}

$redis->set('title', 'first');
$redis->set('number', 1);
$redis->hMSet('user:1', ['name' => 'ann', 'age' => 30]);
$redis->sAdd('tags', 'a', 'b');
$redis->rPush('recent', 'one', 'two');
$redis->zAdd('scores', 3, 'ann', 1.5, 'bob');
look($redis);

// Transactions and pipelines.
echo json_encode($redis->multi()->set('title', 'second')->incr('number')->get('title')->exec()), "\n";
look($redis);
echo json_encode($redis->pipeline()->get('title')->incr('number')->hGetAll('user:1')->exec()), "\n";
look($redis);
$redis->watch('number');
$number = (int)$redis->get('number');
echo json_encode($redis->multi()->set('number', $number + 1)->exec()), "\n";
look($redis);

// A script that limits a rate.
$script = "local n = redis.call('INCR', KEYS[1]) redis.call('EXPIRE', KEYS[1], ARGV[1]) return n";
for ($number = 0; $number < 5; $number += 1) {
    echo $redis->eval($script, ['limit:ann', 60], 1), "\n";
}
look($redis);

// A queue that blocks, and a stream with a group.
$redis->rPush('queue', 'job');
echo json_encode([$redis->blPop(['queue'], 1), $redis->blPop(['queue'], 1)]), "\n";
look($redis);
$redis->xGroup('CREATE', 'stream', 'group', '$', true);
$redis->xAdd('stream', '1-1', ['n' => 1]);
echo json_encode($redis->xReadGroup('group', 'me', ['stream' => '>'], 10, 10)), "\n";
echo json_encode($redis->xReadGroup('group', 'me', ['stream' => '>'], 10, 10)), "\n";
echo $redis->xAck('stream', 'group', ['1-1']), "\n";
look($redis);

$redis->expire('title', 1000);
look($redis);
$redis->del('title');
look($redis);

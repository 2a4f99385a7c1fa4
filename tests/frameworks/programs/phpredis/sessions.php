<?php
// An application with its sessions in phpredis: pages that users look at, in turns.

ini_set('session.save_handler', 'redis');
ini_set('session.save_path', "tcp://127.0.0.1:$argv[1]");
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');

$users = ['ann', 'bob', 'cid', 'dan', 'eve', 'fay', 'gus', 'hal'];

ob_start();
foreach ($users as $user) {
    session_id("session$user");
    session_start();
    $_SESSION = ['user' => $user, 'visits' => 0];
    session_write_close();
}
for ($number = 0; $number < 20; $number += 1) {
    foreach ($users as $user) {
        session_id("session$user");
        session_start();
        echo "$user: {$_SESSION['user']} {$_SESSION['visits']}\n";
        if ($number % 5 == 0) {
            $_SESSION['visits'] += 1;
        }
        session_write_close();
    }
    // What pages ask for then, such as their pictures, only looks.
    foreach (['style', 'picture'] as $part) {
        foreach ($users as $user) {
            session_id("session$user");
            session_start(['read_and_close' => true]);
            echo "$part: {$_SESSION['user']} {$_SESSION['visits']}\n";
        }
    }
}
session_id('sessionann');
session_start();
session_destroy();
session_id('sessionann');
session_start();
echo json_encode($_SESSION), "\n";
ob_end_flush();

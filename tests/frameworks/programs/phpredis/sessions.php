<?php
// An application with its sessions in phpredis: each round is a request, with the session of one of its users.

ini_set('session.save_handler', 'redis');
ini_set('session.save_path', "tcp://127.0.0.1:$argv[1]");
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');

ob_start();
foreach (['ann', 'bob', 'cid'] as $user) {
    session_id("session$user");
    session_start();
    $_SESSION = ['user' => $user, 'visits' => 0];
    session_write_close();
}
for ($number = 0; $number < 40; $number += 1) {
    foreach (['ann', 'bob', 'cid'] as $user) {
        session_id("session$user");
        // A page that only looks, and from time to time one that writes.
        $writes = $number % 10 == 0;
        session_start(['read_and_close' => !$writes]);
        echo "$user: {$_SESSION['user']} {$_SESSION['visits']}\n";
        if ($writes) {
            $_SESSION['visits'] += 1;
            session_write_close();
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

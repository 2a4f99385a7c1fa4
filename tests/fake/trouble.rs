//! What a Redis does wrong.

use fastrand::Rng;

/// What costs replies, and mostly the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A reply breaks off at any byte, and the connection ends.
    Cut,
    /// In the place of a reply comes what is none, and then the next replies.
    Garbage,
    /// A push stands amid the elements of an array, as some versions were reported to send it.
    PushInside,
    /// Nothing more comes.
    Silence,
    /// A reply comes when nobody waits for it any more, and those behind it even later.
    Late,
    /// An error comes that no request has, and the connection ends.
    OutOfTheBlue,
}

const ALL: [Trouble; 6] = [
    Trouble::Cut,
    Trouble::Garbage,
    Trouble::PushInside,
    Trouble::Silence,
    Trouble::Late,
    Trouble::OutOfTheBlue,
];

impl Trouble {
    pub fn draw(random: &mut Rng) -> Self {
        ALL[random.usize(..ALL.len())]
    }
}

/// Bytes that are no reply, however they go on.
const GARBAGE: [&[u8]; 5] = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"$99999999999999999999\r\nx\r\n",
    b"$x\r\n",
    b"$5\r\ntoo long\r\n",
    b"*2\r\n$1\r\na\r\n\0\xff\r\n",
];

pub fn garbage(random: &mut Rng) -> &'static [u8] {
    GARBAGE[random.usize(..GARBAGE.len())]
}

/// Pushes that nobody waits for.
const PUSHES: [&[u8]; 4] = [
    b">2\r\n$10\r\ninvalidate\r\n*1\r\n$7\r\noften:1\r\n",
    b">2\r\n$10\r\ninvalidate\r\n_\r\n",
    b">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$6\r\nonce:1\r\n",
    b">2\r\n+unheard-of\r\n%1\r\n+key\r\n*2\r\n:1\r\n_\r\n",
];

pub fn push(random: &mut Rng) -> &'static [u8] {
    PUSHES[random.usize(..PUSHES.len())]
}

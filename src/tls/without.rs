//! The types of TLS in a build without it. They have no values.

use std::io;

use crate::config::Config;
use crate::transport::{ReadResult, Source, Wire};

/// No values.
#[derive(Clone, Debug)]
pub enum Connector {}

/// No values.
#[derive(Clone, Debug)]
pub enum Acceptor {}

/// No values.
pub enum Stream {}

fn missing() -> io::Error {
    io::Error::other("this build has no TLS")
}

impl Connector {
    pub(super) fn load(_: &Config) -> io::Result<Self> {
        Err(missing())
    }

    pub(super) fn load_for_sentinels(_: &Config) -> io::Result<Self> {
        Err(missing())
    }

    pub(super) fn reload(&self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn open(&self, _: &str) -> io::Result<Stream> {
        match *self {}
    }
}

impl Acceptor {
    pub(super) fn load(_: &Config) -> io::Result<Self> {
        Err(missing())
    }

    pub(super) fn reload(&self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn open(&self) -> io::Result<Stream> {
        match *self {}
    }
}

impl Stream {
    pub(crate) fn late(&self) -> io::Error {
        match *self {}
    }

    pub(crate) fn is_behind(&self) -> bool {
        match *self {}
    }

    pub(crate) fn shake_hands(&mut self, _: &mut Wire<'_>) -> io::Result<bool> {
        match *self {}
    }

    pub(crate) fn read(&mut self, _: &mut Wire<'_>, _: &mut [u8]) -> io::Result<ReadResult> {
        match *self {}
    }

    pub(crate) fn write(&mut self, _: &mut Wire<'_>, _: &mut impl Source) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn end(&mut self, _: &mut Wire<'_>) -> io::Result<()> {
        match *self {}
    }
}

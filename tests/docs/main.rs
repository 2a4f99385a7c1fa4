//! What the documentation shows is so: tables, figures, links and examples.

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod document;
mod examples;
mod figures;
mod info;
mod links;
mod settings;

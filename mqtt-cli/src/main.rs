//! `mqtt`.

fn main() {}

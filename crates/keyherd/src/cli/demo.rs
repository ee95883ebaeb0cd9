//! stub
use clap::Args;
use super::failure::Failure;
use super::peer::Context;
/// Demo
#[derive(Debug, Args)]
pub(super) struct Demo {}
impl Demo { pub(super) async fn run(self, _context: Context) -> Result<(), Failure> { Ok(()) } }
